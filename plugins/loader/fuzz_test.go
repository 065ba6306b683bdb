package loader

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport/sallyport/plugins/wasi"
)

var small = Limits{Memory: 1 << 20, InitFuel: 100_000, Depth: 2000}

// compiled is what the engine says to a module; a panic is passed on as such.
func compiled(r wazero.Runtime, wasm []byte) (c wazero.CompiledModule, panicked any, err error) {
	defer func() { panicked = recover() }()
	c, err = r.CompileModule(context.Background(), wasm)
	return c, nil, err
}

// checkRewrite is what has to hold for any bytes: they are refused, or give a
// module that the engine takes without a panic, takes if it takes the bytes
// themselves, and that then behaves the same.
func checkRewrite(t *testing.T, wasm []byte) (accepted bool) {
	t.Helper()
	before := slices.Clone(wasm)
	out, _, err := Rewrite(wasm, small)
	if !bytes.Equal(wasm, before) {
		t.Fatal("the input was changed")
	}
	if err != nil {
		return false
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(features).WithMemoryLimitPages(16))
	defer r.Close(ctx)
	if err := wasi.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	is, panicked, err := compiled(r, out)
	if panicked != nil {
		t.Fatalf("the engine panics on the output: %v", panicked)
	}
	was, panicked, wasErr := compiled(r, wasm)
	if wasErr == nil && panicked == nil && err != nil {
		t.Fatalf("the engine takes the input and not the output: %v", err)
	}
	if err == nil && wasErr == nil && panicked == nil {
		sameRun(t, r, was, is)
	}
	return err == nil
}

// sameRun calls what both export, the rewritten module first: as long as it
// ends with fuel and depth left, the other ends too.
func sameRun(t *testing.T, r wazero.Runtime, was, is wazero.CompiledModule) {
	t.Helper()
	ctx := guestContext(context.Background())
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	b, err := r.InstantiateModule(ctx, is, config)
	if err != nil {
		return // its start function may have run out of fuel
	}
	a, err := r.InstantiateModule(ctx, was, config)
	if err != nil {
		t.Fatalf("the output is made an instance and the input is not: %v", err)
	}
	var names []string
	for name := range was.ExportedFunctions() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), 4)] {
		args := make([]uint64, len(was.ExportedFunctions()[name].ParamTypes()))
		before := b.ExportedGlobal(DepthExport).Get()
		got, gotErr := b.ExportedFunction(name).Call(guestContext(context.Background()), args...)
		if int64(b.ExportedGlobal(FuelExport).Get()) < 0 || int64(b.ExportedGlobal(DepthExport).Get()) < 0 {
			return
		}
		want, wantErr := a.ExportedFunction(name).Call(guestContext(context.Background()), args...)
		if g, w := fmt.Sprint(got, firstLine(gotErr)), fmt.Sprint(want, firstLine(wantErr)); g != w {
			t.Fatalf("%s: %s, want %s", name, g, w)
		}
		if after := b.ExportedGlobal(DepthExport).Get(); gotErr == nil && after != before {
			t.Fatalf("%s leaves depth %d of %d", name, after, before)
		}
	}
	sameMemory(t, a, b, was)
}

func sameMemory(t *testing.T, a, b api.Module, was wazero.CompiledModule) {
	t.Helper()
	for name := range was.ExportedMemories() {
		x, y := a.ExportedMemory(name), b.ExportedMemory(name)
		xs, _ := x.Read(0, x.Size())
		ys, _ := y.Read(0, y.Size())
		if !bytes.Equal(xs, ys) {
			t.Fatal("memories differ")
		}
	}
}

func FuzzRewrite(f *testing.F) {
	for _, b := range corpus() {
		f.Add(b.bytes())
	}
	f.Add(doubling().bytes())
	f.Fuzz(func(t *testing.T, wasm []byte) { checkRewrite(t, wasm) })
}

// FuzzCode puts bytes where a function's instructions are, so that more of
// them are accepted.
func FuzzCode(f *testing.F) {
	for _, b := range corpus() {
		f.Add(asm(b.funcs[0].code))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		b := build{
			types: []string{"i:i", "ii:ii", ":i", "i:"}, imports: []string{"sched_yield 2"}, memory: "1 3", table: "3",
			globals: []string{"!i i32.const 5", "!I i64.const -7", "i i32.const 11"}, exports: []string{"memory 2 0"},
			funcs:    []fn{{0, "iiIf", "unreachable", "run"}, {0, "", "local.get 0 i32.const 3 i32.mul", ""}},
			elements: [][]byte{activeElement(0, 1, 2)}, data: [][]byte{activeData(4, "abc"), {1, 2, 'p', 'q'}}, count: true,
		}
		mark := []byte{opUnreachable, opEnd}
		checkRewrite(t, b.withCode(mark, append(code, mark...)))
	})
}

func TestTruncated(t *testing.T) {
	for name, b := range corpus() {
		wasm := b.bytes()
		for n := range wasm {
			if _, _, err := Rewrite(wasm[:n], Limits{}); err == nil && wasm[n] == sectionCode {
				t.Errorf("%s cut off at byte %d is accepted", name, n)
			}
		}
	}
	wasm := githubBytes(t)
	for n := 0; n < len(wasm); n += len(wasm) / 31 {
		if _, _, err := Rewrite(wasm[:n], Limits{}); err == nil {
			t.Errorf("a Go module cut off at byte %d is accepted", n)
		}
	}
}

func TestFlippedBits(t *testing.T) {
	accepted := 0
	for _, b := range corpus() {
		wasm := b.bytes()
		for i := range wasm {
			wasm[i] ^= 1 << (i % 8)
			if checkRewrite(t, wasm) {
				accepted++
			}
			wasm[i] ^= 1 << (i % 8)
		}
	}
	if accepted < 100 {
		t.Errorf("%d flipped modules were accepted, the test tries too little", accepted)
	}
}
