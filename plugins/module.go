package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
)

const pageSize = 64 << 10 // of linear memory

// Module is one plugin, compiled: a runtime of its own, so that it has a
// memory limit of its own and shares nothing with other plugins but the
// process. It is safe for concurrent use.
type Module struct {
	cfg      Config
	manifest abi.Manifest
	digest   string
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule

	mu      sync.Mutex
	running int
	closed  bool
	idle    chan struct{} // closed when the last conversation of a closed module ends
}

// Manifest returns what the plugin says about itself.
func (m *Module) Manifest() abi.Manifest { return m.manifest }

// Digest returns sha256:… of the plugin's file.
func (m *Module) Digest() string { return m.digest }

// openModule compiles a module and checks what it imports and exports. None
// of its code runs. A compiled form on disk that cannot be read is deleted and
// made anew.
func openModule(ctx context.Context, cfg Config, wasm []byte) (*Module, error) {
	m := &Module{cfg: cfg, digest: Digest(wasm), idle: make(chan struct{})}
	err := m.compile(ctx, wasm)
	if dir := m.cacheDir(); err != nil && dir != "" && hasFiles(dir) {
		cfg.Logger.Warn("compiled plugin on disk cannot be used, compiling anew", "digest", m.digest)
		m.destroy(ctx)
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		err = m.compile(ctx, wasm)
	}
	if err == nil {
		err = m.checkBoundary()
	}
	if err != nil {
		m.destroy(ctx)
		return nil, err
	}
	return m, nil
}

// cacheDir is the module's own folder of compiled code, so that one damaged
// entry can be dropped without knowing how the engine names it.
func (m *Module) cacheDir() string {
	if m.cfg.CacheDir == "" {
		return ""
	}
	return filepath.Join(m.cfg.CacheDir, strings.Replace(m.digest, ":", "-", 1))
}

func hasFiles(dir string) bool {
	found := errors.New("found")
	return errors.Is(filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			return found
		}
		return err
	}), found)
}

// compile makes the runtime and the compiled module. The compiler panics on
// some malformed modules; that is an error like any other.
func (m *Module) compile(ctx context.Context, wasm []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it cannot be compiled: the compiler gave up on it")
		}
	}()
	if dir := m.cacheDir(); dir != "" {
		if m.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return fmt.Errorf("cache folder: %w", err)
		}
	} else {
		m.cache = wazero.NewCompilationCache()
	}
	// Without reference types there is no table.grow, which takes host memory
	// outside the limit; nothing needs SIMD.
	features := api.CoreFeaturesV2 &^ (api.CoreFeatureReferenceTypes | api.CoreFeatureSIMD)
	m.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(m.cache).
		WithCoreFeatures(features).
		WithMemoryLimitPages(uint32(m.cfg.Limits.Memory/pageSize)).
		WithCloseOnContextDone(true))
	if err := wasi.Instantiate(ctx, m.runtime); err != nil {
		return err
	}
	ctx = experimental.WithFunctionListenerFactory(ctx, deadlineListener{})
	if m.compiled, err = m.runtime.CompileModule(ctx, wasm); err != nil {
		return fmt.Errorf("it cannot be compiled: %s", firstLine(err))
	}
	return nil
}

// signature is what an export has to look like.
type signature struct {
	name            string
	params, results []api.ValueType
}

var signatures = []signature{
	{abi.ExportMarker, nil, nil},
	{abi.ExportAlloc, []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}},
	{abi.ExportCall, []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI64}},
}

func (m *Module) checkBoundary() error {
	for _, f := range m.compiled.ImportedFunctions() {
		if module, name, _ := f.Import(); module != wasi.ModuleName {
			return fmt.Errorf("it imports %s.%s; a provider may import %s only, and asks for everything else by returning a request", module, name, wasi.ModuleName)
		}
	}
	if len(m.compiled.ImportedMemories()) > 0 {
		return errors.New("it imports its memory; export one instead")
	}
	if _, ok := m.compiled.ExportedMemories()[abi.ExportMemory]; !ok {
		return fmt.Errorf("it does not export its memory as %q", abi.ExportMemory)
	}
	exports := m.compiled.ExportedFunctions()
	if _, ok := exports[abi.ExportMarker]; !ok {
		for name := range exports {
			if strings.HasPrefix(name, "sallyport_provider_v") {
				return fmt.Errorf("it speaks another version of the boundary (%s), this host speaks %s; build it with the SDK of this release", name, abi.ExportMarker)
			}
		}
	}
	for _, s := range signatures {
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
	defer m.destroy(ctx)
	text, err := m.describe(ctx)
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
		return errors.New("its manifest section is not what describe returns; build it again with: sallyport plugin build")
	}
	return nil
}

var errClosed = errors.New("the plugin is being replaced or the server stops")

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

// destroy frees what compile made.
func (m *Module) destroy(ctx context.Context) error {
	var errs []error
	if m.runtime != nil {
		errs = append(errs, m.runtime.Close(ctx))
	}
	if m.cache != nil {
		errs = append(errs, m.cache.Close(ctx))
	}
	m.runtime, m.cache, m.compiled = nil, nil, nil
	return errors.Join(errs...)
}
