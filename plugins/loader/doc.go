// Package loader makes a WebAssembly module safe to compile and to run: Rewrite
// refuses what no provider needs and puts a meter into the rest. The engine
// alone does not contain a hostile module: calls without a loop run past every
// deadline and hold up the garbage collector of the whole process, tables grow
// outside of the memory limit, some small modules compile for minutes, and
// some make the compiler panic.
//
// It owns the static limits, the meaning of fuel and depth, and the names of
// the exports that the host reads them by. It leaves the types of operands to
// the engine's validator, compiling (in a child process, with limits of the
// operating system) and snapshots to package plugins, and the signatures of
// the boundary too. It knows nothing of manifests; digests are taken of the
// file as it was, not of the output.
//
// # What is charged
//
// Fuel is a global, FuelExport. A function falls into segments: instructions
// that run one after another until control can go elsewhere. At the beginning
// of each segment the fuel falls by the weights of its instructions: 1 each,
// more for divisions and calls, none for what is no machine code. Where the
// work goes with an operand the price does too: filling and copying memory one
// unit for eight bytes, growing memory like
// filling it. An imported function is reached through a shim alone, by call,
// table or export alike, and the shim charges what leaving for the host costs,
// by length where the host's work goes by length. So nothing that a guest can
// make happen is free. A unit is 0.1 to 1 ns of time; a run that traps on the
// meter leaves the global negative, by which the host knows.
//
// # Where it is checked
//
// Charging is a subtraction, checking a branch; so the check is at the heads of
// loops and the entries of functions only, and where the price goes with an
// operand. Without passing one of these a guest can go forwards only, within
// one function, which has 256 KiB at most: that is how far it can overdraw.
// The start function is allowed, because toolchains emit it and it is metered
// like any other; as it runs before the host can set anything, a new instance
// has Limits.InitFuel.
//
// # Nested calls
//
// Fuel does not bound the stack early enough, so there is a second global,
// DepthExport: a function that calls others takes its frame, estimated from
// its size, on entry, and gives it back on return. One branch checks both. The
// body becomes a block and every return a branch out of it, so that no way out
// misses the giving back. The estimate may be wrong in a hostile function by
// some factor; the engine's own ceiling on its stack stands behind it.
//
// # Why a run is determined
//
// Charges depend on the path and on operands alone, and both on the input, as
// the engine has no threads, no clock and no access to the host but the shims.
// Globals that change are exported under reserved names (Info.Globals), so that
// the memory and they are all that changes in an instance: who restores both
// gets the same run to the unit of fuel. For that, code may not change tables
// nor drop segments.
//
// # What remains outside
//
// The time of making an instance (bounded by the sizes of data, table and
// memory), the time of the compiler (bounded roughly by the limits on products
// of blocks, locals and branches, and sharply by the child process), and faults
// of the engine itself.
package loader
