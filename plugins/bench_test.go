package plugins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/plugins/testdata/guests/lean/login"
	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
)

// loginDocs are the three input documents of an ordinary exchange.
func loginDocs(b testing.TB) [][]byte {
	b.Helper()
	steps := []step{
		{abi.Step{Status: 200, Headers: []abi.Header{{"content-type", "application/json"}}}, []byte(`{"access_token":"at-1-abcdefgh","refresh_token":"rt-1","token_type":"bearer"}`), true},
		{abi.Step{Status: 200, Headers: []abi.Header{{"content-type", "application/json"}}}, []byte(`{"id":"42","name":"Ada","bio":"` + strings.Repeat("x", 1500) + `"}`), false},
	}
	var docs [][]byte
	for n := range 3 {
		for i := range steps[:n] {
			steps[i].BodyLen = len(steps[i].Body)
		}
		doc, err := encodeInput(abi.Input{
			ABI: abi.Version, Op: abi.OpExchange, Now: 1, Tenant: "octo", StepsLeft: 8 - n,
			Settings: abi.Raw(`{"mode":"happy","base":"https://a.example"}`), Input: abi.Raw(`{"query":[["code","the-code"]],"scopes":["read"]}`),
		}, steps[:n])
		if err != nil {
			b.Fatal(err)
		}
		docs = append(docs, doc)
	}
	return docs
}

func system() *wasi.System {
	return wasi.NewSystem(time.Unix(1, 0), [32]byte{}, wasi.NewLog(8<<10))
}

// BenchmarkStep is one run of a guest written in Go, the third of a login, as
// the pool does it and in a new instance each time.
func BenchmarkStep(b *testing.B) {
	r := newRig(b)
	doc := loginDocs(b)[2]
	b.Run("pooled", func(b *testing.B) {
		var fuel int64
		for b.Loop() {
			_, spent, err := r.module.run(b.Context(), doc, system())
			if err != nil {
				b.Fatal(err)
			}
			fuel = spent
		}
		b.ReportMetric(float64(fuel), "fuel")
	})
	b.Run("fresh", func(b *testing.B) {
		for b.Loop() {
			i, err := r.module.instantiate()
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := i.run(doc, system(), initFuel); err != nil {
				b.Fatal(err)
			}
			i.close(b.Context())
		}
	})
	b.Run("reset", func(b *testing.B) {
		i, err := r.module.pool.take(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer r.module.pool.give(b.Context(), i, false)
		for b.Loop() {
			i.reset()
		}
	})
}

// BenchmarkLogin is the guest's part of a login, three runs, on all cores.
func BenchmarkLogin(b *testing.B) {
	r := newRig(b)
	docs := loginDocs(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			for _, doc := range docs {
				if _, _, err := r.module.run(b.Context(), doc, system()); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "logins/s")
}

// BenchmarkLean is a login of two requests, three runs of a provider made with
// the SDK: its own code natively, and as a plugin from the pool.
func BenchmarkLean(b *testing.B) {
	docs := loginDocs(b)
	b.Run("native", func(b *testing.B) {
		for b.Loop() {
			for _, doc := range docs {
				if out, _, err := decodeOutput(sdk.Run(login.Provider{}, doc)); err != nil || out.Error != nil {
					b.Fatal(err, out.Error)
				}
			}
		}
	})
	out := filepath.Join(b.TempDir(), "lean.wasm")
	if _, err := Build(b.Context(), BuildOptions{Dir: "testdata/guests/lean", Out: out, Log: os.Stderr}); err != nil {
		b.Fatal(err)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	m, err := openModule(b.Context(), Config{CacheDir: cacheFolder()}.withDefaults(), wasm)
	if err != nil {
		b.Fatal(err)
	}
	defer m.destroy(b.Context())
	b.Run("pooled", func(b *testing.B) {
		for b.Loop() {
			for _, doc := range docs {
				text, _, err := m.run(b.Context(), doc, system())
				if out, _, bad := decodeOutput(text); err != nil || bad != nil || out.Error != nil {
					b.Fatal(err, bad, out.Error)
				}
			}
		}
	})
}

// BenchmarkExchange is a whole conversation of three runs and two requests over
// loopback.
func BenchmarkExchange(b *testing.B) {
	p := newRig(b).bind(b, "happy")
	for b.Loop() {
		if _, err := exchange(b, p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is from the file to a module in service, compiled anew and
// from the cache.
func BenchmarkOpen(b *testing.B) {
	wasm := probeBytes(b)
	open := func(b *testing.B, cfg Config) {
		m, err := openModule(b.Context(), cfg.withDefaults(), wasm)
		if err != nil {
			b.Fatal(err)
		}
		m.destroy(b.Context())
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			open(b, Config{})
		}
		b.ReportMetric(float64(len(wasm))/1e6, "MB")
	})
	b.Run("cached", func(b *testing.B) {
		cfg := Config{CacheDir: b.TempDir()}
		open(b, cfg)
		for b.Loop() {
			open(b, cfg)
		}
	})
	b.Run("rewrite", func(b *testing.B) {
		m := &Module{cfg: Config{}.withDefaults()}
		for b.Loop() {
			if _, err := m.rewrite(wasm); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// heap is what is in use after collecting.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// resident is the process's memory in bytes, compiled code included.
func resident(tb testing.TB) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal("this needs /proc: ", err)
	}
	var size, pages int64
	fmt.Sscan(string(text), &size, &pages)
	return pages * int64(os.Getpagesize())
}

// TestMemoryStaysFlat makes many calls through one pool: neither the process
// nor the instances' memory grows.
func TestMemoryStaysFlat(t *testing.T) {
	calls := 20_000
	if testing.Short() || raceEnabled() {
		calls = 1_000
	}
	flat(t, calls)
}

// BenchmarkHundredThousandCalls is TestMemoryStaysFlat at full length, once.
func BenchmarkHundredThousandCalls(b *testing.B) {
	for b.Loop() {
		flat(b, 100_000)
	}
}

func flat(t testing.TB, calls int) {
	r := newRig(t)
	docs := loginDocs(t)
	run := func(n int) {
		for i := range n {
			if _, _, err := r.module.run(t.Context(), docs[i%len(docs)], system()); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(100)
	before, instance := heap(), r.module.pool.idle[0]
	run(calls)
	if after := heap(); after > before+4<<20 {
		t.Errorf("%d calls took the heap from %d to %d bytes", calls, before, after)
	}
	if idle := r.module.pool.idle; len(idle) != 1 || idle[0] != instance {
		t.Error("the instance did not last")
	}
}

// BenchmarkMemory is what modules and tenants cost: bytes of the process.
func BenchmarkMemory(b *testing.B) {
	for _, modules := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("%dx100", modules), func(b *testing.B) {
			for b.Loop() {
				before := resident(b)
				dir := b.TempDir()
				for n := range modules {
					// The same code under many digests; each is compiled and kept by itself.
					wasm := append(append([]byte(nil), probeBytes(b)...), sec(0, str("note")+fmt.Sprint(n))...)
					if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.wasm", n)), wasm, 0o600); err != nil {
						b.Fatal(err)
					}
				}
				h, err := New(b.Context(), Config{Dirs: []string{dir}, CacheDir: cacheFolder()})
				if err != nil {
					b.Fatal(err)
				}
				var tenants []upstream.Provider
				for _, m := range h.Modules() {
					for n := range 100 {
						p, err := h.Bind(b.Context(), "probe@"+m.Digest(), Binding{Tenant: fmt.Sprint(n), Settings: map[string]any{"base": "https://a.example"}})
						if err != nil {
							b.Fatal(err)
						}
						tenants = append(tenants, p)
					}
				}
				runtime.GC()
				b.ReportMetric(float64(resident(b)-before)/1e6, "MB")
				runtime.KeepAlive(tenants)
				h.Close(context.Background())
			}
		})
	}
}
