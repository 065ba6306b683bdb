// Package main is a guest for the tests of the host: without the SDK, and bad
// in whatever way the setting "mode" asks for.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"
)

const manifest = `{"abi":"1.0","name":"probe","version":"1.2.0","display_name":"Probe",
	"settings":{"type":"object","required":["base"],"properties":{
		"mode":{"type":"string","default":"happy"},"base":{"type":"string"},"n":{"type":"integer","enum":[1,2]}}},
	"hosts":["{settings.base}"],
	"scopes":[{"name":"read","description":"Read","default":true},{"name":"write"}],
	"capabilities":{"pkce":true,"refresh":true,"revoke":true,"identity":true},"refresh":{"rotates":true}}`

type step struct {
	Status  int         `json:"status"`
	Headers [][2]string `json:"headers"`
	BodyLen int         `json:"body_len"`
	body    string
}

type input struct {
	Op       string `json:"op"`
	Now      int64  `json:"now"`
	Seed     string `json:"seed"`
	Settings struct{ Mode, Base string }
	Input    map[string]any `json:"input"`
	Steps    []step         `json:"steps"`
	raw      string
}

type object = map[string]any

func main() {}

var in, out []byte

//go:wasmexport sallyport_provider_v1
func marker() {}

//go:wasmexport sallyport_alloc
func alloc(n int32) unsafe.Pointer {
	in = make([]byte, n)
	return unsafe.Pointer(unsafe.SliceData(in))
}

//go:wasmexport sallyport_call
func call(n int32) int64 {
	var d input
	head := 4 + binary.LittleEndian.Uint32(in)
	if err := json.Unmarshal(in[4:head], &d); err != nil {
		panic(err)
	}
	d.raw = string(in[:n])
	rest := in[head:n]
	for i := range d.Steps {
		s := &d.Steps[i]
		s.body, rest = string(rest[:s.BodyLen]), rest[s.BodyLen:]
	}
	switch d.Settings.Mode {
	case "out-of-range":
		if d.Op != "check" {
			return 0x7fffffff<<32 | 100
		}
	case "not-json":
		if d.Op != "check" {
			return reply([]byte("\x03\x00\x00\x00{]}"))
		}
	}
	answer, body := move(&d)
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	doc := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	return reply(append(append(doc, text...), body...))
}

func reply(doc []byte) int64 {
	out = doc
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(out))))<<32 | int64(len(out))
}

func move(d *input) (object, string) {
	result := func(v any) (object, string) { return object{"result": v}, "" }
	switch d.Op {
	case "describe":
		return result(json.RawMessage(manifest))
	case "check":
		if d.Settings.Mode == "check-refuses" {
			return object{"error": object{"kind": "misconfigured", "message": "mode is wrong"}}, ""
		}
		return result(object{})
	case "authorize":
		return result(object{"url": authorizeURL(d)})
	case "revoke":
		return result(object{})
	}
	return misbehave(d)
}

func authorizeURL(d *input) string {
	state, challenge := d.Input["state"].(string), d.Input["code_challenge"]
	switch d.Settings.Mode {
	case "no-state":
		return d.Settings.Base + "/authorize"
	case "two-states":
		return fmt.Sprintf("%s/authorize?state=%s&state=x&code_challenge=%v", d.Settings.Base, state, challenge)
	case "no-challenge":
		return d.Settings.Base + "/authorize?state=" + state
	case "phish":
		return fmt.Sprintf("https://evil.example/authorize?state=%s&code_challenge=%v", state, challenge)
	}
	return fmt.Sprintf("%s/authorize?state=%s&code_challenge=%v", d.Settings.Base, state, challenge)
}

var sink []byte

func misbehave(d *input) (object, string) {
	switch mode := d.Settings.Mode; mode {
	case "loop":
		fmt.Fprintln(os.Stderr, "about to loop")
		for i := 0; ; i++ {
			if i == -1 {
				return nil, ""
			}
		}
	case "recurse":
		fib(60)
	case "bomb":
		for {
			sink = append(sink, make([]byte, 1<<20)...)
		}
	case "exit":
		os.Exit(3)
	case "panic":
		panic("nil map of " + fmt.Sprint(d.Input["code_verifier"]))
	case "log":
		for i := range 10_000 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
	case "sleep":
		time.Sleep(time.Hour)
		return object{"error": object{"kind": "unavailable", "message": fmt.Sprint(time.Now().UnixMilli() - d.Now)}}, ""
	case "echo":
		return object{"error": object{"kind": "invalid_grant", "message": "m", "detail": d.raw, "retry_after": 7}}, ""
	case "kind":
		return object{"error": object{"kind": "whatever"}}, ""
	case "two-members":
		return object{"wait_ms": 1, "result": object{}}, ""
	case "huge":
		return object{"result": strings.Repeat("x", 300<<10)}, ""
	case "wait":
		if len(d.Steps) == 0 {
			return object{"wait_ms": 1}, ""
		}
	case "endless":
		return request("GET", d.Settings.Base+"/user", nil, ""), ""
	}
	return login(d)
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func request(method, url string, auth any, body string) object {
	r := object{"method": method, "url": url, "body_len": len(body)}
	if body != "" {
		r["headers"] = [][2]string{{"content-type", "application/x-www-form-urlencoded"}}
	}
	if auth != nil {
		r["client_auth"] = auth
	}
	return object{"request": r}
}

// login is the ordinary exchange or refresh: a token, then the user.
func login(d *input) (object, string) {
	base, form := d.Settings.Base, "grant_type="+d.Op
	steps := d.Steps
	if d.Settings.Mode == "wait" {
		steps = steps[1:]
	}
	if len(steps) == 0 {
		switch d.Settings.Mode {
		case "undeclared":
			return request("GET", "https://other.example/", nil, ""), ""
		case "basic":
			return request("POST", base+"/token", object{"method": "basic"}, form), form
		case "idempotent":
			r := request("POST", base+"/token", nil, form)
			r["request"].(object)["idempotent"] = true
			return r, form
		case "host-header":
			r := request("GET", base+"/token", nil, "")
			r["request"].(object)["headers"] = [][2]string{{"host", "internal"}}
			return r, ""
		case "other-form":
			form += "&differs=1"
		case "redirect":
			return request("GET", base+"/redirect", nil, ""), ""
		case "large":
			return request("GET", base+"/large", nil, ""), ""
		}
		return request("POST", base+"/token", object{"method": "post"}, form), form
	}
	if d.Settings.Mode == "redirect" {
		return object{"error": object{"kind": "unavailable", "message": fmt.Sprint(steps[0].Status)}}, ""
	}
	if d.Settings.Mode == "buggy" {
		panic("cannot read " + steps[0].body)
	}
	var token object
	if steps[0].Status != 200 || json.Unmarshal([]byte(steps[0].body), &token) != nil {
		return object{"error": object{"kind": "unavailable", "detail": steps[0].body}}, ""
	}
	if len(steps) == 1 {
		r := request("GET", base+"/user", nil, "")
		r["request"].(object)["headers"] = [][2]string{{"authorization", "Bearer " + token["access_token"].(string)}}
		return r, ""
	}
	if steps[1].Status != 200 {
		return object{"error": object{"kind": "unavailable"}}, ""
	}
	token["account"] = json.RawMessage(steps[1].body)
	token["expires_at"] = d.Now/1000 + 3600
	return object{"result": token}, ""
}
