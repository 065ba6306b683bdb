package loader

import (
	"slices"
	"strings"
)

// Section ids in the binary format.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// Kinds of what is imported and exported.
const (
	kindFunction = iota
	kindTable
	kindMemory
	kindGlobal
)

type funcType struct{ params, results []byte }

type importedFunc struct {
	name string
	typ  uint32
}

type global struct {
	typ     byte
	mutable bool
	init    []byte // a constant expression with its end
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// element is an element segment of function indices.
type element struct {
	flags  uint32
	offset []byte // of an active one: a constant expression with its end
	funcs  []uint32
}

// segment is a data segment.
type segment struct {
	active bool
	offset uint32
	bytes  []byte
}

// module is what Rewrite has read so far. Sections come in their order, so
// each finds what it refers to.
type module struct {
	limits Limits
	info   Info

	types                      []funcType
	imports                    []importedFunc
	funcs                      []uint32 // types of the functions defined here
	table                      int      // entries; -1: there is none
	memory                     bool
	memoryMin                  uint32
	memoryMax                  uint32
	globals                    []global
	exports                    []export
	start                      int64 // -1: there is none
	elements                   []element
	counted                    int // by the data count section; -1: there is none
	code                       []byte
	bodies                     int
	usesData                   bool // code names data segments
	blockLocals, blockBranches int  // sums, see the limits
	data                       []segment
}

const header = "\x00asm\x01\x00\x00\x00"

func parse(wasm []byte, limits Limits) (*module, error) {
	m := &module{limits: limits, table: -1, start: -1, counted: -1}
	if !strings.HasPrefix(string(wasm[:min(len(wasm), len(header))]), header) {
		return nil, errNoModule
	}
	r := &reader{b: wasm, pos: len(header)}
	last := 0
	for r.more() {
		id := r.byte()
		body := r.sub(r.u32())
		if r.err != nil {
			break
		}
		if id == sectionCustom {
			body.name()
			if body.err != nil {
				return nil, body.err
			}
			continue
		}
		place := slices.Index(order, id)
		if place < last {
			r.fail("section %d is unknown, repeated or out of order", id)
			break
		}
		last = place + 1
		m.section(id, body)
		if err := body.finish(); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, m.complete(r)
}

// order is that in which sections stand.
var order = []byte{
	sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory, sectionGlobal,
	sectionExport, sectionStart, sectionElement, sectionDataCount, sectionCode, sectionData,
}

func (m *module) section(id byte, r *reader) {
	switch id {
	case sectionType:
		m.readTypes(r)
	case sectionImport:
		m.readImports(r)
	case sectionFunction:
		for range r.count("functions", 1, maxFunctions) {
			m.funcs = append(m.funcs, r.index("type", len(m.types)))
		}
	case sectionTable:
		m.readTable(r)
	case sectionMemory:
		m.readMemory(r)
	case sectionGlobal:
		m.readGlobals(r)
	case sectionExport:
		m.readExports(r)
	case sectionStart:
		m.readStart(r)
	case sectionElement:
		m.readElements(r)
	case sectionDataCount:
		m.counted = r.count("data segments", 0, maxData)
	case sectionCode:
		m.readCode(r)
	case sectionData:
		m.readData(r)
	}
}

// complete checks what only the whole module shows.
func (m *module) complete(r *reader) error {
	switch {
	case m.bodies != len(m.funcs):
		r.fail("%d functions are declared and %d defined", len(m.funcs), m.bodies)
	case m.counted >= 0 && m.counted != len(m.data):
		r.fail("%d data segments are declared and %d defined", m.counted, len(m.data))
	}
	return r.err
}

// functions is the number of functions, imported ones included.
func (m *module) functions() int { return len(m.imports) + len(m.funcs) }

func (m *module) funcType(index uint32) funcType {
	if i := int(index); i < len(m.imports) {
		return m.types[m.imports[i].typ]
	}
	return m.types[m.funcs[int(index)-len(m.imports)]]
}

// The globals that the rewriter adds stand behind the module's own.
func (m *module) fuel() uint32  { return uint32(len(m.globals)) }
func (m *module) depth() uint32 { return uint32(len(m.globals)) + 1 }

// target is what a reference to a function becomes: an imported one is reached
// by its shim.
func (m *module) target(index uint32) uint32 {
	if int(index) < len(m.imports) {
		return uint32(m.functions()) + index
	}
	return index
}
