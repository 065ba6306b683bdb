package loader

// readCode rewrites the function bodies one after another into m.code.
func (m *module) readCode(r *reader) {
	m.code = make([]byte, 0, len(r.b)+len(r.b)/2)
	var segment, out []byte // used again for every function
	for i := range r.count("function bodies", 3, maxFunctions) {
		if i >= len(m.funcs) {
			r.fail("%d functions are declared, more are defined", len(m.funcs))
			return
		}
		size := r.u32()
		if size > maxBody {
			r.refuse("function %d has %d bytes, at most %d may be", len(m.imports)+i, size, maxBody)
		}
		f := &function{m: m, r: r.sub(size), index: len(m.imports) + i, segment: segment[:0], out: out[:0]}
		body := f.rewrite()
		if r.err = f.r.err; r.err != nil {
			return
		}
		m.code = appendSized(m.code, body)
		segment, out = f.segment, f.out
		m.bodies++
		m.info.Code += int(size)
		m.info.Body = max(m.info.Body, int(size))
	}
	m.info.Functions = m.bodies
}

// block is one of the nested blocks that a place in a function lies in.
type block struct {
	op   byte // opBlock, opLoop, opIf; opElse once that came
	dead bool // control does not reach the block
}

// function is the rewriting of one function body. Instructions are collected
// in segment until control can go elsewhere; then the segment is written with
// its charge before it.
type function struct {
	m      *module
	r      *reader
	index  int
	locals int // parameters included

	blocks   []block
	nested   int  // loops among blocks
	loops    int  // all loops
	joins    int  // blocks, those of bulk instructions included
	edges    int  // branches, every target of a br_table
	dead     bool // control does not reach the segment
	head     bool // the segment begins at a loop's head
	calls    bool // it calls functions
	scratch  bool // it uses the scratch local
	size     int  // instructions
	segment  []byte
	cost     int64 // of the segment
	entered  bool  // the first segment is written
	entry    int64 // cost of the first segment
	out      []byte
	declared []byte // local declarations
	groups   uint32 // number of declarations
}

func (f *function) rewrite() []byte {
	f.readLocals()
	for f.r.err == nil {
		if f.instruction() {
			break
		}
	}
	f.checkSize()
	if f.r.finish() != nil {
		return nil
	}
	f.flush()
	return f.assemble()
}

func (f *function) readLocals() {
	total := uint64(len(f.m.funcType(uint32(f.index)).params))
	f.groups = f.r.u32()
	from := f.r.pos
	for range f.groups {
		total += uint64(f.r.u32())
		checkValue(f.r, f.r.byte())
		if f.r.err != nil {
			return
		}
	}
	if f.r.err != nil {
		return
	}
	f.declared = f.r.b[from:f.r.pos]
	if total > maxLocals {
		f.r.refuse("function %d has %d locals, at most %d may be", f.index, total, maxLocals)
		return
	}
	f.locals = int(total)
	f.m.info.Locals = max(f.m.info.Locals, f.locals)
}

// checkSize refuses what makes the compiler work out of proportion.
func (f *function) checkSize() {
	locals, branches := f.joins*f.locals, f.joins*f.edges
	f.m.blockLocals += locals
	f.m.blockBranches += branches
	switch {
	case f.loops*f.locals > maxLoopLocals:
		f.r.refuse("function %d has %d loops and %d locals, their product may be %d at most", f.index, f.loops, f.locals, maxLoopLocals)
	case locals > maxBlockLocals:
		f.r.refuse("function %d has %d blocks and %d locals, their product may be %d at most", f.index, f.joins, f.locals, maxBlockLocals)
	case branches > maxBlockBranches:
		f.r.refuse("function %d has %d blocks and %d branches, their product may be %d at most", f.index, f.joins, f.edges, maxBlockBranches)
	case f.m.blockLocals > maxBlockLocalsSum:
		f.r.refuse("the functions up to %d have a sum of blocks × locals of %d, it may be %d at most", f.index, f.m.blockLocals, maxBlockLocalsSum)
	case f.m.blockBranches > maxBlockBranchesSum:
		f.r.refuse("the functions up to %d have a sum of blocks × branches of %d, it may be %d at most", f.index, f.m.blockBranches, maxBlockBranchesSum)
	}
}

// instruction reads one instruction and tells whether it was the function's
// last.
func (f *function) instruction() (last bool) {
	from := f.r.pos
	op := f.r.byte()
	f.size++
	f.cost += weight(op)
	switch op {
	case opBlock, opLoop, opIf:
		f.enter(op, from)
	case opElse:
		f.otherwise()
	case opEnd:
		return f.leave()
	case opBr, opBrIf, opBrTable, opReturn, opUnreachable:
		f.branch(op, from)
	case opCall:
		f.calls = true
		f.segment = with(f.segment, opCall, f.m.target(f.r.index("function", f.m.functions())))
	case opCallIndirect:
		f.calls = true
		signature := f.r.index("type", len(f.m.types))
		f.r.only("table")
		if f.m.table < 0 {
			f.r.fail("there is no table")
		}
		f.segment = append(with(f.segment, opCallIndirect, signature), 0)
	case opMemoryGrow:
		f.memory()
		f.r.zero("memory")
		f.chargeBy(f.m.perPage())
		f.copy(from)
	case opMisc:
		f.misc(from)
	default:
		f.plain(op)
		f.copy(from)
	}
	return false
}

// copy appends the instruction from there on as it is.
func (f *function) copy(from int) {
	if f.r.err == nil {
		f.segment = append(f.segment, f.r.b[from:f.r.pos]...)
	}
}

func (f *function) enter(op byte, from int) {
	f.blockType()
	if op != opLoop {
		f.copy(from)
	}
	if op != opBlock {
		f.flush()
	}
	if op == opLoop {
		f.out = append(f.out, f.r.b[from:f.r.pos]...)
		f.head = true
		f.loops++
		f.nested++
	}
	f.joins++
	f.edges++
	f.blocks = append(f.blocks, block{op, f.dead})
	if len(f.blocks) > maxBlocks {
		f.r.refuse("function %d nests blocks deeper than %d", f.index, maxBlocks)
	}
	if f.nested > maxLoops {
		f.r.refuse("function %d nests loops deeper than %d", f.index, maxLoops)
	}
	f.m.info.Blocks = max(f.m.info.Blocks, len(f.blocks))
	f.m.info.Loops = max(f.m.info.Loops, f.nested)
}

// blockType is a byte for none or one result, or the index of a type.
func (f *function) blockType() {
	from := f.r.pos
	v := f.r.signed(33)
	switch {
	case f.r.err != nil:
	case v >= int64(len(f.m.types)):
		f.r.fail("type %d does not exist, there are %d", v, len(f.m.types))
	case v < 0 && f.r.pos != from+1:
		f.r.fail("a block type is longer than a byte")
	case v < 0 && byte(v&0x7f) != noValue:
		checkValue(f.r, byte(v&0x7f))
	}
}

func (f *function) otherwise() {
	if len(f.blocks) == 0 || f.blocks[len(f.blocks)-1].op != opIf {
		f.r.fail("an else stands outside of an if")
		return
	}
	f.flush()
	f.out = append(f.out, opElse)
	b := &f.blocks[len(f.blocks)-1]
	b.op, f.dead = opElse, b.dead
}

func (f *function) leave() (last bool) {
	if len(f.blocks) == 0 {
		return true
	}
	b := f.blocks[len(f.blocks)-1]
	f.blocks = f.blocks[:len(f.blocks)-1]
	f.segment = append(f.segment, opEnd)
	f.flush()
	f.dead = b.dead
	if b.op == opLoop {
		f.nested--
	}
	return false
}

// branch ends the segment. A return becomes a branch out of the outermost
// block, so that what assemble puts behind that block is not passed by.
func (f *function) branch(op byte, from int) {
	labels := len(f.blocks) + 1
	f.edges++
	switch op {
	case opBr, opBrIf:
		f.r.index("label", labels)
	case opBrTable:
		n := f.r.count("targets of a br_table", 1, maxTargets)
		f.edges += n
		for range n {
			f.r.index("label", labels)
		}
		f.r.index("label", labels)
	}
	if op == opReturn {
		f.segment = with(f.segment, opBr, uint32(len(f.blocks)))
	} else {
		f.copy(from)
	}
	f.flush()
	f.dead = f.dead || op != opBrIf
}

// memory checks that there is one.
func (f *function) memory() {
	if !f.m.memory {
		f.r.fail("there is no memory")
	}
}

// plain reads the immediates of an instruction that is copied as it is.
func (f *function) plain(op byte) {
	switch {
	case op >= opLocalGet && op <= opLocalTee:
		f.r.index("local", f.locals)
	case op == opGlobalGet, op == opGlobalSet:
		i := f.r.index("global", len(f.m.globals))
		if f.r.err == nil && op == opGlobalSet && !f.m.globals[i].mutable {
			f.r.fail("global %d is set and not mutable", i)
		}
	case op >= opFirstLoad && op <= opLastStore:
		f.memory()
		if align := f.r.u32(); align > 3 {
			f.r.fail("alignment 2^%d is too much", align)
		}
		f.r.u32()
	case op == opMemorySize:
		f.memory()
		f.r.zero("memory")
	case op == opI32Const:
		f.r.signed(32)
	case op == opI64Const:
		f.r.signed(64)
	case op == opF32Const:
		f.r.take(4)
	case op == opF64Const:
		f.r.take(8)
	case op == opNop, op == opDrop, op == opSelect, op >= opFirstNumeric && op <= opLastNumeric:
	default:
		f.unknown(op)
	}
}

func (f *function) unknown(op byte) {
	if name := feature(op); name != "" {
		f.r.refuse("function %d uses %s (opcode %#x), they may not be used", f.index, name, op)
	}
	f.r.fail("opcode %#x is unknown", op)
}

// misc reads an instruction behind the prefix of bulk memory. Those that change
// tables or drop segments leave traces in an instance that restoring memory and
// globals does not take away.
func (f *function) misc(from int) {
	op := f.r.u32()
	switch {
	case op <= miscLastTruncate:
	case op == miscMemoryInit:
		f.m.usesData = true
		f.r.index("data segment", max(0, f.m.counted))
		f.bulk(1)
	case op == miscMemoryCopy:
		f.bulk(2)
	case op == miscMemoryFill:
		f.bulk(1)
	case op == miscDataDrop, op >= miscTableInit && op <= miscTableCopy:
		f.r.refuse("function %d drops a segment or changes a table (opcode 0xfc %d), which outlives a call", f.index, op)
	case op > miscTableCopy && op <= miscTableFill:
		f.r.refuse("function %d uses reference types (opcode 0xfc %d), they may not be used", f.index, op)
	default:
		f.r.fail("opcode 0xfc %d is unknown", op)
	}
	f.copy(from)
}

// bulk reads the memories that an instruction names and charges it by length.
func (f *function) bulk(memories int) {
	f.memory()
	for range memories {
		f.r.zero("memory")
	}
	f.chargeBy(perByte)
}
