package loader

// Value types and block types.
const (
	typeI32   = 0x7f
	typeF64   = 0x7c
	typeFunc  = 0x60
	typeTable = 0x70 // funcref
	noValue   = 0x40
)

// Opcodes that the rewriter treats in a way of their own or writes.
const (
	opUnreachable  = 0x00
	opNop          = 0x01
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opDrop         = 0x1a
	opSelect       = 0x1b
	opLocalGet     = 0x20
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opFirstLoad    = 0x28
	opLastStore    = 0x3e
	opMemorySize   = 0x3f
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opFirstNumeric = 0x45
	opI64LtS       = 0x53
	opI64LtU       = 0x54
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Mul       = 0x7e
	opI64Or        = 0x84
	opI64ShrU      = 0x88
	opExtendU      = 0xad // i64.extend_i32_u
	opLastNumeric  = 0xc4
	opMisc         = 0xfc
)

// Opcodes behind the prefix opMisc.
const (
	miscLastTruncate = 7
	miscMemoryInit   = 8
	miscDataDrop     = 9
	miscMemoryCopy   = 10
	miscMemoryFill   = 11
	miscTableInit    = 12
	miscTableCopy    = 14
	miscTableFill    = 17
)

// feature names what an opcode belongs to that a guest may not use.
func feature(op byte) string {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return "exceptions"
	case 0x12, 0x13:
		return "tail calls"
	case 0x14, 0x15:
		return "typed function references"
	case 0x1c, 0x25, 0x26, 0xd0, 0xd1, 0xd2:
		return "reference types"
	case 0xfb:
		return "garbage collection"
	case 0xfd:
		return "SIMD"
	case 0xfe:
		return "threads"
	}
	return ""
}

// weight is what an instruction costs: 1, unless it takes the processor much
// longer or is no machine code at all.
func weight(op byte) int64 {
	switch op {
	case opNop, opBlock, opLoop, opElse, opEnd, opDrop:
		return 0
	case 0x6d, 0x6e, 0x6f, 0x70, 0x7f, 0x80, 0x81, 0x82: // integer division
		return 10
	case 0x91, 0x95, 0x9f, 0xa3: // sqrt and division of floats
		return 5
	case opCall, opCallIndirect:
		return 3
	}
	return 1
}
