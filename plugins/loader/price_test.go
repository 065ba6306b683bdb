package loader

import (
	"slices"
	"strings"
	"testing"
)

// What a run spends, to the unit: every instruction that was reached, by its
// weight, with all of its segment.
func TestWhatIsCharged(t *testing.T) {
	host := []string{"sched_yield 2", "random_get 3"}
	tests := []struct {
		name string
		code string
		arg  uint64
		want int64
	}{
		{"nothing", "local.get 0", 0, 1},
		{"what is no machine code", "block - nop block - end end local.get 0", 0, 1},
		{"the branch not taken", "local.get 0 if - i32.const 1 local.set 1 else i32.const 1 local.set 1 i32.const 1 local.set 1 end i32.const 1", 1, 2 + 2 + 1},
		{"the other branch", "local.get 0 if - i32.const 1 local.set 1 else i32.const 1 local.set 1 i32.const 1 local.set 1 end i32.const 1", 0, 2 + 4 + 1},
		{"what follows br_if", "block - local.get 0 br_if 0 i32.const 1 local.set 1 end i32.const 1", 0, 2 + 2 + 1},
		{"what br_if leaves out", "block - local.get 0 br_if 0 i32.const 1 local.set 1 end i32.const 1", 1, 2 + 1},
		{"an else after a branch", "local.get 0 if - br 0 else i32.const 1 local.set 1 end i32.const 1", 0, 2 + 2 + 1},
		{"what br leaves out", "block - br 0 i32.const 1 local.set 1 end i32.const 1", 0, 1 + 1},
		{"what return leaves out", "i32.const 1 return drop i32.const 2", 0, 2},
		{"a loop three times", "loop - local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end i32.const 1", 3, 3*5 + 1},
		{"a division", "i32.const 6 i32.const 3 i32.div_s", 0, 12},
		{"a call", "i32.const 1 call 3", 0, 1 + 3 + 2},
		{"memory.fill", "i32.const 0 i32.const 1 local.get 0 memory.fill i32.const 1", 800, 5 + 40 + 100},
		{"memory.copy", "i32.const 0 i32.const 1 local.get 0 memory.copy i32.const 1", 807, 5 + 40 + 100},
		{"memory.grow", "local.get 0 memory.grow", 2, 2 + 2000 + 2*8192},
		{"memory.grow in vain", "local.get 0 memory.grow", 1 << 31, 2 + 2000 + 256*8192},
		{"a host call", "call 0", 0, 3 + 1000},
		{"a host call through the table", "local.get 0 call_indirect 2", 0, 1 + 3 + 1000},
		{"random bytes", "i32.const 0 local.get 0 call 1", 500, 2 + 3 + 1000 + 1000},
	}
	r := newRuntime(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := build{
				types: []string{"i:i", "i:i", ":i", "ii:i"}, imports: host, memory: "1", table: "1",
				funcs:    []fn{{0, "i", test.code, "run"}, {0, "", "local.get 0 nop local.get 0 drop", ""}},
				exports:  []string{"memory 2 0"},
				elements: [][]byte{activeElement(0, 0)},
			}
			out, _ := rewrite(t, b.bytes(), Limits{})
			mod := fresh(t, r, compile(t, r, out))
			if _, err := mod.ExportedFunction("run").Call(guestContext(t.Context()), test.arg); err != nil {
				t.Fatal(err)
			}
			if got := defaults.InitFuel - fuel(t, mod); got != test.want {
				t.Errorf("spent %d, want %d", got, test.want)
			}
		})
	}
}

func TestEveryChangingGlobalIsExported(t *testing.T) {
	wasm := corpus()["globals"].bytes()
	out, info := rewrite(t, wasm, Limits{})
	if want := []string{"$g0", "$g1", FuelExport, DepthExport}; !slices.Equal(info.Globals, want) {
		t.Fatalf("globals %s, want %s", info.Globals, want)
	}
	r := newRuntime(t)
	mod := fresh(t, r, compile(t, r, out))
	if mod.ExportedGlobal("$g2") != nil {
		t.Error("a constant is exported")
	}
	var saved []uint64
	for _, name := range info.Globals {
		saved = append(saved, exported(t, mod, name).Get())
	}
	first := outcome(t, mod, 4)
	if second := outcome(t, mod, 4); second == first {
		t.Fatal("the globals keep nothing from call to call")
	}
	for i, name := range info.Globals {
		exported(t, mod, name).Set(saved[i])
	}
	if again := outcome(t, mod, 4); again != first {
		t.Errorf("after a restore: %s, want %s", again, first)
	}
}

func TestInfo(t *testing.T) {
	_, info := rewrite(t, corpus()["call_indirect"].bytes(), Limits{})
	if info.Functions != 3 || !slices.Equal(info.Imports, []string{"sched_yield"}) || info.Table != 6 || info.Blocks != 1 || info.Locals != 1 || info.FuelPoints < 3 {
		t.Errorf("%+v", info)
	}
}

// Custom sections do not reach the compiler: names and debugging information
// are of no use there.
func TestCustomSectionsAreDropped(t *testing.T) {
	b := corpus()["segments"]
	out, _ := rewrite(t, b.bytes(), Limits{})
	b.custom = false
	without, _ := rewrite(t, b.bytes(), Limits{})
	if string(out) != string(without) || strings.Contains(string(out), "producers") {
		t.Error("the custom section is in the output")
	}
}
