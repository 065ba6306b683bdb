// Package wasi is the whole of the operating system that a provider sees: the
// names of wasi_snapshot_preview1, so that guests of ordinary toolchains link,
// and behind them nothing that could tell one run from the next. The clock
// stands at the conversation's time and is moved by sleeping alone, random
// bytes come from the conversation's seed, what is written to standard output
// and error goes to a bounded log, and files, arguments, environment and
// sockets do not exist.
//
// It owns that stub and its state; it leaves to package plugins when a guest
// runs and what is done with its log.
package wasi

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// ModuleName is the one module a guest may import.
const ModuleName = "wasi_snapshot_preview1"

// firstReading is where the monotonic clock starts. Guests may take 0 for a
// clock that does not work.
const firstReading = int64(time.Second)

// System is what one run of a guest sees. It is not safe for concurrent use.
type System struct {
	now   time.Time
	slept time.Duration
	rand  *rand.ChaCha8
	log   *Log
}

// NewSystem returns a system whose clock stands at now and whose random bytes
// are those of seed; what the guest prints goes to log.
func NewSystem(now time.Time, seed [32]byte, log *Log) *System {
	return &System{now: now, rand: rand.NewChaCha8(seed), log: log}
}

type systemKey struct{}

// With returns a context in which a guest runs on s.
func With(ctx context.Context, s *System) context.Context {
	return context.WithValue(ctx, systemKey{}, s)
}

// Exit is the error that ends a guest which called proc_exit.
type Exit struct{ Code uint32 }

func (e *Exit) Error() string { return fmt.Sprintf("it called exit(%d)", e.Code) }

// errno values of preview 1.
const (
	success = 0
	badf    = 8
	fault   = 21
	inval   = 28
	nosys   = 52
	spipe   = 70
)

// call is one call of a function: its system, the guest's memory and its
// arguments.
type call struct {
	*System
	mem  api.Memory
	args []uint64
}

func (c *call) u32(i int) uint32 { return uint32(c.args[i]) }

// function is one entry of the table: parameters as letters, i for i32 and I
// for i64, and what it does. Every function but proc_exit returns an errno.
type function struct {
	name, params string
	do           func(*call) uint32
}

func answer(errno uint32) func(*call) uint32 { return func(*call) uint32 { return errno } }

// functions is preview 1, complete, in the order of its document.
func functions() []function {
	return []function{
		{"args_get", "ii", answer(success)},
		{"args_sizes_get", "ii", (*call).noStrings},
		{"environ_get", "ii", answer(success)},
		{"environ_sizes_get", "ii", (*call).noStrings},
		{"clock_res_get", "ii", (*call).clockResolution},
		{"clock_time_get", "iIi", (*call).clockTime},
		{"fd_advise", "iIIi", answer(badf)},
		{"fd_allocate", "iII", answer(badf)},
		{"fd_close", "i", answer(badf)},
		{"fd_datasync", "i", answer(badf)},
		{"fd_fdstat_get", "ii", (*call).fdStat},
		{"fd_fdstat_set_flags", "ii", answer(badf)},
		{"fd_fdstat_set_rights", "iII", answer(badf)},
		{"fd_filestat_get", "ii", answer(badf)},
		{"fd_filestat_set_size", "iI", answer(badf)},
		{"fd_filestat_set_times", "iIIi", answer(badf)},
		{"fd_pread", "iiiIi", answer(badf)},
		{"fd_prestat_get", "ii", answer(badf)},
		{"fd_prestat_dir_name", "iii", answer(badf)},
		{"fd_pwrite", "iiiIi", answer(badf)},
		{"fd_read", "iiii", answer(badf)},
		{"fd_readdir", "iiiIi", answer(badf)},
		{"fd_renumber", "ii", answer(badf)},
		{"fd_seek", "iIii", (*call).fdSeek},
		{"fd_sync", "i", answer(badf)},
		{"fd_tell", "ii", answer(badf)},
		{"fd_write", "iiii", (*call).fdWrite},
		{"path_create_directory", "iii", answer(badf)},
		{"path_filestat_get", "iiiii", answer(badf)},
		{"path_filestat_set_times", "iiiiIIi", answer(badf)},
		{"path_link", "iiiiiii", answer(badf)},
		{"path_open", "iiiiiIIii", answer(badf)},
		{"path_readlink", "iiiiii", answer(badf)},
		{"path_remove_directory", "iii", answer(badf)},
		{"path_rename", "iiiiii", answer(badf)},
		{"path_symlink", "iiiii", answer(badf)},
		{"path_unlink_file", "iii", answer(badf)},
		{"poll_oneoff", "iiii", (*call).poll},
		{"proc_exit", "i", func(c *call) uint32 { panic(&Exit{c.u32(0)}) }},
		{"proc_raise", "i", answer(nosys)},
		{"sched_yield", "", answer(success)},
		{"random_get", "ii", (*call).random},
		{"sock_accept", "iii", answer(badf)},
		{"sock_recv", "iiiiii", answer(badf)},
		{"sock_send", "iiiii", answer(badf)},
		{"sock_shutdown", "ii", answer(badf)},
	}
}

// Instantiate gives r's guests the stub. A guest's calls must run in a context
// made by With.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	_, err := builder(r).Instantiate(ctx)
	return err
}

func builder(r wazero.Runtime) wazero.HostModuleBuilder {
	b := r.NewHostModuleBuilder(ModuleName)
	for _, f := range functions() {
		results := []api.ValueType{api.ValueTypeI32}
		if f.name == "proc_exit" {
			results = nil
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(f.run), types(f.params), results).Export(f.name)
	}
	return b
}

func types(letters string) []api.ValueType {
	var out []api.ValueType
	for _, l := range letters {
		if l == 'I' {
			out = append(out, api.ValueTypeI64)
		} else {
			out = append(out, api.ValueTypeI32)
		}
	}
	return out
}

func (f function) run(ctx context.Context, mod api.Module, stack []uint64) {
	s, _ := ctx.Value(systemKey{}).(*System)
	c := &call{s, mod.Memory(), stack}
	if s == nil || c.mem == nil {
		panic(fmt.Errorf("%s was called without a memory", f.name))
	}
	errno := f.do(c)
	if len(stack) > 0 {
		stack[0] = uint64(errno)
	}
}

// put writes b into the guest's memory.
func (c *call) put(at uint32, b []byte) uint32 {
	if !c.mem.Write(at, b) {
		return fault
	}
	return success
}

func (c *call) putU32(at, v uint32) uint32 {
	return c.put(at, binary.LittleEndian.AppendUint32(nil, v))
}

func (c *call) putU64(at uint32, v uint64) uint32 {
	return c.put(at, binary.LittleEndian.AppendUint64(nil, v))
}

func (c *call) noStrings() uint32 {
	return max(c.putU32(c.u32(0), 0), c.putU32(c.u32(1), 0))
}
