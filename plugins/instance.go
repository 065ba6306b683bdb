package plugins

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport/sallyport/plugins/loader"
	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
)

const (
	initFuel = 200_000_000 // for all that happens before the first conversation, and each time again
	warmUps  = 3           // calls of describe before the snapshot, in which a guest fills its caches
)

// instance is a module with a memory of its own. It belongs to one goroutine
// at a time.
type instance struct {
	mod         api.Module
	alloc, call api.Function
	globals     []api.MutableGlobal
	fuel, depth api.MutableGlobal
	clean       *snapshot
	output      int         // bytes that a document may have
	expiry      *time.Timer // while idle
}

// shared is the snapshot that the instances of a module share: instances start
// alike and are warmed up alike, so as a rule they are alike.
type shared struct {
	mu    sync.Mutex
	clean *snapshot
}

// instantiate makes an instance and warms it up.
func (m *Module) instantiate() (i *instance, err error) {
	ctx := wasi.With(context.Background(), wasi.NewSystem(time.Unix(0, 0), [32]byte{}, wasi.NewLog(m.cfg.Limits.Log)))
	i = &instance{output: m.cfg.Limits.Output}
	defer func() {
		if r := recover(); r != nil {
			err = guestFault("the engine gave up on it")
		}
		if err != nil {
			i.close(ctx)
			i = nil
		}
	}()
	// Anonymous instances may live side by side. A start function of the
	// module's own runs here, on the fuel that the loader gives.
	i.mod, err = m.engine.runtime.InstantiateModule(ctx, m.engine.compiled,
		wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		if strings.Contains(err.Error(), "unreachable") {
			return i, guestFault("its start function trapped or used up its fuel")
		}
		return i, guestFault(strings.TrimSuffix(firstLine(err), " (recovered by wazero)"))
	}
	for _, name := range m.globals {
		g, ok := i.mod.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			return i, errors.New("the loader and the engine disagree about the globals")
		}
		i.globals = append(i.globals, g)
		switch name {
		case loader.FuelExport:
			i.fuel = g
		case loader.DepthExport:
			i.depth = g
		}
	}
	i.alloc, i.call = i.mod.ExportedFunction(abi.ExportAlloc), i.mod.ExportedFunction(abi.ExportCall)
	return i, m.warm(ctx, i)
}

// warm brings a new instance to the state in which all its runs begin.
func (m *Module) warm(ctx context.Context, i *instance) error {
	i.fuel.Set(initFuel)
	if f := i.mod.ExportedFunction(abi.ExportInitialize); f != nil {
		if _, err := f.Call(ctx); err != nil {
			return i.fault(err, initFuel)
		}
	}
	doc, err := encodeInput(abi.Input{
		ABI: abi.Version, Op: abi.OpDescribe, Seed: hex.EncodeToString(make([]byte, 32)), Tenant: "-", StepsLeft: m.cfg.Limits.Steps,
	}, nil)
	if err != nil {
		return err
	}
	system := wasi.NewSystem(time.Unix(0, 0), [32]byte{}, wasi.NewLog(m.cfg.Limits.Log))
	for range warmUps {
		if _, _, err := i.run(doc, system, initFuel); err != nil {
			return err
		}
	}
	i.fuel.Set(0)
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	now := i.state()
	switch {
	case m.shared.clean == nil:
		m.shared.clean = now.clone()
		i.clean = m.shared.clean
	case m.shared.clean.equal(now):
		i.clean = m.shared.clean
	default:
		i.clean = now.clone()
	}
	return nil
}

// run gives an input document to the guest and returns a copy of its output
// document and the fuel it spent. A guest's failure is a guestFault.
func (i *instance) run(doc []byte, system *wasi.System, fuel int64) (out []byte, spent int64, err error) {
	i.fuel.Set(uint64(fuel))
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, guestFault("the engine gave up on it")
		}
		spent = fuel - max(0, int64(i.fuel.Get()))
	}()
	ctx := wasi.With(context.Background(), system)
	at, err := i.alloc.Call(ctx, uint64(len(doc)))
	if err != nil {
		return nil, 0, i.fault(err, fuel)
	}
	if uint32(at[0]) == 0 || !i.mod.Memory().Write(uint32(at[0]), doc) {
		return nil, 0, guestFault(fmt.Sprintf("%s has no room for %d bytes", abi.ExportAlloc, len(doc)))
	}
	packed, err := i.call.Call(ctx, uint64(len(doc)))
	if err != nil {
		return nil, 0, i.fault(err, fuel)
	}
	ptr, n := uint32(packed[0]>>32), uint32(packed[0])
	if int64(n) > int64(i.output) {
		return nil, 0, guestFault(fmt.Sprintf("it returned %d bytes, at most %d may be", n, i.output))
	}
	view, ok := i.mod.Memory().Read(ptr, n)
	if !ok {
		return nil, 0, guestFault("it returned a pointer outside its memory")
	}
	return append([]byte(nil), view...), 0, nil
}

func (i *instance) close(ctx context.Context) {
	if i.mod != nil {
		_ = i.mod.Close(ctx) // it has no files, and nothing else can fail
	}
}

// guestFault says in what way a guest broke down.
type guestFault string

func (f guestFault) Error() string { return string(f) }

// fault says why a call did not return.
func (i *instance) fault(err error, fuel int64) error {
	if exit, ok := errors.AsType[*wasi.Exit](err); ok {
		return guestFault(exit.Error())
	}
	switch {
	case int64(i.fuel.Get()) < 0:
		return guestFault(fmt.Sprintf("it used up its fuel of %d and was stopped", fuel))
	case i.depth != nil && int64(i.depth.Get()) < 0:
		return guestFault("its calls are nested too deep")
	}
	return guestFault(strings.TrimSuffix(firstLine(err), " (recovered by wazero)"))
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// run runs the guest once, in an instance that nobody has used before as far
// as it can tell.
func (m *Module) run(ctx context.Context, doc []byte, system *wasi.System) (out []byte, spent int64, err error) {
	i, err := m.pool.take(ctx)
	if err == nil {
		out, spent, err = i.run(doc, system, m.cfg.Limits.fuel(len(doc)))
		m.pool.give(ctx, i, err != nil)
	}
	return out, spent, err
}
