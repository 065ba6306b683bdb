package loader

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// hostile rewrites a module, compiles it and makes an instance with 50 million
// units of fuel.
func hostile(t *testing.T, b build) api.Module {
	t.Helper()
	out, _ := rewrite(t, b.bytes(), Limits{})
	r := newRuntime(t)
	mod := fresh(t, r, compile(t, r, out))
	setFuel(t, mod, 50_000_000)
	return mod
}

// spends calls run and wants it to end for want of fuel.
func spends(t *testing.T, mod api.Module) {
	t.Helper()
	start := time.Now()
	_, err := mod.ExportedFunction("run").Call(guestContext(t.Context()))
	if err == nil || !strings.Contains(err.Error(), "unreachable") || fuel(t, mod) >= 0 {
		t.Fatalf("it ended with %v and fuel %d", err, fuel(t, mod))
	}
	t.Logf("ended after %v", time.Since(start).Round(time.Millisecond))
	if _, err := mod.ExportedFunction("run").Call(guestContext(t.Context())); err == nil {
		t.Error("it runs without fuel")
	}
}

func run(code string) []fn { return []fn{{0, "ii", code, "run"}} }

// doubling is 31 functions each of which calls the next one twice.
func doubling() build {
	b := build{types: []string{":"}}
	for i := range 31 {
		b.funcs = append(b.funcs, fn{code: fmt.Sprintf("call %d call %d", i+1, i+1)})
	}
	b.funcs[0].export = "run"
	b.funcs = append(b.funcs, fn{})
	return b
}

func TestFuelEnds(t *testing.T) {
	tests := map[string]build{
		"an endless loop":            {types: []string{":"}, funcs: run("loop - br 0 end")},
		"a loop of nothing":          {types: []string{":"}, funcs: run("loop - i32.const 1 br_if 0 end")},
		"2^31 calls without a loop":  doubling(),
		"fills in a straight line":   {types: []string{":"}, memory: "256", funcs: run(strings.Repeat("i32.const 0 i32.const 1 i32.const 16777216 memory.fill ", 200))},
		"copies in a straight line":  {types: []string{":"}, memory: "256", funcs: run(strings.Repeat("i32.const 0 i32.const 8388608 i32.const 8388608 memory.copy ", 200))},
		"a memory that grows":        {types: []string{":"}, memory: "1", funcs: run("loop - i32.const 1 memory.grow drop br 0 end")},
		"random bytes":               {types: []string{":", "ii:i"}, imports: []string{"random_get 1"}, memory: "256", exports: []string{"memory 2 0"}, funcs: run("loop - i32.const 0 i32.const 16777216 call 0 drop br 0 end")},
		"host calls through a table": {types: []string{":", ":i"}, imports: []string{"sched_yield 1"}, table: "1", memory: "1", exports: []string{"memory 2 0"}, elements: [][]byte{activeElement(0, 0)}, funcs: run("loop - i32.const 0 call_indirect 1 drop br 0 end")},
		"output of many parts": {types: []string{":", "iiii:i"}, imports: []string{"fd_write 1"}, memory: "256", exports: []string{"memory 2 0"},
			funcs: run("i32.const 0 i32.const 1 i32.const 100 memory.fill loop - i32.const 1 i32.const 1024 i32.const 2000000 i32.const 0 call 0 drop br 0 end")},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) { spends(t, hostile(t, b)) })
	}
}

// The engine's code has no safe points: a guest that runs on holds up the
// garbage collection and with it every goroutine.
func TestGuestHoldsUpTheCollectorNoLongerThanItsFuel(t *testing.T) {
	mod := hostile(t, doubling())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = mod.ExportedFunction("run").Call(guestContext(context.Background()))
	}()
	start := time.Now()
	runtime.GC()
	collected := time.Since(start)
	<-done
	total := time.Since(start)
	if fuel(t, mod) >= 0 {
		t.Errorf("fuel %d is left", fuel(t, mod))
	}
	// Without fuel both take 14 s or more.
	if collected > 5*time.Second || total > 5*time.Second {
		t.Errorf("the collector waited %v, the run took %v", collected, total)
	}
}

func TestStartFunctionLoop(t *testing.T) {
	b := build{types: []string{":"}, start: "0", funcs: run("loop - br 0 end")}
	out, info := rewrite(t, b.bytes(), Limits{InitFuel: 1_000_000})
	if !info.Start {
		t.Error("the start function is not told of")
	}
	r := newRuntime(t)
	_, err := r.InstantiateModule(t.Context(), compile(t, r, out), wazero.NewModuleConfig().WithName(""))
	if err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("got %v", err)
	}
}

func TestRecursion(t *testing.T) {
	tests := map[string]build{
		"of one":             {types: []string{":"}, funcs: run("call 0")},
		"of two":             {types: []string{":"}, funcs: []fn{{0, "", "call 1", "run"}, {0, "i", "call 0", ""}}},
		"through a table":    {types: []string{":"}, table: "1", elements: [][]byte{activeElement(0, 0)}, funcs: run("i32.const 0 call_indirect 0")},
		"with much to keep":  {types: []string{":"}, memory: "1", funcs: run(strings.Repeat("local.get 0 i32.load 0 0 ", 1000) + "call 0 " + strings.Repeat("i32.add ", 999) + "drop")},
		"with a return each": {types: []string{":"}, funcs: run("local.get 0 if - return end call 0 return")},
	}
	for name, b := range tests {
		t.Run(name, func(t *testing.T) {
			mod := hostile(t, b)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := mod.ExportedFunction("run").Call(guestContext(t.Context()))
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), "unreachable") || depth(t, mod) >= 0 || fuel(t, mod) < 0 {
				t.Fatalf("it ended with %v, depth %d and fuel %d", firstLine(err), depth(t, mod), fuel(t, mod))
			}
			t.Logf("%d MB of host memory", (after.TotalAlloc-before.TotalAlloc)>>20)
		})
	}
}

func TestDepthIsWholeAgain(t *testing.T) {
	// 15,000 calls deep and back, three times, by all ways out of a function.
	b := build{types: []string{"i:i"}, funcs: []fn{{0, "", `local.get 0 i32.eqz if - i32.const 7 return end
		local.get 0 i32.const 1 i32.sub call 0 local.get 0 i32.const 1 i32.and br_if 0 return`, "run"}}}
	mod := hostile(t, b)
	for range 3 {
		got, err := mod.ExportedFunction("run").Call(t.Context(), 15_000)
		if err != nil || got[0] != 7 || depth(t, mod) != int64(defaults.Depth) {
			t.Fatalf("%v, %v, depth %d", got, err, depth(t, mod))
		}
	}
}
