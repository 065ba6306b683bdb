package plugins

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
)

var errDeadline = errors.New("the time for a run is over")

// deadlineListener ends a guest that calls functions past its deadline. The
// engine itself looks at the context only where a loop turns back, so calls
// without a loop would run on, and hold up the garbage collector of the whole
// process meanwhile.
type deadlineListener struct{}

func (l deadlineListener) NewFunctionListener(api.FunctionDefinition) experimental.FunctionListener {
	return l
}

func (deadlineListener) Before(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
	if ctx.Err() != nil {
		panic(errDeadline)
	}
}

func (deadlineListener) After(context.Context, api.Module, api.FunctionDefinition, []uint64) {}

func (deadlineListener) Abort(context.Context, api.Module, api.FunctionDefinition, error) {}

// run gives an input document to a fresh instance and returns a copy of its
// output document. Nothing outlives the call. A guest's failure is a guestFault;
// the end of ctx is ctx's error.
func (m *Module) run(ctx context.Context, doc []byte, system *wasi.System) (out []byte, err error) {
	runCtx, cancel := context.WithTimeout(wasi.With(ctx, system), m.cfg.Limits.Run)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, guestFault("the engine gave up on it")
		}
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
	}()
	// Anonymous instances may live side by side.
	mod, err := m.runtime.InstantiateModule(runCtx, m.compiled,
		wazero.NewModuleConfig().WithName("").WithStartFunctions(abi.ExportInitialize))
	if err != nil {
		return nil, m.fault(err)
	}
	defer mod.Close(context.WithoutCancel(ctx))

	in, err := m.call(runCtx, mod, abi.ExportAlloc, uint64(len(doc)))
	if err != nil {
		return nil, err
	}
	if uint32(in) == 0 || !mod.Memory().Write(uint32(in), doc) {
		return nil, guestFault(fmt.Sprintf("%s has no room for %d bytes", abi.ExportAlloc, len(doc)))
	}
	packed, err := m.call(runCtx, mod, abi.ExportCall, uint64(len(doc)))
	if err != nil {
		return nil, err
	}
	at, n := uint32(packed>>32), uint32(packed)
	if int64(n) > int64(m.cfg.Limits.Output) {
		return nil, guestFault(fmt.Sprintf("it returned %d bytes, at most %d may be", n, m.cfg.Limits.Output))
	}
	view, ok := mod.Memory().Read(at, n)
	if !ok {
		return nil, guestFault("it returned a pointer outside its memory")
	}
	return append([]byte(nil), view...), nil
}

func (m *Module) call(ctx context.Context, mod api.Module, name string, arg uint64) (uint64, error) {
	results, err := mod.ExportedFunction(name).Call(ctx, arg)
	if err != nil {
		return 0, m.fault(err)
	}
	return results[0], nil
}

// guestFault says in what way a guest broke down.
type guestFault string

func (f guestFault) Error() string { return string(f) }

func (m *Module) fault(err error) error {
	var exit *wasi.Exit
	var closed *sys.ExitError
	switch {
	case errors.Is(err, errDeadline), errors.As(err, &closed):
		return guestFault(fmt.Sprintf("it did not finish within %v", m.cfg.Limits.Run.Round(time.Millisecond)))
	case errors.As(err, &exit):
		return guestFault(exit.Error())
	}
	return guestFault(strings.TrimSuffix(firstLine(err), " (recovered by wazero)"))
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
