package loader

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// build is a module in parts, for tests. Parts left out have no section.
type build struct {
	types    []string // as "iI:f": parameters and results, i I f F for i32 i64 f32 f64
	imports  []string // as "sched_yield 1": a name and the index of its type
	funcs    []fn
	table    string // as "3" or "3 5": entries at least and at most
	memory   string // likewise, in pages
	globals  []string
	exports  []string // as "name kind index", beside those of funcs
	start    string
	elements [][]byte
	data     [][]byte
	count    bool // with a data count section
	custom   bool // with a custom section at the end
}

// fn is a function: the index of its type, its locals in letters, its code.
type fn struct {
	typ    int
	locals string
	code   string
	export string
}

func valueTypes(letters string) []byte {
	var b []byte
	for _, l := range letters {
		b = append(b, 0x7f-byte(strings.IndexRune("iIfF", l)))
	}
	return b
}

func sized(b []byte) []byte { return appendSized(nil, b) }

func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func bounds(s string) []byte {
	words := strings.Fields(s)
	b := []byte{byte(len(words) - 1)}
	for _, w := range words {
		b = appendU32(b, uint32(number(w)))
	}
	return b
}

func vector(items [][]byte) []byte {
	return append(appendU32(nil, uint32(len(items))), slices.Concat(items...)...)
}

// bytes encodes the module.
func (m build) bytes() []byte { return m.withCode(nil, nil) }

// withCode encodes the module with the instructions of the first function that
// end in mark replaced.
func (m build) withCode(mark, code []byte) []byte {
	out := []byte(header)
	put := func(id byte, there bool, body []byte) {
		if there {
			out = appendSized(append(out, id), body)
		}
	}
	var types, imports, typeIndices, exports, bodies [][]byte
	for _, t := range m.types {
		params, results, _ := strings.Cut(t, ":")
		types = append(types, slices.Concat([]byte{typeFunc}, sized(valueTypes(params)), sized(valueTypes(results))))
	}
	for _, i := range m.imports {
		name, typ, _ := strings.Cut(i, " ")
		imports = append(imports, appendU32(append(slices.Concat(sized([]byte(importModule)), sized([]byte(name))), kindFunction), uint32(number(typ))))
	}
	for i, f := range m.funcs {
		typeIndices = append(typeIndices, appendU32(nil, uint32(f.typ)))
		body := f.body()
		if i == 0 && mark != nil {
			body = append(bytes.TrimSuffix(body, mark), code...)
		}
		bodies = append(bodies, sized(body))
		if f.export != "" {
			exports = append(exports, appendU32(append(sized([]byte(f.export)), kindFunction), uint32(len(m.imports)+i)))
		}
	}
	for _, e := range m.exports {
		w := strings.Fields(e)
		exports = append(exports, append(sized([]byte(w[0])), byte(number(w[1])), byte(number(w[2]))))
	}
	var globals [][]byte
	for _, g := range m.globals {
		typ, code, _ := strings.Cut(g, " ")
		mutable, name := typ[0] == '!', strings.TrimPrefix(typ, "!")
		globals = append(globals, append(append(valueTypes(name), byte(has(mutable))), asm(code+" end")...))
	}
	put(sectionType, types != nil, vector(types))
	put(sectionImport, imports != nil, vector(imports))
	put(sectionFunction, typeIndices != nil, vector(typeIndices))
	put(sectionTable, m.table != "", append([]byte{1, typeTable}, bounds(m.table)...))
	put(sectionMemory, m.memory != "", append([]byte{1}, bounds(m.memory)...))
	put(sectionGlobal, globals != nil, vector(globals))
	put(sectionExport, exports != nil, vector(exports))
	if m.start != "" {
		put(sectionStart, true, appendU32(nil, uint32(number(m.start))))
	}
	put(sectionElement, m.elements != nil, vector(m.elements))
	put(sectionDataCount, m.count, appendU32(nil, uint32(len(m.data))))
	put(sectionCode, bodies != nil, vector(bodies))
	put(sectionData, m.data != nil, vector(m.data))
	put(sectionCustom, m.custom, append(sized([]byte("producers")), 0))
	return out
}

func (f fn) body() []byte {
	var groups [][]byte
	for _, t := range valueTypes(f.locals) {
		groups = append(groups, []byte{1, t})
	}
	return append(vector(groups), asm(f.code+" end")...)
}

// manyLocals is a body with n locals of one type, written by hand.
func manyLocals(n int, code string) []byte {
	return append(append(appendU32([]byte{1}, uint32(n)), typeI32), asm(code+" end")...)
}

// rawFuncs is a module of functions without parameters whose bodies are given.
func rawFuncs(bodies ...[]byte) []byte {
	out := append([]byte(header), sectionType, 4, 1, typeFunc, 0, 0)
	var typeIndices, encoded [][]byte
	for _, b := range bodies {
		typeIndices, encoded = append(typeIndices, []byte{0}), append(encoded, sized(b))
	}
	out = appendSized(append(out, sectionFunction), vector(typeIndices))
	return appendSized(append(out, sectionCode), vector(encoded))
}

func activeData(offset int64, b string) []byte {
	return append(append(appendSigned([]byte{0, opI32Const}, offset), opEnd), sized([]byte(b))...)
}

func activeElement(offset int64, funcs ...byte) []byte {
	return append(append(appendSigned([]byte{0, opI32Const}, offset), opEnd), sized(funcs)...)
}

// instructions are the mnemonics that tests use: the opcode and what follows,
// u an index, s a signed number, b a block type, m alignment and offset, t the
// targets of a br_table after their number, z a zero byte.
var instructions = map[string]struct {
	op   string
	args string
}{
	"unreachable": {"\x00", ""}, "nop": {"\x01", ""}, "block": {"\x02", "b"}, "loop": {"\x03", "b"}, "if": {"\x04", "b"},
	"else": {"\x05", ""}, "end": {"\x0b", ""}, "br": {"\x0c", "u"}, "br_if": {"\x0d", "u"}, "br_table": {"\x0e", "t"},
	"return": {"\x0f", ""}, "call": {"\x10", "u"}, "call_indirect": {"\x11", "uz"}, "return_call": {"\x12", "u"},
	"drop": {"\x1a", ""}, "select": {"\x1b", ""}, "try": {"\x06", "b"},
	"local.get": {"\x20", "u"}, "local.set": {"\x21", "u"}, "local.tee": {"\x22", "u"},
	"global.get": {"\x23", "u"}, "global.set": {"\x24", "u"}, "table.get": {"\x25", "u"},
	"i32.load": {"\x28", "m"}, "i64.load": {"\x29", "m"}, "i32.load8_u": {"\x2d", "m"}, "i32.store": {"\x36", "m"}, "i64.store": {"\x37", "m"},
	"i32.store8": {"\x3a", "m"}, "memory.size": {"\x3f", "z"}, "memory.grow": {"\x40", "z"},
	"i32.const": {"\x41", "s"}, "i64.const": {"\x42", "s"}, "i32.eqz": {"\x45", ""}, "i32.eq": {"\x46", ""}, "i32.lt_s": {"\x48", ""}, "i32.lt_u": {"\x49", ""},
	"i32.add": {"\x6a", ""}, "i32.sub": {"\x6b", ""}, "i32.mul": {"\x6c", ""}, "i32.div_s": {"\x6d", ""}, "i32.and": {"\x71", ""}, "i32.xor": {"\x73", ""},
	"i32.rotl": {"\x77", ""}, "i64.add": {"\x7c", ""}, "i64.mul": {"\x7e", ""}, "i64.extend_i32_u": {"\xad", ""}, "i32.wrap_i64": {"\xa7", ""},
	"f64.convert_i32_s": {"\xb7", ""}, "f64.sqrt": {"\x9f", ""}, "f64.add": {"\xa0", ""}, "i32.trunc_sat_f64_s": {"\xfc\x02", ""}, "i32.extend8_s": {"\xc0", ""},
	"ref.null": {"\xd0\x70", ""}, "memory.init": {"\xfc\x08", "uz"}, "data.drop": {"\xfc\x09", "u"}, "memory.copy": {"\xfc\x0a", "zz"},
	"memory.fill": {"\xfc\x0b", "z"}, "table.init": {"\xfc\x0c", "uz"}, "elem.drop": {"\xfc\x0d", "u"}, "table.copy": {"\xfc\x0e", "zz"},
	"table.grow": {"\xfc\x0f", "u"}, "v128.const": {"\xfd\x0c", ""}, "atomic.fence": {"\xfe\x03", "z"}, "gc": {"\xfb", ""},
}

// asm encodes instructions written as words.
func asm(text string) []byte {
	var b []byte
	words := strings.Fields(text)
	next := func() string {
		w := words[0]
		words = words[1:]
		return w
	}
	for len(words) > 0 {
		name := next()
		in, ok := instructions[name]
		if !ok {
			panic(fmt.Sprintf("no instruction %q", name))
		}
		b = append(b, in.op...)
		for _, a := range in.args {
			switch a {
			case 'u':
				b = appendU32(b, uint32(number(next())))
			case 's':
				b = appendSigned(b, number(next()))
			case 'b':
				b = append(b, blockTypeOf(next())...)
			case 'm':
				b = appendU32(appendU32(b, uint32(number(next()))), uint32(number(next())))
			case 't':
				n := number(next())
				b = appendU32(b, uint32(n))
				for range n + 1 {
					b = appendU32(b, uint32(number(next())))
				}
			case 'z':
				b = append(b, 0)
			}
		}
	}
	return b
}

func blockTypeOf(word string) []byte {
	switch word {
	case "-":
		return []byte{noValue}
	case "i", "I", "f", "F":
		return valueTypes(word)
	}
	return appendSigned(nil, number(word))
}
