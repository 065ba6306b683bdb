package loader

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// corpus has every control construct and every instruction that the rewriter
// treats in a way of its own. Each module exports run, which takes an i32.
func corpus() map[string]build {
	one := func(code string) []fn { return []fn{{0, "iiI", code, "run"}} }
	simple := func(code string) build {
		return build{types: []string{"i:i", "ii:ii", ":ii", "i:", ":i"}, funcs: one(code), memory: "1"}
	}
	all := map[string]build{
		"if and else": simple(`local.get 0 i32.const 5 i32.lt_s if i i32.const 10 else
			local.get 0 i32.const 7 i32.eq if - i32.const 70 return end i32.const 20 end`),
		"loop": simple(`local.get 0 i32.const 4095 i32.and local.set 0 block - loop - local.get 0 i32.eqz br_if 1 local.get 1 local.get 0 i32.add local.set 1
			local.get 0 i32.const 1 i32.sub local.set 0 br 0 end end local.get 1`),
		"nested loops": simple(`local.get 0 i32.const 4095 i32.and local.set 0 loop - i32.const 0 local.set 2 loop - local.get 1 i32.const 3 i32.add local.set 1
			local.get 2 i32.const 1 i32.add local.tee 2 i32.const 4 i32.lt_s br_if 0 end
			local.get 0 i32.const 1 i32.sub local.tee 0 i32.const 0 i32.lt_s i32.eqz br_if 0 end local.get 1`),
		"br_table": simple(`block - block - block - local.get 0 br_table 2 0 1 2 end i32.const 100 return end
			i32.const 200 local.set 1 end local.get 1 i32.const 1 i32.add`),
		"br_table with a value": simple(`block i block i i32.const 9 local.get 0 br_table 3 0 1 0 1 end i32.const 1 i32.add end`),
		"br to the function":    simple(`i32.const 3 local.get 0 br_if 0 block - i32.const 4 br 1 end drop i32.const 5`),
		"dead code": simple(`block i i32.const 1 br 0 local.get 0 i32.add block - loop - br 0 end unreachable end
			memory.fill drop if - i32.const 0 br 1 else i32.const 0 return end i32.const 2 memory.grow call 0 end`),
		"dead code to the end": simple(`local.get 0 return i32.add loop - br 0 end`),
		"unreachable":          simple(`local.get 0 if - unreachable end i32.const 1`),
		"trap in a division":   simple(`i32.const 100 local.get 0 i32.div_s`),
		"out of bounds":        simple(`local.get 0 i32.const 65530 i32.mul i32.load 2 0`),
		"block with parameters": simple(`local.get 0 i32.const 3 block 1 i32.const 1 i32.add
			local.get 0 br_if 0 i32.const 2 i32.mul end i32.mul`),
		"loop with parameters": simple(`local.get 0 i32.const 1 loop 1 i32.const 2 i32.mul local.tee 1
			local.get 1 i32.const 50 i32.lt_s br_if 0 end i32.add`),
		"recursion": simple(`local.get 0 i32.const 15 i32.and local.set 0 local.get 0 i32.const 2 i32.lt_s if i local.get 0 else local.get 0 i32.const 1 i32.sub call 0
			local.get 0 i32.const 2 i32.sub call 0 i32.add end`),
		"numbers": simple(`local.get 0 f64.convert_i32_s f64.sqrt i32.const 3 f64.convert_i32_s f64.add i32.trunc_sat_f64_s
			i32.extend8_s i32.const 5 i32.rotl local.get 0 i64.extend_i32_u i64.const -6148914691236517206 i64.mul local.tee 3 i32.wrap_i64 i32.xor`),
		"select": simple(`i32.const 1 i32.const 2 local.get 0 select nop`),
		"memory.grow": simple(`local.get 0 memory.grow i32.const 1000 i32.mul memory.size i32.add
			i32.const 1000 memory.grow i32.add memory.size i32.add`),
		"bulk memory": simple(`i32.const 100 local.get 0 i32.const 40 memory.fill i32.const 110 i32.const 102 i32.const 30 memory.copy
			i32.const 130 i32.load8_u 0 0 i32.const 65000 local.get 0 local.get 0 i32.const 4095 i32.and i32.const 100 i32.mul memory.fill`),
	}
	all["globals"] = build{
		types: []string{"i:i"}, memory: "1", globals: []string{"!i i32.const 5", "!I i64.const -7", "i i32.const 11"},
		funcs: one(`global.get 0 local.get 0 i32.add global.set 0 global.get 1 i64.const 3 i64.mul global.set 1
			global.get 0 global.get 1 i32.wrap_i64 i32.add global.get 2 i32.add`),
	}
	all["two results"] = build{
		types: []string{"i:i", "i:ii", "ii:iI"}, memory: "1",
		funcs: []fn{
			{0, "", "local.get 0 call 1 i32.mul local.get 0 i32.const 5 call 2 i32.wrap_i64 i32.sub i32.add", "run"},
			{1, "", "local.get 0 i32.eqz if - i32.const 8 i32.const 9 return end local.get 0 local.get 0 call 3", ""},
			{2, "", "local.get 0 local.get 1 i64.extend_i32_u", ""},
			{0, "", "local.get 0 i32.const 1 i32.add", ""},
		},
	}
	all["call_indirect"] = build{
		types: []string{"i:i", ":i"}, imports: []string{"sched_yield 1"}, table: "6 9", memory: "1",
		funcs: []fn{
			{0, "", `local.get 0 i32.const 5 i32.lt_u if i local.get 0 i32.const 10 i32.add local.get 0 call_indirect 0
				else local.get 0 i32.const 4 i32.sub call_indirect 1 end`, "run"},
			{0, "", "local.get 0 i32.const 2 i32.mul", ""},
			{0, "", "local.get 0 call 2", ""},
		},
		exports:  []string{"yield 0 0"},
		elements: [][]byte{activeElement(1, 2, 0, 3, 2)},
	}
	all["segments"] = build{
		types: []string{"i:i", ":i"}, table: "4", memory: "1", count: true, custom: true,
		funcs: []fn{
			{0, "", `i32.const 8 i32.const 1 local.get 0 i32.const 4095 i32.and memory.init 1 i32.const 8 i32.load 0 0
				local.get 0 i32.const 1 i32.add i32.const 0 call_indirect 0 i32.add`, "run"},
			{0, "", "local.get 0 i32.const 3 i32.mul", ""},
		},
		elements: [][]byte{activeElement(0, 1, 1)},
		data:     [][]byte{activeData(4, "abc"), {1, 6, 'p', 'q', 'r', 's', 't', 'u'}},
	}
	all["data"] = build{
		types: []string{"i:i"}, memory: "1", funcs: one("local.get 0 i32.load 0 0"),
		data: [][]byte{activeData(100, "later"), activeData(0, "abcd"), activeData(8, "efgh"), activeData(90, ""), activeData(65531, "end..")},
	}
	all["overlapping data"] = build{
		types: []string{"i:i"}, memory: "1", funcs: one("local.get 0 i32.load 0 0"),
		data: [][]byte{activeData(2, "second"), activeData(0, "first")},
	}
	all["start"] = build{
		types: []string{":", "i:i"}, memory: "1", globals: []string{"!i i32.const 1"}, start: "0",
		funcs: []fn{{0, "", "i32.const 77 global.set 0", ""}, {1, "", "global.get 0 local.get 0 i32.add", "run"}},
	}
	return all
}

var inputs = []uint64{0, 1, 2, 3, 4, 5, 6, 7, 12, 40, 1 << 31, 1<<32 - 1}

// outcome is what can be seen of a call: results or the trap, and the memory
// after it.
func outcome(t testing.TB, mod api.Module, arg uint64) string {
	t.Helper()
	results, err := mod.ExportedFunction("run").Call(guestContext(t.Context()), arg)
	text := fmt.Sprint(results, firstLine(err))
	all, _ := mod.Memory().Read(0, mod.Memory().Size())
	return fmt.Sprintf("%s, memory of %d bytes %x", text, len(all), sha256.Sum256(all))
}

func firstLine(err error) string {
	if err == nil {
		return "ok"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

var defaults = Limits{}.withDefaults()

func TestSameBehaviour(t *testing.T) {
	r := newRuntime(t)
	for name, b := range corpus() {
		t.Run(name, func(t *testing.T) {
			wasm := b.bytes()
			out, _ := rewrite(t, wasm, Limits{})
			was, is := compile(t, r, wasm), compile(t, r, out)
			pairs := [2]api.Module{fresh(t, r, was), fresh(t, r, is)}
			for _, arg := range inputs {
				// One after another on the same instance, and on new ones.
				if want, got := outcome(t, pairs[0], arg), outcome(t, pairs[1], arg); got != want {
					t.Errorf("run(%d) after others: %s, want %s", arg, got, want)
				}
				a, b := fresh(t, r, was), fresh(t, r, is)
				want, got := outcome(t, a, arg), outcome(t, b, arg)
				if got != want {
					t.Errorf("run(%d): %s, want %s", arg, got, want)
				}
				if d := depth(t, b); strings.Contains(want, "ok") && d != int64(defaults.Depth) {
					t.Errorf("run(%d) leaves depth %d", arg, d)
				}
				if f := fuel(t, b); f < 0 || f >= defaults.InitFuel {
					t.Errorf("run(%d) leaves fuel %d", arg, f)
				}
			}
		})
	}
}

func fresh(t testing.TB, r wazero.Runtime, c wazero.CompiledModule) api.Module {
	t.Helper()
	mod, err := r.InstantiateModule(guestContext(t.Context()), c, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mod.Close(context.Background()) })
	return mod
}
