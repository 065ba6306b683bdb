package loader

import (
	"errors"
	"fmt"
)

var errNoModule = errors.New("this is no core WebAssembly module")

// Rewrite checks a module against the limits and returns it with fuel, a bound
// on nested calls and exported globals. The same input gives the same output.
// An error is one line that says what is wrong and where; the input is not
// changed and the output shares no memory with it.
func Rewrite(wasm []byte, limits Limits) (out []byte, info Info, err error) {
	limits = limits.withDefaults()
	if len(wasm) > limits.Module {
		return nil, Info{}, fmt.Errorf("the module has %d bytes, at most %d may be", len(wasm), limits.Module)
	}
	m, err := parse(wasm, limits)
	if err != nil {
		return nil, Info{}, err
	}
	return m.write(), m.info, nil
}

func (m *module) write() []byte {
	b := []byte(header)
	b = appendSection(b, sectionType, len(m.types), m.writeTypes())
	b = appendSection(b, sectionImport, len(m.imports), m.writeImports())
	b = appendSection(b, sectionFunction, m.functions(), m.writeFunctions())
	if m.table >= 0 {
		size := appendU32(appendU32([]byte{typeTable, 1}, uint32(m.table)), uint32(m.table))
		b = appendSection(b, sectionTable, 1, size)
	}
	if m.memory {
		m.info.MemoryMin, m.info.MemoryMax = int(m.memoryMin), int(m.memoryMax)
		size := appendU32(appendU32([]byte{1}, m.memoryMin), m.memoryMax)
		b = appendSection(b, sectionMemory, 1, size)
	}
	b = appendSection(b, sectionGlobal, len(m.globals)+2, m.writeGlobals())
	b = m.writeExports(b)
	if m.start >= 0 {
		b = appendSized(append(b, sectionStart), appendU32(nil, m.target(uint32(m.start))))
	}
	b = appendSection(b, sectionElement, len(m.elements), m.writeElements())
	data := m.merged()
	if m.counted >= 0 {
		b = appendSized(append(b, sectionDataCount), appendU32(nil, uint32(len(data))))
	}
	for i := range m.imports {
		m.code = appendSized(m.code, m.shim(i))
	}
	b = appendSection(b, sectionCode, m.functions(), m.code)
	m.info.Table = max(0, m.table)
	return appendSection(b, sectionData, len(data), writeData(data))
}

func (m *module) writeTypes() (b []byte) {
	for _, t := range m.types {
		b = appendSized(appendSized(append(b, typeFunc), t.params), t.results)
	}
	return b
}

func (m *module) writeImports() (b []byte) {
	for _, f := range m.imports {
		b = appendSized(appendSized(b, []byte(importModule)), []byte(f.name))
		b = appendU32(append(b, kindFunction), f.typ)
	}
	return b
}

// writeFunctions writes the types of the module's functions and of the shims
// behind them.
func (m *module) writeFunctions() (b []byte) {
	for _, typ := range m.funcs {
		b = appendU32(b, typ)
	}
	for _, f := range m.imports {
		b = appendU32(b, f.typ)
	}
	return b
}

func (m *module) writeGlobals() (b []byte) {
	for _, g := range m.globals {
		b = append(append(b, g.typ, byte(has(g.mutable))), g.init...)
	}
	for _, v := range []int64{m.limits.InitFuel, int64(m.limits.Depth)} {
		b = append(b, 0x7e, 1, opI64Const)
		b = append(appendSigned(b, v), opEnd)
	}
	return b
}

func (m *module) writeExports(b []byte) []byte {
	exports := m.exports
	for i, g := range m.globals {
		if g.mutable {
			exports = append(exports, export{fmt.Sprint(globalExport, i), kindGlobal, uint32(i)})
		}
	}
	exports = append(exports, export{FuelExport, kindGlobal, m.fuel()}, export{DepthExport, kindGlobal, m.depth()})
	for _, e := range exports[len(m.exports):] {
		m.info.Globals = append(m.info.Globals, e.name)
	}
	var items []byte
	for _, e := range exports {
		index := e.index
		if e.kind == kindFunction {
			index = m.target(index)
		}
		items = appendU32(append(appendSized(items, []byte(e.name)), e.kind), index)
	}
	return appendSection(b, sectionExport, len(exports), items)
}

func (m *module) writeElements() (b []byte) {
	for _, e := range m.elements {
		b = appendU32(b, e.flags)
		if e.flags == 2 {
			b = append(b, 0) // the table
		}
		b = append(b, e.offset...)
		if e.flags != 0 {
			b = append(b, 0) // what follows are functions
		}
		b = appendU32(b, uint32(len(e.funcs)))
		for _, f := range e.funcs {
			b = appendU32(b, m.target(f))
		}
	}
	return b
}

func writeData(data []segment) (b []byte) {
	for _, s := range data {
		if s.active {
			b = appendSigned(append(b, 0, opI32Const), int64(int32(s.offset)))
			b = append(b, opEnd)
		} else {
			b = append(b, 1)
		}
		b = appendSized(b, s.bytes)
	}
	return b
}
