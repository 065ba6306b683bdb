package loader

import "cmp"

// Limits are the bounds that an operator may move. A zero field takes its
// default.
type Limits struct {
	Module   int   // bytes of the module; 16 MiB
	Memory   int   // bytes of linear memory, in whole pages of 64 KiB; 16 MiB
	Depth    int   // budget of nested calls, in units of about 64 bytes of host stack; 250,000
	InitFuel int64 // fuel of a new instance, which its start function draws on; 200,000,000
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Module:   cmp.Or(l.Module, 16<<20),
		Memory:   cmp.Or(l.Memory, 16<<20),
		Depth:    cmp.Or(l.Depth, 250_000),
		InitFuel: cmp.Or(l.InitFuel, 200_000_000),
	}
}

func (l Limits) pages() uint32 { return uint32(min(l.Memory/pageSize, maxPages)) }

const (
	pageSize = 64 << 10
	maxPages = 1 << 16 // of a 32-bit memory
)

// The fixed limits keep the compiler's time and memory in proportion to the
// size of the module. In brackets: what modules of the Go and Rust compilers
// were seen to need at most.
const (
	maxTypes      = 10_000
	maxValues     = 100       // parameters or results of a type: every branch moves them all
	maxImports    = 1_000     // functions
	maxFunctions  = 20_000    // (3,520)
	maxGlobals    = 1_000     // every mutable one is saved and restored on each call
	maxExports    = 10_000    // names
	maxTable      = 100_000   // entries (7,616): host memory that the memory limit does not cover
	maxElements   = 10_000    // element segments
	maxData       = 200_000   // data segments (62,058)
	maxBody       = 256 << 10 // bytes of a function (50,636)
	maxLocals     = 1_000     // parameters and locals of a function (69)
	maxBlocks     = 1_000     // nested blocks (549)
	maxLoops      = 32        // nested loops (4)
	maxLoopLocals = 100_000   // loops × locals of a function (2,208): values that the compiler carries round
	maxTargets    = 20_000    // of one br_table
)

// Two products stand for what the compiler does worse than in proportion: it
// looks for every local at every block, and for the dominators of every block
// along every branch. A unit was measured to take it up to 7 µs of the first
// kind and 50 ns of the second, so that a module holds it up by 20 s and 10 s
// at most.
const (
	maxBlockLocals      = 200_000     // blocks × locals of a function (8,554)
	maxBlockLocalsSum   = 3_000_000   // of all functions (859,390)
	maxBlockBranches    = 30_000_000  // blocks × branches of a function (2,740,440)
	maxBlockBranchesSum = 200_000_000 // of all functions (34,547,379)

	bulkBlocks = 6 // that the compiler makes of a bulk instruction and its charge
)

// Info is what a module has and needs, for a person to read.
type Info struct {
	Functions  int      // without imported ones
	Imports    []string // names in wasi_snapshot_preview1
	Globals    []string // export names of all mutable globals, $fuel and $depth included: with the memory they are the state of an instance
	Locals     int      // the most in one function, parameters included
	Blocks     int      // the deepest nesting in one function
	Loops      int      // the deepest nesting in one function
	Body       int      // bytes of the largest function
	Code       int      // bytes of all functions
	Data       int      // bytes of data segments
	Segments   int      // data segments
	Table      int      // entries
	MemoryMin  int      // pages at the start
	MemoryMax  int      // pages at most, the limit applied
	FuelPoints int      // places where fuel is taken
	Start      bool     // there is a start function
}
