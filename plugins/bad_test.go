package plugins

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/upstream"
)

// Code of hostile guests.
const (
	endless   = "\x03\x40\x0c\x00\x0b"                  // loop br 0 end
	trap      = "\x00"                                  // unreachable
	growByOne = "\x41\x01\x40\x00\x1a"                  // memory.grow(1), drop
	growAll   = "\x03\x40" + growByOne + "\x0c\x00\x0b" // for ever
	callFirst = "\x10\x03"                              // call the first further function
)

func then(code string) string { return code + i64(0) }

// fills is memory.fill of a megabyte, n times in a straight line.
func fills(n int) string {
	return strings.Repeat(i32(65536)+i32(7)+i32(1<<20-65536)+"\xfc\x0b\x00", n)
}

// hostile is a guest that describes itself well, accepts its settings, and is
// bad at exchange. More of them are modes of the guest probe: exit, sleep, ten
// thousand log lines, other requests on replay.
type hostile struct {
	name  string
	guest handmade
	want  string // of the error's text
}

func hostiles() []hostile {
	manifest := manifestOf("bad", "1.0.0", anySettings, "a.example")
	at := extra(manifest)
	say := func(head string) handmade {
		doc := document(head)
		return handmade{data: doc, call: packed(at, len(doc))}
	}
	var doubling []function // 31 functions, each calling the next twice: 2^31 calls without a loop
	for n := range 31 {
		next := string([]byte{0x10, byte(4 + n)})
		if n == 30 {
			next = ""
		}
		doubling = append(doubling, function{code: next + next})
	}
	return []hostile{
		{"endless loop", handmade{call: then(endless)}, "used up its fuel"},
		{"memory bomb", handmade{call: then(growAll)}, "used up its fuel"},
		{"trap", handmade{call: then(trap)}, "unreachable"},
		{"division by zero", handmade{call: then(i32(1) + i32(0) + "\x6d\x1a")}, "integer divide by zero"},
		{"load out of bounds", handmade{call: then(i32(-8) + "\x28\x02\x00\x1a")}, "out of bounds memory access"},
		{"pointer out of range", handmade{call: packed(0x7fffffff, 100)}, "a pointer outside its memory"},
		{"pointer and length wrap", handmade{call: i64(-1<<32 | 1<<17)}, "a pointer outside its memory"},
		{"huge length", handmade{call: packed(0, 0x7fffffff)}, "2147483647 bytes, at most 262144"},
		{"unsigned length", handmade{call: i64(0xffffffff)}, "4294967295 bytes, at most 262144"},
		{"no head", handmade{call: packed(0, 3)}, "shorter than the length of a head"},
		{"head longer than the document", handmade{data: "\xff\xff\xff\xff", call: packed(at, 4)}, "the head has 4294967295 bytes"},
		{"invalid JSON", say("{]}"), "not the JSON it should be"},
		{"nested JSON", say(strings.Repeat("[", 20000)), "not the JSON it should be"},
		{"empty object", say("{}"), "has 0 of request, result, error and wait_ms"},
		{"result and error", say(`{"result":{},"error":{"kind":"bug"}}`), "has 2 of request"},
		{"body that is not there", say(`{"request":{"method":"GET","url":"https://a.example","body_len":9}}`), "body_len says 9"},
		{"negative body", say(`{"request":{"method":"GET","url":"https://a.example","body_len":-1}}`), "body_len says -1"},
		{"another method", say(`{"request":{"method":"CONNECT","url":"https://a.example","body_len":0}}`), "the method"},
		{"header with a line break", say(`{"request":{"method":"GET","url":"https://a.example","headers":[["a","b\r\nc: d"]],"body_len":0}}`), "whose name or value HTTP does not allow"},
		{"wait for ever", say(`{"wait_ms":9223372036854775807}`), "longer than a conversation may last"},
		{"infinite recursion", handmade{functions: []function{{code: callFirst}}, call: then(callFirst)}, "nested too deep"},
		{"2^31 calls without a loop", handmade{functions: doubling, call: then(callFirst)}, "used up its fuel"},
		{"straight line of bulk fills", handmade{memory: "\x00\x10", functions: []function{{code: fills(400)}}, call: then(callFirst + callFirst + callFirst)}, "used up its fuel"},
		{"endless fills", handmade{memory: "\x00\x10", call: then("\x03\x40" + i32(0) + i32(0) + i32(1<<20) + "\xfc\x0b\x00\x0c\x00\x0b")}, "used up its fuel"},
	}
}

// TestHostileGuestsAtWork runs each through the whole host. None stops the
// process or holds up its garbage collector, each gives one clear line, and
// the plugin beside it goes on.
func TestHostileGuestsAtWork(t *testing.T) {
	for _, h := range hostiles() {
		t.Run(h.name, func(t *testing.T) {
			manifest := manifestOf("bad", "1.0.0", anySettings, "a.example")
			s := newShelf(t, map[string][]byte{"bad.wasm": h.guest.plugin(manifest), "good.wasm": named("good", "1.0.0")})
			for _, f := range s.Faults() {
				t.Fatal(f.Err)
			}
			bad, good := s.bind("bad"), s.bind("good")
			collected, pause := make(chan struct{}), time.Duration(0)
			go func() {
				defer close(collected)
				for range 5 {
					began := time.Now()
					runtime.GC()
					pause = max(pause, time.Since(began))
				}
			}()
			began := time.Now()
			_, err := bad.Exchange(t.Context(), upstream.ExchangeRequest{})
			took := time.Since(began)
			<-collected
			kind := upstream.Bug
			if strings.HasPrefix(h.name, "wait") {
				kind = upstream.Unavailable
			}
			if err == nil || upstream.KindOf(err) != kind || !strings.Contains(err.Error(), h.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
				t.Errorf("got %v, want kind %s and %q in one line", err, kind, h.want)
			}
			if limit := 10 * time.Second; took > limit || pause > limit {
				t.Errorf("it took %v and held up the collector for %v", took, pause)
			}
			if _, err := good.(*bound).check(t.Context()); err != nil {
				t.Errorf("the plugin beside it: %v", err)
			}
		})
	}
}

// TestHostileFilesAreRefused puts modules made against the loader and the
// compiler into the folder.
func TestHostileFilesAreRefused(t *testing.T) {
	manifest := manifestOf("bad", "1.0.0", anySettings)
	locals := func(n int) string { return "\x01" + string(uleb(n)) + "\x7f" }
	nested := strings.Repeat("\x03\x40", 2000) + strings.Repeat("\x0b", 2000)
	bomb := func(count int, f function) handmade {
		h := handmade{}
		for range count {
			h.functions = append(h.functions, f)
		}
		return h
	}
	badType := handmade{}.bytes()
	at := strings.Index(string(badType), sec(3, vec("\x00", "\x01", "\x02")))
	badType[at+3] = 99
	whole := handmade{}.plugin(manifest)
	for name, tt := range map[string]struct {
		wasm []byte
		want string
	}{
		"unknown import":         {AppendManifest(importing(), []byte(manifest)), "env.open_socket"},
		"no export":              {AppendManifest(handmade{noExports: true}.bytes(), []byte(manifest)), "memory"},
		"wrong version":          {AppendManifest(tiny("sallyport_provider_v9", 1), []byte(manifest)), "another version of the boundary"},
		"truncated":              {whole[:len(whole)-len(manifest)/2], "cut off or damaged"},
		"start loops":            {handmade{functions: []function{{code: endless}}, start: 3}.plugin(manifest), "fuel"},
		"describe loops":         {AppendManifest(handmade{call: then(endless)}.bytes(), []byte(manifest)), "used up its fuel"},
		"describes another":      {AppendManifest(answering(`{"result":{"name":"other"}}`), []byte(manifest)), "not what describe returns"},
		"table.grow":             {handmade{table: "\x00\x01", functions: []function{{code: "\xd0\x70" + i32(200<<20) + "\xfc\x0f\x00\x1a"}}}.plugin(manifest), ""},
		"huge table":             {handmade{table: "\x00" + string(uleb(1<<27))}.plugin(manifest), "table"},
		"huge memory":            {handmade{memory: "\x00" + string(uleb(1<<16))}.plugin(manifest), ""},
		"compile bomb":           {bomb(1, function{locals(1000), nested}).plugin(manifest), ""},
		"fills for the compiler": {handmade{functions: []function{{code: fills(8000)}}}.plugin(manifest), "blocks"},
		"locals bomb":            {bomb(1000, function{locals(50_000), ""}).plugin(manifest), "locals"},
		"index out of range":     {AppendManifest(badType, []byte(manifest)), "type"},
		"schema reads a file":    {handmade{}.plugin(manifestOf("bad", "1.0.0", `{"$ref":"file:///etc/passwd"}`)), "not a JSON Schema"},
		"schema without an end":  {handmade{}.plugin(manifestOf("bad", "1.0.0", `{"$ref":"#"}`)), ""},
		"manifest of 20000 [":    {AppendManifest(handmade{}.bytes(), []byte(strings.Repeat("[", 20000))), "not the JSON"},
		"host that is a pattern": {handmade{}.plugin(manifestOf("bad", "1.0.0", anySettings, "*.example")), "host"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			s := newShelf(t, map[string][]byte{"bad.wasm": tt.wasm, "good.wasm": named("good", "1.0.0")})
			took := time.Since(began)
			if name == "schema without an end" { // which says nothing, and harms nobody
				if p, err := s.Bind(t.Context(), "bad", Binding{Settings: map[string]any{"x": 1}}); err == nil {
					t.Logf("accepted: %v", p.Describe())
				}
			} else if fault := s.fault(); !strings.Contains(fault, tt.want) || !strings.Contains(fault, "bad.wasm") || len(fault) > 400 {
				t.Errorf("fault %q, want %q", fault, tt.want)
			}
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			s.bind("good")
		})
	}
}

func uleb(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// asking is a plugin that asks for one URL at exchange and then has a
// credential.
func asking(url string) []byte {
	manifest := manifestOf("bad", "1.0.0", anySettings, "{settings.x}")
	doc := document(fmt.Sprintf(`{"request":{"method":"GET","url":%q,"body_len":0}}`, url))
	return handmade{data: doc, call: packed(extra(manifest), len(doc))}.plugin(manifest)
}

// TestHostileRequests: what a guest asks for beyond its rights never leaves,
// and what an upstream answers beyond the limits is not read.
func TestHostileRequests(t *testing.T) {
	var hits int
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits++ }))
	defer inside.Close()
	outside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, inside.URL, http.StatusFound)
		case "/gigabyte":
			chunk := strings.Repeat("x", 1<<20)
			for range 1 << 10 {
				if _, err := io.WriteString(w, chunk); err != nil {
					return
				}
			}
		}
	}))
	defer outside.Close()
	host := outside.Listener.Addr().String()
	for name, tt := range map[string]struct {
		url, allowed string
		kind         upstream.Kind
		want         string
	}{
		"undeclared host":             {"https://b.example/", "a.example", upstream.Misconfigured, "b.example:443 is none of"},
		"private address":             {"https://" + inside.Listener.Addr().String() + "/", inside.Listener.Addr().String(), upstream.Misconfigured, "loopback"},
		"plain http":                  {"http://a.example/", "a.example", upstream.Misconfigured, "not https"},
		"user part":                   {"https://a.example@b.example/", "a.example", upstream.Bug, "plain host"},
		"a file":                      {"file:///etc/passwd", "a.example", upstream.Bug, ""},
		"redirect to private address": {"http://" + host + "/redirect", host, upstream.Bug, "more than 8 steps"},
		"a gigabyte":                  {"http://" + host + "/gigabyte", host, upstream.Unavailable, "more than 262144 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			client := fetch.New(fetch.Config{PrivateHosts: []string{host}})
			defer client.Close()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "bad.wasm"), asking(tt.url), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := New(t.Context(), Config{Dirs: []string{dir}, Fetch: client})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close(context.Background())
			p, err := h.Bind(t.Context(), "bad", Binding{Tenant: "octo", Settings: map[string]any{"x": tt.allowed}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Exchange(t.Context(), upstream.ExchangeRequest{})
			if err == nil || upstream.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want kind %s and %q", err, tt.kind, tt.want)
			}
		})
	}
	if hits > 0 {
		t.Errorf("the inside was asked %d times", hits)
	}
}

// A Compiler that is killed, crashes or lies costs one refusal.
func TestCompilerThatDies(t *testing.T) {
	for name, compile := range map[string]Compiler{
		"dies":  func(context.Context, string, []byte) error { return fmt.Errorf("signal: killed\nmore") },
		"lazy":  func(context.Context, string, []byte) error { return nil },
		"works": Compile,
		"leaves rubbish": func(_ context.Context, dir string, _ []byte) error {
			return os.WriteFile(filepath.Join(dir, "x"), []byte("x"), 0o600)
		},
	} {
		for _, cache := range []string{"", t.TempDir()} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "tiny.wasm"), named("tiny", "1.0.0"), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := New(t.Context(), Config{Dirs: []string{dir}, CacheDir: cache, Compile: compile})
			if err != nil {
				t.Fatal(err)
			}
			refused := name == "dies" || name == "lazy"
			if f := h.Faults(); (len(f) > 0) != refused || refused && (!strings.Contains(f[0].Err.Error(), "cannot be compiled") || strings.Contains(f[0].Err.Error(), "\n")) {
				t.Errorf("%s: faults %v", name, f)
			}
			h.Close(context.Background())
		}
	}
}
