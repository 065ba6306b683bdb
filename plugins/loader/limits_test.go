package loader

import (
	"slices"
	"strings"
	"testing"
)

// simple is a module of one function without parameters and results.
func simple(code string) build {
	return build{types: []string{":"}, memory: "1", table: "1", globals: []string{"i i32.const 0"}, funcs: []fn{{0, "i", code, "run"}}}
}

func TestRefused(t *testing.T) {
	rep := strings.Repeat
	section := func(id byte, body ...byte) []byte { return appendSized(append([]byte(header), id), body) }
	loops := func(nested int) string { return rep("loop - ", nested) + rep("end ", nested) }
	with := func(b build, change func(*build)) []byte {
		change(&b)
		return b.bytes()
	}
	many := func(n int, s string) []string { return slices.Repeat([]string{s}, n) }
	manySegments := func(n int) (all [][]byte) { return slices.Repeat([][]byte{{1, 0}}, n) }
	tests := []struct {
		name string
		wasm []byte
		want string
	}{
		{"nothing", nil, "this is no core WebAssembly module"},
		{"a component", []byte("\x00asm\x0d\x00\x01\x00"), "this is no core WebAssembly module"},
		{"too large", make([]byte, 16<<20+1), "the module has 16777217 bytes, at most 16777216 may be"},
		{"types", build{types: many(10_001, ":")}.bytes(), "the module has 10001 types, at most 10000 may be"},
		{"parameters", build{types: []string{":", rep("i", 101) + ":"}}.bytes(), "type 1 has 101 parameters, at most 100 may be"},
		{"results", build{types: []string{":" + rep("i", 101)}}.bytes(), "type 0 has 101 results, at most 100 may be"},
		{"imports", build{types: []string{":"}, imports: many(1001, "f 0")}.bytes(), "the module has 1001 imports, at most 1000 may be"},
		{"functions", build{types: []string{":"}, funcs: slices.Repeat([]fn{{}}, 20_001)}.bytes(), "the module has 20001 functions, at most 20000 may be"},
		{"globals", build{globals: many(1001, "i i32.const 0")}.bytes(), "the module has 1001 globals, at most 1000 may be"},
		{"exports", with(simple(""), func(b *build) { b.exports = many(10_000, "a 0 0") }), "the module has 10001 exports, at most 10000 may be"},
		{"a huge table", build{table: "134217728"}.bytes(), "the table has 134217728 entries, at most 100000 may be"},
		{"two tables", section(sectionTable, 2, typeTable, 0, 1, typeTable, 0, 1), "the module has 2 tables, at most 1 may be"},
		{"a table of host values", section(sectionTable, 1, 0x6f, 0, 1), "the table holds values of type 0x6f, only functions may be held"},
		{"two memories", section(sectionMemory, 2, 0, 1, 0, 1), "the module has 2 memories, at most 1 may be"},
		{"a large memory", build{memory: "257"}.bytes(), "the memory has 257 pages of 64 KiB at the start, at most 256 may be"},
		{"a shared memory", section(sectionMemory, 1, 3, 1, 1), "the memory is shared, threads may not be used"},
		{"a 64-bit memory", section(sectionMemory, 1, 4, 1), "the memory has the unknown flags 0x4"},
		{"a memory upside down", build{memory: "2 1"}.bytes(), "the memory has at least 2 and at most 1"},
		{"element segments", with(simple(""), func(b *build) { b.elements = slices.Repeat([][]byte{activeElement(0)}, 10_001) }), "the module has 10001 element segments, at most 10000 may be"},
		{"element of all segments", build{types: []string{":"}, table: "100000", funcs: []fn{{}}, elements: slices.Repeat([][]byte{activeElement(0, make([]byte, 60_000)...)}, 2)}.bytes(), "element segments hold 120000 functions and more, at most 100000 may be"},
		{"data segments", build{memory: "1", data: manySegments(200_001)}.bytes(), "the module has 200001 data segments, at most 200000 may be"},
		{"a large function", rawFuncs(manyLocals(1, rep("nop ", 256<<10))), "function 0 has 262148 bytes, at most 262144 may be"},
		{"locals", rawFuncs(manyLocals(1001, "")), "function 0 has 1001 locals, at most 1000 may be"},
		{"locals beyond counting", rawFuncs(append(manyLocals(1<<32-1, "")[:0:0], 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b)), "function 0 has 8589934590 locals, at most 1000 may be"},
		{"1000 functions of 50,000 locals", rawFuncs(slices.Repeat([][]byte{manyLocals(50_000, "")}, 1000)...), "function 0 has 50000 locals, at most 1000 may be"},
		{"nested blocks", rawFuncs(manyLocals(1, rep("block - ", 1001)+rep("end ", 1001))), "function 0 nests blocks deeper than 1000"},
		{"nested loops", rawFuncs(manyLocals(1, loops(33))), "function 0 nests loops deeper than 32"},
		{"2000 nested loops of 1000 locals", rawFuncs(manyLocals(1000, loops(2000))), "function 0 nests loops deeper than 32"},
		{"loops of locals", rawFuncs(manyLocals(1000, rep(loops(1), 101))), "function 0 has 101 loops and 1000 locals, their product may be 100000 at most"},
		{"blocks of locals", rawFuncs(manyLocals(1000, rep("block - end ", 201))), "function 0 has 201 blocks and 1000 locals, their product may be 200000 at most"},
		{"blocks of locals in all", rawFuncs(slices.Repeat([][]byte{manyLocals(1000, rep("block - end ", 200))}, 16)...), "the functions up to 15 have a sum of blocks × locals of 3200000, it may be 3000000 at most"},
		{"branches of blocks", rawFuncs(manyLocals(1, rep("block - end ", 5500))), "function 0 has 5500 blocks and 5500 branches, their product may be 30000000 at most"},
		{"branches of blocks in all", rawFuncs(slices.Repeat([][]byte{manyLocals(1, rep("block - end ", 5400))}, 7)...), "the functions up to 6 have a sum of blocks × branches of 204120000, it may be 200000000 at most"},
		{"bulk instructions", simple(rep("i32.const 0 i32.const 0 i32.const 0 memory.fill ", 913)).bytes(), "function 0 has 5478 blocks and 5478 branches, their product may be 30000000 at most"},
		{"targets", rawFuncs(manyLocals(1, "i32.const 0 br_table 20001 "+rep("0 ", 20_002))), "the module has 20001 targets of a br_table, at most 20000 may be"},

		{"another import", append([]byte(header), "\x01\x04\x01\x60\x00\x00\x02\x0a\x01\x03env\x02go\x00\x00"...), "the module imports env.go, only wasi_snapshot_preview1 may be imported from"},
		{"an imported memory", section(sectionImport, []byte("\x01\x03env\x06memory\x02\x00\x01")...), "the module imports the memory env.memory, only functions may be imported"},
		{"an imported table", section(sectionImport, []byte("\x01\x03env\x01t\x01\x70\x00\x01")...), "the module imports the table env.t, only functions may be imported"},
		{"an imported global", section(sectionImport, []byte("\x01\x03env\x01g\x03\x7f\x00")...), "the module imports the global env.g, only functions may be imported"},
		{"a reserved export", with(simple(""), func(b *build) { b.exports = []string{"$fuel 3 0"} }), `the module exports "$fuel", names that begin with $ are the host's`},
		{"table.grow", simple("ref.null i32.const 200000000 table.grow 0 drop").bytes(), "function 0 uses reference types (opcode 0xd0), they may not be used"},
		{"table.grow alone", simple("unreachable table.grow 0").bytes(), "function 0 uses reference types (opcode 0xfc 15), they may not be used"},
		{"table.get", simple("i32.const 0 table.get 0 drop").bytes(), "function 0 uses reference types (opcode 0x25), they may not be used"},
		{"a segment of expressions", with(simple(""), func(b *build) { b.elements = [][]byte{{5, 0x70, 0}} }), "element segment 0 holds expressions, reference types may not be used"},
		{"a passive element segment", with(simple(""), func(b *build) { b.elements = [][]byte{{1, 0, 0}} }), "element segment 0 does not fill the table at the start, reference types may not be used"},
		{"SIMD", simple("v128.const").bytes(), "function 0 uses SIMD (opcode 0xfd), they may not be used"},
		{"a vector", section(sectionType, 1, typeFunc, 1, 0x7b, 0), "the value type of SIMD may not be used"},
		{"a reference", section(sectionType, 1, typeFunc, 1, 0x6f, 0), "the value types of reference types may not be used"},
		{"threads", simple("atomic.fence").bytes(), "function 0 uses threads (opcode 0xfe), they may not be used"},
		{"tail calls", simple("return_call 0").bytes(), "function 0 uses tail calls (opcode 0x12), they may not be used"},
		{"exceptions", simple("try - end").bytes(), "function 0 uses exceptions (opcode 0x6), they may not be used"},
		{"garbage collection", simple("gc").bytes(), "function 0 uses garbage collection (opcode 0xfb), they may not be used"},

		{"a call of no function", simple("call 7").bytes(), "function 7 does not exist, there are 1"},
		{"a function of no type", with(simple(""), func(b *build) { b.funcs = append(b.funcs, fn{typ: 3}) }), "type 3 does not exist, there are 1"},
		{"a call of no type", simple("i32.const 0 call_indirect 9").bytes(), "type 9 does not exist, there are 1"},
		{"a block of no type", simple("block 9 end").bytes(), "type 9 does not exist, there are 1"},
		{"no local", simple("local.get 1 drop").bytes(), "local 1 does not exist, there are 1"},
		{"no global", simple("global.get 1 drop").bytes(), "global 1 does not exist, there are 1"},
		{"a constant that is set", simple("i32.const 1 global.set 0").bytes(), "global 0 is set and not mutable"},
		{"no label", simple("block - br 2 end").bytes(), "label 2 does not exist, there are 2"},
		{"no label of a table", simple("i32.const 0 br_table 1 0 1").bytes(), "label 1 does not exist, there are 1"},
		{"data.drop", simple("data.drop 0").bytes(), "function 0 drops a segment or changes a table (opcode 0xfc 9), which outlives a call"},
		{"elem.drop", simple("elem.drop 0").bytes(), "(opcode 0xfc 13), which outlives a call"},
		{"table.init", simple("unreachable table.init 0").bytes(), "(opcode 0xfc 12), which outlives a call"},
		{"table.copy", simple("unreachable table.copy").bytes(), "(opcode 0xfc 14), which outlives a call"},
		{"no data segment", simple("unreachable memory.init 0").bytes(), "data segment 0 does not exist, there are 0"},
		{"no memory", rawFuncs(manyLocals(1, "memory.size drop")), "there is no memory"},
		{"no table", rawFuncs(manyLocals(1, "i32.const 0 call_indirect 0")), "there is no table"},
		{"a start of no function", build{types: []string{":"}, funcs: []fn{{}}, start: "1"}.bytes(), "function 1 does not exist, there are 1"},
		{"a start with results", build{types: []string{":i"}, funcs: []fn{{code: "i32.const 0"}}, start: "0"}.bytes(), "the start function has parameters or results"},
		{"an export of nothing", with(simple(""), func(b *build) { b.exports = []string{"a 3 1"} }), "global 1 does not exist, there are 1"},
		{"an export twice", with(simple(""), func(b *build) { b.exports = []string{"run 3 0"} }), `"run" is exported twice`},
		{"an element of no function", with(simple(""), func(b *build) { b.elements = [][]byte{activeElement(0, 5)} }), "function 5 does not exist, there are 1"},
		{"an element past the table", with(simple(""), func(b *build) { b.elements = [][]byte{activeElement(1, 0)} }), "element segment 0 ends past the table, which has 1 entries"},
		{"data past the memory", with(simple(""), func(b *build) { b.data = [][]byte{activeData(65535, "ab")} }), "data segment 0 ends past the memory, which has 1 pages at the start"},
		{"data at a negative place", with(simple(""), func(b *build) { b.data = [][]byte{activeData(-1, "a")} }), "data segment 0 ends past the memory, which has 1 pages at the start"},
		{"sections out of order", append(section(sectionMemory, 1, 0, 1), sectionTable, 4, 1, typeTable, 0, 1), "section 4 is unknown, repeated or out of order"},
		{"a section twice", append(section(sectionMemory, 1, 0, 1), sectionMemory, 3, 1, 0, 1), "section 5 is unknown, repeated or out of order"},
		{"no bodies", append(section(sectionType, 1, typeFunc, 0, 0), sectionFunction, 2, 1, 0), "1 functions are declared and 0 defined"},
		{"a number too long", section(sectionMemory, 0x81, 0x80, 0x80, 0x80, 0x10, 0, 1), "a number is longer than 32 bits"},
		{"a name that is no text", section(sectionCustom, 2, 0xff, 0xfe), "a name is not UTF-8"},
		{"more than a section says", section(sectionMemory, 1, 0, 1, 0), "1 bytes are left over"},
		{"code behind the end", rawFuncs(manyLocals(1, "end nop")), "2 bytes are left over"},
		{"else without if", simple("else").bytes(), "an else stands outside of an if"},
		{"else twice", simple("i32.const 0 if - else else end").bytes(), "an else stands outside of an if"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := Rewrite(test.wasm, Limits{})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want … %s", err, test.want)
			}
		})
	}
}

// What stands just at the limit passes.
func TestAtTheLimit(t *testing.T) {
	rep := strings.Repeat
	tests := map[string][]byte{
		"locals":      rawFuncs(manyLocals(1000, "")),
		"a function":  rawFuncs(manyLocals(1, rep("nop ", 256<<10-5))),
		"blocks":      rawFuncs(manyLocals(100, rep("block - ", 1000)+rep("end ", 1000))),
		"loops":       rawFuncs(manyLocals(1000, rep(rep("loop - ", 32)+rep("end ", 32), 3))),
		"functions":   build{types: []string{":"}, funcs: slices.Repeat([]fn{{}}, 20_000)}.bytes(),
		"globals":     build{globals: slices.Repeat([]string{"!i i32.const 0"}, 1000)}.bytes(),
		"memory":      build{memory: "256"}.bytes(),
		"table":       build{table: "100000 200000"}.bytes(),
		"parameters":  build{types: []string{rep("i", 100) + ":" + rep("i", 100)}}.bytes(),
		"no sections": []byte(header),
	}
	for name, wasm := range tests {
		t.Run(name, func(t *testing.T) {
			out, _ := rewrite(t, wasm, Limits{})
			r := newRuntime(t)
			fresh(t, r, compile(t, r, out))
		})
	}
}

func TestMemoryIsClamped(t *testing.T) {
	for in, want := range map[string]int{"1": 32, "1 16": 16, "1 65536": 32} {
		_, info := rewrite(t, build{memory: in}.bytes(), Limits{Memory: 2 << 20})
		if info.MemoryMin != 1 || info.MemoryMax != want {
			t.Errorf("memory %s becomes %d to %d pages, want 1 to %d", in, info.MemoryMin, info.MemoryMax, want)
		}
	}
}
