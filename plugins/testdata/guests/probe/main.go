// Package main is a guest for the tests of the host: without the SDK, and bad
// in whatever way the setting "mode" asks for.
package main

import (
	"encoding/binary"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport/sdk/tree"
)

const manifest = `{"abi":"1.0","name":"probe","version":"1.2.0","display_name":"Probe",
	"settings":{"type":"object","required":["base"],"properties":{
		"mode":{"type":"string","default":"happy"},"base":{"type":"string"},"n":{"type":"integer","enum":[1,2]}}},
	"hosts":["{settings.base}"],
	"scopes":[{"name":"read","description":"Read","default":true},{"name":"write"}],
	"capabilities":{"pkce":true,"refresh":true,"revoke":true,"identity":true},"refresh":{"rotates":true}}`

type step struct {
	status int64
	body   string
}

type input struct {
	op, mode, base string
	now            int64
	input          tree.Value
	steps          []step
	raw            string
}

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
	d := read(in[:n])
	if d.op != "check" {
		switch d.mode {
		case "out-of-range":
			return 0x7fffffff<<32 | 100
		case "not-json":
			return reply([]byte("\x03\x00\x00\x00{]}"))
		}
	}
	head, body := move(d)
	text := head.Bytes()
	doc := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	return reply(append(append(doc, text...), body...))
}

func read(doc []byte) *input {
	size := 4 + binary.LittleEndian.Uint32(doc)
	head, err := tree.Parse(doc[4:size])
	if err != nil {
		panic(err)
	}
	d := &input{
		op: head.Get("op").Str(), mode: head.Pointer("/settings/mode").Str(), base: head.Pointer("/settings/base").Str(),
		input: head.Get("input"), raw: string(doc),
	}
	d.now, _ = head.Get("now").Int()
	rest := doc[size:]
	for _, s := range head.Get("steps").Array() {
		status, _ := s.Get("status").Int()
		n, _ := s.Get("body_len").Int()
		d.steps = append(d.steps, step{status, string(rest[:n])})
		rest = rest[n:]
	}
	return d
}

func reply(doc []byte) int64 {
	out = doc
	return int64(uintptr(unsafe.Pointer(unsafe.SliceData(out))))<<32 | int64(len(out))
}

// object makes an object of names and values in turn.
func object(pairs ...any) tree.Value {
	var o tree.Object
	for i := 0; i < len(pairs); i += 2 {
		v := pairs[i+1]
		switch v := v.(type) {
		case string:
			o.Set(pairs[i].(string), tree.String(v))
		case int:
			o.Set(pairs[i].(string), tree.Int(int64(v)))
		case bool:
			o.Set(pairs[i].(string), tree.Bool(v))
		case tree.Value:
			o.Set(pairs[i].(string), v)
		}
	}
	return o.Value()
}

func result(v tree.Value) (tree.Value, string) { return object("result", v), "" }

func failed(kind, message, detail string) (tree.Value, string) {
	return object("error", object("kind", kind, "message", message, "detail", detail, "retry_after", 7)), ""
}

func move(d *input) (tree.Value, string) {
	switch d.op {
	case "describe":
		v, err := tree.Parse([]byte(manifest))
		if err != nil {
			panic(err)
		}
		return result(v)
	case "check":
		if d.mode == "check-refuses" {
			return failed("misconfigured", "mode is wrong", "")
		}
		if d.mode == "check-grace" {
			return result(object("refresh", object("rotates", true, "single_use", true, "grace_seconds", 30)))
		}
		return result(object())
	case "authorize":
		return result(object("url", authorizeURL(d)))
	case "revoke":
		return result(object())
	}
	return misbehave(d)
}

func authorizeURL(d *input) string {
	state, challenge := d.input.Get("state").Str(), d.input.Get("code_challenge").Str()
	both := "state=" + state + "&code_challenge=" + challenge
	switch d.mode {
	case "no-state":
		return d.base + "/authorize"
	case "two-states":
		return d.base + "/authorize?state=x&" + both
	case "no-challenge":
		return d.base + "/authorize?state=" + state
	case "phish":
		return "https://evil.example/authorize?" + both
	case "script":
		return "javascript:alert(1)//?" + both
	case "fragment":
		return d.base + "/authorize?" + both + "#x"
	case "long":
		return d.base + "/authorize?" + both + "&x=" + strings.Repeat("x", 8<<10)
	}
	return d.base + "/authorize?" + both
}

var (
	sink  []byte
	calls int
)

func misbehave(d *input) (tree.Value, string) {
	switch d.mode {
	case "loop":
		println("about to loop")
		for i := 0; ; i++ {
			if i == -1 {
				return tree.Value{}, ""
			}
		}
	case "recurse":
		fib(60)
	case "bomb":
		for {
			sink = append(sink, make([]byte, 1<<20)...)
		}
	case "grow":
		sink = make([]byte, 9<<20)
	case "count": // what a module remembers from one call to the next
		calls++
		return failed("unavailable", strconv.Itoa(calls), "")
	case "exit":
		syscall.Exit(3)
	case "panic":
		panic("nil map of " + d.input.Get("code_verifier").Str())
	case "log":
		for i := range 10_000 {
			println("line", i)
		}
	case "sleep":
		time.Sleep(time.Hour)
		return failed("unavailable", strconv.FormatInt(time.Now().UnixMilli()-d.now, 10), "")
	case "echo":
		return failed("invalid_grant", "m", d.raw)
	case "kind":
		return failed("whatever", "", "")
	case "two-members":
		return object("wait_ms", 1, "result", object()), ""
	case "huge":
		return result(tree.String(strings.Repeat("x", 300<<10)))
	case "wait":
		if len(d.steps) == 0 {
			return object("wait_ms", 1), ""
		}
	case "discover":
		if len(d.steps) == 0 {
			return request("GET", d.base+"/discovery", tree.Value{}, "")
		}
	case "known":
		if len(d.steps) == 0 {
			return object("request", object("method", "GET", "url", d.base+"/discovery", "body_len", 0, "idempotent", true, "max_age", 600)), ""
		}
	case "endless":
		return request("GET", d.base+"/user", tree.Value{}, "")
	}
	return login(d)
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func request(method, url string, auth tree.Value, body string, headers ...string) (tree.Value, string) {
	if body != "" {
		headers = append(headers, "content-type", "application/x-www-form-urlencoded")
	}
	var pairs []tree.Value
	for i := 0; i < len(headers); i += 2 {
		pairs = append(pairs, tree.Strings(headers[i:i+2]))
	}
	return object("request", object("method", method, "url", url, "body_len", len(body),
		"headers", tree.Array(pairs...), "client_auth", auth)), body
}

// login is the ordinary exchange or refresh: a token, then the user.
func login(d *input) (tree.Value, string) {
	steps := d.steps
	if d.mode == "wait" || d.mode == "discover" || d.mode == "known" {
		steps = steps[1:]
	}
	if len(steps) == 0 {
		return first(d)
	}
	if d.mode == "redirect" {
		return failed("unavailable", strconv.Itoa(int(steps[0].status)), "")
	}
	if d.mode == "buggy" {
		panic("cannot read " + steps[0].body)
	}
	token, err := tree.Parse([]byte(steps[0].body))
	if steps[0].status != 200 || err != nil {
		return failed("unavailable", "", steps[0].body)
	}
	if len(steps) == 1 {
		return request("GET", d.base+"/user", tree.Value{}, "", "authorization", "Bearer "+token.Get("access_token").Str())
	}
	if steps[1].status != 200 {
		return failed("unavailable", "", "")
	}
	account, _ := tree.Parse([]byte(steps[1].body))
	return result(object("access_token", token.Get("access_token"), "refresh_token", token.Get("refresh_token"),
		"token_type", token.Get("token_type"), "account", account, "expires_at", int(d.now/1000+3600)))
}

func first(d *input) (tree.Value, string) {
	form := "grant_type=" + d.op
	url := d.base + "/token"
	switch d.mode {
	case "undeclared":
		return request("GET", "https://other.example/", tree.Value{}, "")
	case "basic":
		return request("POST", url, object("method", "basic"), form)
	case "assertion":
		return request("POST", url, object("method", "private_key_jwt"), form)
	case "mac":
		return request("POST", url, object("method", "client_secret_jwt"), form)
	case "idempotent":
		return object("request", object("method", "POST", "url", url, "body_len", len(form), "idempotent", true,
			"headers", tree.Array(tree.Strings([]string{"content-type", "application/x-www-form-urlencoded"})))), form
	case "host-header":
		return request("GET", url, tree.Value{}, "", "host", "internal")
	case "other-form":
		form += "&differs=1"
	case "redirect":
		return request("GET", d.base+"/redirect", tree.Value{}, "")
	case "large":
		return request("GET", d.base+"/large", tree.Value{}, "")
	}
	return request("POST", url, object("method", "post"), form)
}
