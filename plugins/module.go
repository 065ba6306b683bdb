package plugins

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport/sallyport/plugins/loader"
	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
)

const pageSize = 64 << 10 // of linear memory

// Module is one plugin file's content, compiled, with the instances that run
// it. It is safe for concurrent use.
type Module struct {
	cfg      Config
	manifest abi.Manifest
	settings *schema
	digest   string
	engine   *engine
	globals  []string // exports that, with the memory, are all state of an instance
	pool     *pool
	shared   shared
	circuits circuits

	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{} // closed when the last conversation of a closed module ends
}

// Manifest returns what the plugin says about itself.
func (m *Module) Manifest() abi.Manifest { return m.manifest }

// Digest returns sha256:… of the plugin's file.
func (m *Module) Digest() string { return m.digest }

func (m *Module) name() string { return cmp.Or(m.manifest.Name, m.digest) }

// openModule rewrites and compiles a module and checks what it imports and
// exports. None of its code runs.
func openModule(ctx context.Context, cfg Config, wasm []byte) (*Module, error) {
	m := &Module{cfg: cfg, digest: Digest(wasm), idle: make(chan struct{})}
	code, err := m.rewrite(wasm)
	if err != nil {
		return nil, err
	}
	if m.engine, err = cfg.open(ctx, code); err != nil {
		return nil, err
	}
	if err := m.checkBoundary(); err != nil {
		_ = m.destroy(ctx)
		return nil, err
	}
	m.pool = newPool(cfg.Limits, m.instantiate)
	return m, nil
}

// rewrite adds fuel and applies the static limits. A panic there is a fault of
// ours that must not become the server's.
func (m *Module) rewrite(wasm []byte) (code []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it cannot be rewritten: the loader gave up on it")
		}
	}()
	code, info, err := loader.Rewrite(wasm, loader.Limits{Module: MaxModule, Memory: m.cfg.Limits.Memory, InitFuel: initFuel})
	m.globals = info.Globals
	return code, err
}

// adopt takes a manifest as the module's own.
func (m *Module) adopt(manifest abi.Manifest) (err error) {
	m.manifest = manifest
	m.settings, err = parseSchema(manifest.Settings)
	return err
}

// signature is what an export has to look like.
type signature struct {
	name            string
	params, results []api.ValueType
}

func signatures() []signature {
	i32, i64 := []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}
	return []signature{{abi.ExportMarker, nil, nil}, {abi.ExportAlloc, i32, i32}, {abi.ExportCall, i32, i64}}
}

func (m *Module) checkBoundary() error {
	compiled := m.engine.compiled
	for _, f := range compiled.ImportedFunctions() {
		if module, name, _ := f.Import(); module != wasi.ModuleName {
			return fmt.Errorf("it imports %s.%s; a provider may import %s only, and asks for everything else by returning a request", module, name, wasi.ModuleName)
		}
	}
	if len(compiled.ImportedMemories()) > 0 {
		return errors.New("it imports its memory; export one instead")
	}
	if _, ok := compiled.ExportedMemories()[abi.ExportMemory]; !ok {
		return fmt.Errorf("it does not export its memory as %q", abi.ExportMemory)
	}
	exports := compiled.ExportedFunctions()
	if _, ok := exports[abi.ExportMarker]; !ok {
		for name := range exports {
			if strings.HasPrefix(name, "sallyport_provider_v") {
				return fmt.Errorf("it speaks another version of the boundary (%s), this host speaks %s; build it with the SDK of this release", name, abi.ExportMarker)
			}
		}
	}
	if f, ok := exports[abi.ExportInitialize]; ok && len(f.ParamTypes())+len(f.ResultTypes()) > 0 {
		return fmt.Errorf("its function %s has another signature than sdk/ABI.md says", abi.ExportInitialize)
	}
	for _, s := range signatures() {
		f, ok := exports[s.name]
		if !ok {
			return fmt.Errorf("it does not export the function %s; build it with -buildmode=c-shared and package sdk, or see sdk/ABI.md", s.name)
		}
		if !slices.Equal(f.ParamTypes(), s.params) || !slices.Equal(f.ResultTypes(), s.results) {
			return fmt.Errorf("its function %s has another signature than sdk/ABI.md says", s.name)
		}
	}
	return nil
}

// describe runs the describe operation of a module that is used for nothing
// else and returns the manifest, as a value and as the JSON it came as.
func describe(ctx context.Context, cfg Config, wasm []byte) (abi.Manifest, []byte, error) {
	m, err := openModule(ctx, cfg, wasm)
	if err != nil {
		return abi.Manifest{}, nil, err
	}
	defer func() { _ = m.destroy(ctx) }()
	text, err := m.describe(ctx)
	if err == nil {
		err = m.steady(ctx, text)
	}
	if err != nil {
		return abi.Manifest{}, nil, err
	}
	manifest, err := parseManifest(text)
	return manifest, text, err
}

func (m *Module) describe(ctx context.Context) (json.RawMessage, error) {
	p := &provider{module: m, binding: Binding{Tenant: "-"}}
	result, err := p.converse(ctx, abi.OpDescribe, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("describe failed: %w", err)
	}
	return json.RawMessage(result), nil
}

// steady describes m again at another time and with another seed: a manifest
// that differs would not match its section whenever it is built. m must not be
// in use.
func (m *Module) steady(ctx context.Context, described []byte) error {
	now := m.cfg.Now
	defer func() { m.cfg.Now = now }()
	later := 400*24*time.Hour + time.Hour + time.Minute + time.Second + time.Millisecond
	m.cfg.Now = func() time.Time { return now().Add(later) }
	again, err := m.describe(ctx)
	if err == nil && !sameJSON(described, again) {
		err = errors.New("describe does not answer the same every time; keep the time and random values out of Manifest")
	}
	return err
}

// confirm runs describe and compares it with the manifest section: the rights
// were read from the section, so the code must not claim others.
func (m *Module) confirm(ctx context.Context, wasm []byte) error {
	section, err := manifestText(wasm)
	if err != nil {
		return err
	}
	described, err := m.describe(ctx)
	if err != nil {
		return err
	}
	if !sameJSON(section, described) {
		if err := m.steady(ctx, described); err != nil {
			return err
		}
		return errors.New("its manifest section is not what describe returns; build it again with: sallyport plugin build")
	}
	return nil
}

var errClosed = errors.New("the plugin is being replaced or the server stops")

// acquire begins a conversation, release ends it.
func (m *Module) acquire() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	m.running++
	return nil
}

func (m *Module) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running--; m.running == 0 && m.closed {
		close(m.idle)
	}
}

// Close starts no new conversation, waits for the running ones until ctx ends,
// and frees the module. A second Close does nothing.
func (m *Module) Close(ctx context.Context) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	if m.running == 0 {
		close(m.idle)
	}
	m.mu.Unlock()
	select {
	case <-m.idle:
	case <-ctx.Done():
	}
	return m.destroy(context.WithoutCancel(ctx))
}

// destroy frees what openModule made. A conversation that is still held gets
// no further run.
func (m *Module) destroy(ctx context.Context) error {
	if m.pool != nil {
		m.pool.close(ctx)
	}
	return m.engine.close(ctx)
}
