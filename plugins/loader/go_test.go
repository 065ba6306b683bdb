package loader

import (
	"bytes"
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

func TestGoGuestAnswersTheSame(t *testing.T) {
	wasm := githubBytes(t)
	out, info := rewrite(t, wasm, Limits{})
	t.Logf("%+v", info)
	r := newRuntime(t)
	a, b := instantiate(t, r, compile(t, r, wasm)), instantiate(t, r, compile(t, r, out))
	for range 3 {
		want, got := callGuest(t, a, describeDocument()), callGuest(t, b, describeDocument())
		if got != want || !bytes.Contains([]byte(got), []byte(`"name":"github"`)) {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if fuel(t, b) <= 0 || depth(t, b) != int64(defaults.Depth) {
		t.Errorf("fuel %d and depth %d are left", fuel(t, b), depth(t, b))
	}
	again, _ := rewrite(t, wasm, Limits{})
	if !bytes.Equal(out, again) {
		t.Error("the same input gave another output")
	}
}

// state is a copy of all that an instance is: its memory and globals.
type state struct {
	memory  []byte
	globals []uint64
}

func snapshot(t testing.TB, mod api.Module, names []string) state {
	t.Helper()
	view, _ := mod.Memory().Read(0, mod.Memory().Size())
	s := state{memory: bytes.Clone(view)}
	for _, name := range names {
		s.globals = append(s.globals, exported(t, mod, name).Get())
	}
	return s
}

func (s state) restore(t testing.TB, mod api.Module, names []string) {
	t.Helper()
	if int(mod.Memory().Size()) != len(s.memory) || !mod.Memory().Write(0, s.memory) {
		t.Fatal("the memory has another size")
	}
	for i, name := range names {
		exported(t, mod, name).Set(s.globals[i])
	}
}

// spent is the fuel that a describe takes, whose answer must be text.
func spent(t testing.TB, mod api.Module, text string) int64 {
	t.Helper()
	before := fuel(t, mod)
	if got := callGuest(t, mod, describeDocument()); text != "" && got != text {
		t.Fatalf("got %s, want %s", got, text)
	}
	return before - fuel(t, mod)
}

func TestSameFuelAfterRestore(t *testing.T) {
	out, info := rewrite(t, githubBytes(t), Limits{})
	r := newRuntime(t)
	mod := instantiate(t, r, compile(t, r, out))
	// Warm up: an instance that grows its memory cannot be restored.
	text := callGuest(t, mod, describeDocument())
	saved := snapshot(t, mod, info.Globals)
	for spent(t, mod, text); int(mod.Memory().Size()) != len(saved.memory); spent(t, mod, text) {
		saved = snapshot(t, mod, info.Globals)
	}
	saved.restore(t, mod, info.Globals)
	want := spent(t, mod, text)
	for i := range 1000 {
		saved.restore(t, mod, info.Globals)
		if got := spent(t, mod, text); got != want {
			t.Fatalf("run %d after a restore spends %d, want %d", i, got, want)
		}
	}
	t.Logf("%d units each", want)
}

func TestGoGuestSpendsTheSameOnNewInstances(t *testing.T) {
	out, _ := rewrite(t, githubBytes(t), Limits{})
	r := newRuntime(t)
	c := compile(t, r, out)
	var want int64
	for i := range 20 {
		mod := instantiate(t, r, c)
		spent(t, mod, "")
		left := fuel(t, mod)
		if i == 0 {
			want = left
		}
		if left != want || want == defaults.InitFuel {
			t.Fatalf("instance %d leaves %d, the first left %d", i, left, want)
		}
		mod.Close(context.Background())
	}
}

func TestSameFuelOnNewInstances(t *testing.T) {
	out, _ := rewrite(t, corpus()["nested loops"].bytes(), Limits{})
	r := newRuntime(t)
	c := compile(t, r, out)
	var want int64
	for i := range 1000 {
		mod := fresh(t, r, c)
		if _, err := mod.ExportedFunction("run").Call(t.Context(), 50); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = fuel(t, mod)
		}
		if fuel(t, mod) != want || want == defaults.InitFuel {
			t.Fatalf("run %d leaves %d, the first left %d", i, fuel(t, mod), want)
		}
		mod.Close(t.Context())
	}
}

func BenchmarkRewrite(b *testing.B) {
	wasm := githubBytes(b)
	b.SetBytes(int64(len(wasm)))
	var out []byte
	for b.Loop() {
		out, _ = rewrite(b, wasm, Limits{})
	}
	b.ReportMetric(float64(len(out))/float64(len(wasm)), "size-ratio")
}

// both runs a benchmark for a module and for what it is rewritten to.
func both(b *testing.B, wasm []byte, f func(*testing.B, []byte)) {
	out, _ := rewrite(b, wasm, Limits{})
	b.Run("original", func(b *testing.B) { f(b, wasm) })
	b.Run("rewritten", func(b *testing.B) { f(b, out) })
}

func BenchmarkCompile(b *testing.B) {
	both(b, githubBytes(b), func(b *testing.B, wasm []byte) {
		for b.Loop() {
			r := wazero.NewRuntimeWithConfig(b.Context(), wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features))
			compile(b, r, wasm)
			r.Close(b.Context())
		}
	})
}

func BenchmarkInstantiate(b *testing.B) {
	both(b, githubBytes(b), func(b *testing.B, wasm []byte) {
		r := newRuntime(b)
		c := compile(b, r, wasm)
		for b.Loop() {
			instantiate(b, r, c).Close(b.Context())
		}
	})
}

func BenchmarkDescribe(b *testing.B) {
	both(b, githubBytes(b), func(b *testing.B, wasm []byte) {
		r := newRuntime(b)
		mod := instantiate(b, r, compile(b, r, wasm))
		for b.Loop() {
			if g, ok := mod.ExportedGlobal(FuelExport).(api.MutableGlobal); ok {
				g.Set(1 << 40)
			}
			callGuest(b, mod, describeDocument())
		}
	})
}

// BenchmarkTightLoop and BenchmarkCalls are the worst that fuel and depth can
// cost: hardly any work between two charges.
func BenchmarkTightLoop(b *testing.B) { benchmarkRun(b, corpus()["loop"], 4095) }

func BenchmarkCalls(b *testing.B) { benchmarkRun(b, corpus()["recursion"], 15) }

func benchmarkRun(b *testing.B, module build, arg uint64) {
	both(b, module.bytes(), func(b *testing.B, wasm []byte) {
		r := newRuntime(b)
		mod := fresh(b, r, compile(b, r, wasm))
		run := mod.ExportedFunction("run")
		for b.Loop() {
			if g, ok := mod.ExportedGlobal(FuelExport).(api.MutableGlobal); ok {
				g.Set(1 << 40)
			}
			if _, err := run.Call(b.Context(), arg); err != nil {
				b.Fatal(err)
			}
		}
	})
}
