package loader

import "strings"

func (m *module) readTypes(r *reader) {
	for range r.count("types", 3, maxTypes) {
		if form := r.byte(); form != typeFunc {
			r.fail("type form %#x is not that of a function", form)
			return
		}
		t := funcType{m.readValues(r, "parameters"), m.readValues(r, "results")}
		if r.err != nil {
			return
		}
		m.types = append(m.types, t)
	}
}

func (m *module) readValues(r *reader, what string) []byte {
	n := r.u32()
	if n > maxValues {
		r.refuse("type %d has %d %s, at most %d may be", len(m.types), n, what, maxValues)
	}
	values := r.take(n)
	for _, v := range values {
		checkValue(r, v)
	}
	return values
}

func checkValue(r *reader, v byte) {
	switch {
	case v == 0x7b:
		r.refuse("byte %d: the value type of SIMD may not be used", r.offset())
	case v == typeTable || v == 0x6f:
		r.refuse("byte %d: the value types of reference types may not be used", r.offset())
	case v < typeF64 || v > typeI32:
		r.fail("%#x is no value type", v)
	}
}

// importModule is the one module that may be imported from.
const importModule = "wasi_snapshot_preview1"

func (m *module) readImports(r *reader) {
	kinds := []string{"function", "table", "memory", "global"}
	for range r.count("imports", 4, maxImports) {
		from, name, kind := r.name(), r.name(), r.byte()
		switch {
		case r.err != nil:
		case int(kind) >= len(kinds):
			r.fail("import kind %d is unknown", kind)
		case kind != kindFunction:
			r.refuse("the module imports the %s %s.%s, only functions may be imported", kinds[kind], from, name)
		case from != importModule:
			r.refuse("the module imports %s.%s, only %s may be imported from", from, name, importModule)
		}
		f := importedFunc{name, r.index("type", len(m.types))}
		if r.err != nil {
			return
		}
		m.imports = append(m.imports, f)
		m.info.Imports = append(m.info.Imports, name)
	}
}

// readLimits reads the size of a table or memory.
func readLimits(r *reader, what string) (least uint32, most uint64) {
	flags := r.byte()
	switch {
	case flags&2 != 0:
		r.refuse("the %s is shared, threads may not be used", what)
	case flags > 1:
		r.fail("the %s has the unknown flags %#x", what, flags)
	}
	least, most = r.u32(), 1<<32
	if flags&1 != 0 {
		most = uint64(r.u32())
	}
	if most < uint64(least) {
		r.fail("the %s has at least %d and at most %d", what, least, most)
	}
	return least, most
}

func (m *module) readTable(r *reader) {
	if r.count("tables", 3, 1) == 0 {
		return
	}
	if typ := r.byte(); typ != typeTable {
		r.refuse("the table holds values of type %#x, only functions may be held", typ)
	}
	least, _ := readLimits(r, "table")
	if least > maxTable {
		r.refuse("the table has %d entries, at most %d may be", least, maxTable)
	}
	m.table = int(least)
}

func (m *module) readMemory(r *reader) {
	if r.count("memories", 2, 1) == 0 {
		return
	}
	least, most := readLimits(r, "memory")
	limit := m.limits.pages()
	switch {
	case least > maxPages || most > maxPages && most < 1<<32:
		r.fail("a memory has at most %d pages", maxPages)
	case least > limit:
		r.refuse("the memory has %d pages of 64 KiB at the start, at most %d may be", least, limit)
	}
	m.memory, m.memoryMin, m.memoryMax = true, least, uint32(min(most, uint64(limit)))
}

// constant reads a constant expression of the given type. There are no
// imported globals, so a constant is all that it can be.
func (m *module) constant(r *reader, typ byte) (expr []byte, value int64) {
	from := r.pos
	op := r.byte()
	// The opcodes of the constants rise as the codes of the types fall.
	if r.err == nil && (op < opI32Const || op > opF64Const || typ != typeI32-(op-opI32Const)) {
		r.fail("opcode %#x is not the constant that should stand here", op)
	}
	switch op {
	case opI32Const:
		value = r.signed(32)
	case opI64Const:
		value = r.signed(64)
	case opF32Const:
		r.take(4)
	case opF64Const:
		r.take(8)
	}
	if r.byte() != opEnd {
		r.fail("a constant expression has more than a constant")
	}
	if r.err != nil {
		return nil, 0
	}
	return r.b[from:r.pos], value
}

func (m *module) readGlobals(r *reader) {
	for range r.count("globals", 4, maxGlobals) {
		typ, mutable := r.byte(), r.byte()
		checkValue(r, typ)
		if mutable > 1 {
			r.fail("mutability %d is unknown", mutable)
		}
		init, _ := m.constant(r, typ)
		if r.err != nil {
			return
		}
		m.globals = append(m.globals, global{typ, mutable == 1, init})
	}
}

func (m *module) readExports(r *reader) {
	spaces := []struct {
		what string
		n    int
	}{
		{"function", m.functions()}, {"table", has(m.table >= 0)}, {"memory", has(m.memory)}, {"global", len(m.globals)},
	}
	seen := map[string]bool{}
	for range r.count("exports", 3, maxExports) {
		name, kind := r.name(), r.byte()
		switch {
		case r.err != nil:
		case int(kind) >= len(spaces):
			r.fail("export kind %d is unknown", kind)
		case strings.HasPrefix(name, reserved):
			r.refuse("the module exports %q, names that begin with %s are the host's", name, reserved)
		case seen[name]:
			r.fail("%q is exported twice", name)
		}
		if r.err != nil {
			return
		}
		seen[name] = true
		m.exports = append(m.exports, export{name, kind, r.index(spaces[kind].what, spaces[kind].n)})
	}
}

func has(one bool) int {
	if one {
		return 1
	}
	return 0
}

func (m *module) readStart(r *reader) {
	index := r.index("function", m.functions())
	if r.err != nil {
		return
	}
	if t := m.funcType(index); len(t.params)+len(t.results) > 0 {
		r.fail("the start function has parameters or results")
	}
	m.start, m.info.Start = int64(index), true
}

// readElements reads element segments. Those of expressions belong to
// reference types; so do, for the engine, those that do not fill the table at
// the start: it fails on them when it has no reference types.
func (m *module) readElements(r *reader) {
	const passive, explicit, expressions = 1, 2, 4
	total := 0
	for i := range r.count("element segments", 2, maxElements) {
		e := element{flags: r.u32()}
		switch {
		case r.err == nil && e.flags > passive|explicit|expressions:
			r.fail("element segment %d has the unknown flags %#x", i, e.flags)
		case e.flags&expressions != 0:
			r.refuse("element segment %d holds expressions, reference types may not be used", i)
		case e.flags&passive != 0:
			r.refuse("element segment %d does not fill the table at the start, reference types may not be used", i)
		case e.flags&explicit != 0:
			r.only("table")
		}
		var offset int64
		e.offset, offset = m.constant(r, typeI32)
		if e.flags != 0 && r.byte() != 0 {
			r.fail("element segment %d holds something else than functions", i)
		}
		n := r.count("functions in an element segment", 1, maxTable)
		if total += n; total > maxTable {
			r.refuse("element segments hold %d functions and more, at most %d may be", total, maxTable)
		}
		if int64(uint32(offset))+int64(n) > int64(m.table) {
			r.fail("element segment %d ends past the table, which has %d entries", i, max(0, m.table))
		}
		for range n {
			e.funcs = append(e.funcs, r.index("function", m.functions()))
		}
		if r.err != nil {
			return
		}
		m.elements = append(m.elements, e)
	}
}

func (m *module) readData(r *reader) {
	const passive, explicit = 1, 2
	for i := range r.count("data segments", 2, maxData) {
		flags := r.u32()
		if flags > explicit {
			r.fail("data segment %d has the unknown flags %#x", i, flags)
		}
		s := segment{active: flags != passive}
		if flags == explicit {
			r.only("memory")
		}
		if s.active {
			_, value := m.constant(r, typeI32)
			s.offset = uint32(value)
			if !m.memory {
				r.fail("data segment %d fills a memory, there is none", i)
			}
		}
		s.bytes = r.take(r.u32())
		if uint64(s.offset)+uint64(len(s.bytes)) > uint64(m.memoryMin)*pageSize && s.active {
			r.fail("data segment %d ends past the memory, which has %d pages at the start", i, m.memoryMin)
		}
		if r.err != nil {
			return
		}
		m.data = append(m.data, s)
		m.info.Data += len(s.bytes)
	}
	m.info.Segments = len(m.data)
}
