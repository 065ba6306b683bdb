package loader

// The exports that the rewriter adds. They are mutable globals of type i64,
// but for the module's own, which keep their types.
const (
	// FuelExport is the fuel that is left. The host sets it before a call; a
	// run that traps with less than none has spent it.
	FuelExport = "$fuel"
	// DepthExport is the budget of nested calls that is left. It is whole
	// again when a call returns; a run that traps with less than none has
	// nested too deep.
	DepthExport = "$depth"
	// globalExport and its index name the module's own mutable globals.
	globalExport = "$g"

	reserved = "$"
)

// price is what an instruction or a host call costs by a number n that it is
// given: base + min(n, most) * factor / 2^shift.
type price struct{ base, most, factor, shift int64 }

// perByte makes filling and copying no cheaper by the time it takes than the
// slowest plain instructions, about one nanosecond for a unit.
var perByte = price{base: 40, most: 1 << 32, factor: 1, shift: 3}

// perPage is the price of memory.grow: the new pages are cleared and, as the
// engine may move the memory, copied.
func (m *module) perPage() price {
	return price{base: 2000, most: int64(m.limits.pages()), factor: pageSize >> perByte.shift}
}

// append writes instructions that leave the price by local n, an i32, on the
// stack.
func (p price) append(b []byte, n uint32) []byte {
	number := func(v int64) { b = appendSigned(append(b, opI64Const), v) }
	operand := func() { b = append(with(b, opLocalGet, n), opExtendU) }
	operand()
	if p.most < 1<<32 {
		number(p.most)
		operand()
		number(p.most)
		b = append(b, opI64LtU, opSelect)
	}
	if p.factor > 1 {
		number(p.factor)
		b = append(b, opI64Mul)
	}
	if p.shift > 0 {
		number(p.shift)
		b = append(b, opI64ShrU)
	}
	number(p.base)
	return append(b, opI64Add)
}

// take writes that the global falls by a constant; what it leaves is nothing
// on the stack.
func take(b []byte, global uint32, n int64) []byte {
	b = appendSigned(append(with(b, opGlobalGet, global), opI64Const), n)
	return with(append(b, opI64Sub), opGlobalSet, global)
}

// give is the reverse of take.
func give(b []byte, global uint32, n int64) []byte { return take(b, global, -n) }

// settle writes that the number on the stack becomes the fuel, and that the
// run ends if that is less than none. Local acc, an i64, is overwritten.
func (m *module) settle(b []byte, acc uint32) []byte {
	b = with(with(b, opLocalTee, acc), opGlobalSet, m.fuel())
	return stopIfNegative(with(b, opLocalGet, acc))
}

func stopIfNegative(b []byte) []byte {
	return append(b, opI64Const, 0, opI64LtS, opIf, noValue, opUnreachable, opEnd)
}

// chargeBy writes into the segment the price of an instruction whose last
// operand, an i32, lies on the stack.
func (f *function) chargeBy(p price) {
	if f.r.err != nil {
		return
	}
	f.scratch = true
	f.joins += bulkBlocks
	f.edges += bulkBlocks
	acc, n := uint32(f.locals), uint32(f.locals)+1
	f.segment = with(f.segment, opLocalTee, n)
	f.segment = with(f.segment, opGlobalGet, f.m.fuel())
	f.segment = append(p.append(f.segment, n), opI64Sub)
	f.segment = f.m.settle(f.segment, acc)
	f.m.info.FuelPoints++
}

// flush writes the segment, its charge before it. That of the first segment is
// part of the function's entry, which assemble writes. Where control never
// comes nothing is charged.
func (f *function) flush() {
	switch {
	case !f.entered:
		f.entered, f.entry = true, f.cost
	case f.dead:
	case f.head:
		f.m.info.FuelPoints++
		f.out = with(f.out, opGlobalGet, f.m.fuel())
		f.out = append(appendSigned(append(f.out, opI64Const), f.cost), opI64Sub)
		f.out = f.m.settle(f.out, uint32(f.locals))
	case f.cost > 0:
		f.m.info.FuelPoints++
		f.out = take(f.out, f.m.fuel(), f.cost)
	}
	f.out = append(f.out, f.segment...)
	f.segment, f.cost, f.head = f.segment[:0], 0, false
}

// frame is how much of the depth budget a call of the function holds. The host
// stack is taken by the values that the compiler cannot keep in registers; by
// experience that is one in eight instructions at most, in units of eight.
func (f *function) frame() int64 {
	return 1 + int64(f.locals+f.size/8)/8
}

// assemble puts the function together: its locals, the entry, and its body. A
// function that calls no other needs no room in the depth budget.
func (f *function) assemble() []byte {
	m := f.m
	groups, extra := f.groups+1, []byte{1, 0x7e}
	if f.scratch {
		groups, extra = groups+1, append(extra, 1, typeI32)
	}
	b := append(append(appendU32(nil, groups), f.declared...), extra...)
	m.info.FuelPoints++
	b = with(b, opGlobalGet, m.fuel())
	b = append(appendSigned(append(b, opI64Const), f.entry), opI64Sub)
	if !f.calls {
		b = m.settle(b, uint32(f.locals))
		return append(append(b, f.out...), opEnd)
	}
	b = with(b, opGlobalSet, m.fuel())
	b = take(b, m.depth(), f.frame())
	b = append(with(with(b, opGlobalGet, m.fuel()), opGlobalGet, m.depth()), opI64Or)
	b = stopIfNegative(b)
	b = append(appendSigned(append(b, opBlock), m.resultType(m.funcType(uint32(f.index)).results)), f.out...)
	return append(give(append(b, opEnd), m.depth(), f.frame()), opEnd)
}

// resultType is the block type of a block without parameters.
func (m *module) resultType(results []byte) int64 {
	switch len(results) {
	case 0:
		return noValue - 0x80
	case 1:
		return int64(results[0]) - 0x80
	}
	for i, t := range m.types {
		if len(t.params) == 0 && string(t.results) == string(results) {
			return int64(i)
		}
	}
	m.types = append(m.types, funcType{nil, results})
	return int64(len(m.types) - 1)
}
