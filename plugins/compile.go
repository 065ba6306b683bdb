package plugins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport/sallyport/plugins/wasi"
)

// A Compiler puts the compiled form of a module into a folder, from where it
// is opened. The module may be made to exhaust or crash the compiler, so a
// server runs Compile in a process of its own, under limits.
type Compiler func(ctx context.Context, dir string, code []byte) error

// Compile is what a Compiler's process does: it compiles code, as the host
// handed it over, into dir.
func Compile(ctx context.Context, dir string, code []byte) error {
	const allMemory = 4 << 30
	e, err := openEngine(ctx, dir, code, allMemory)
	if err != nil {
		return err
	}
	return e.close(ctx)
}

// engine is one module, compiled: a runtime of its own, so that it has a
// memory limit of its own and shares nothing with other plugins but the
// process.
type engine struct {
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
}

// openEngine opens code from dir, or compiles it into dir; an empty dir keeps
// nothing. The compiler panics on some malformed modules; that is an error like
// any other.
func openEngine(ctx context.Context, dir string, code []byte, memory int) (e *engine, err error) {
	e = &engine{}
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it cannot be compiled: the compiler gave up on it")
		}
		if err != nil {
			_ = e.close(ctx)
			e = nil
		}
	}()
	if dir == "" {
		e.cache = wazero.NewCompilationCache()
	} else if e.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
		return e, fmt.Errorf("cache folder: %w", err)
	}
	// Without reference types there is no table.grow, which takes host memory
	// outside the limit; nothing needs SIMD.
	features := api.CoreFeaturesV2 &^ (api.CoreFeatureReferenceTypes | api.CoreFeatureSIMD)
	e.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCompilationCache(e.cache).
		WithCoreFeatures(features).
		WithMemoryLimitPages(uint32(memory/pageSize)))
	if err = wasi.Instantiate(ctx, e.runtime); err != nil {
		return e, err
	}
	if e.compiled, err = e.runtime.CompileModule(ctx, code); err != nil {
		return e, fmt.Errorf("it cannot be compiled: %s", firstLine(err))
	}
	return e, nil
}

// close frees the engine and its instances.
func (e *engine) close(ctx context.Context) error {
	var errs []error
	if e.runtime != nil {
		errs = append(errs, e.runtime.Close(ctx))
	}
	if e.cache != nil {
		errs = append(errs, e.cache.Close(ctx))
	}
	return errors.Join(errs...)
}

// open compiles code, or opens what was compiled before. A compiled form that
// cannot be read is deleted and made anew, once.
func (c Config) open(ctx context.Context, code []byte) (*engine, error) {
	dir := ""
	switch {
	case c.CacheDir != "":
		dir = filepath.Join(c.CacheDir, codeName(code))
		// It is in use, from before it is read: another process may prune.
		touch := func() { _ = os.Chtimes(dir, c.Now(), c.Now()) }
		touch()
		defer touch()
	case c.Compile != nil:
		var err error
		if dir, err = os.MkdirTemp("", "sallyport-*"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir) // an open engine needs it no more
	}
	kept := dir != "" && hasFiles(dir)
	if !kept {
		if err := c.compile(ctx, dir, code); err != nil {
			return nil, err
		}
	}
	e, err := openEngine(ctx, dir, code, c.Limits.Memory)
	if err == nil || !kept {
		return e, err
	}
	c.Logger.Warn("compiled plugin on disk cannot be used, compiling anew", "file", dir, "error", err)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := c.compile(ctx, dir, code); err != nil {
		return nil, err
	}
	return openEngine(ctx, dir, code, c.Limits.Memory)
}

// compile has the Compiler fill dir; without one openEngine does it.
func (c Config) compile(ctx context.Context, dir string, code []byte) error {
	if c.Compile == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := c.Compile(ctx, dir, code); err != nil {
		os.RemoveAll(dir)
		return fmt.Errorf("it cannot be compiled: %s", firstLine(err))
	}
	if !hasFiles(dir) {
		return errors.New("it cannot be compiled: the compiler left nothing")
	}
	return nil
}

// codeName is the folder of one compiled module: named by the code and by what
// compiles it, so that a new release does not take an old one's work for its
// own.
func codeName(code []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s\n", runtime.GOOS, runtime.GOARCH, engineVersion())
	h.Write(code)
	return hex.EncodeToString(h.Sum(nil))
}

func engineVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == "github.com/tetratelabs/wazero" {
				return d.Version
			}
		}
	}
	return "dev"
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

// cacheAge is how long compiled code is kept that nothing opens.
const cacheAge = 30 * 24 * time.Hour

var codeNamePattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// pruneCache deletes compiled code that was not opened for cacheAge.
func (h *Host) pruneCache() {
	entries, err := os.ReadDir(h.cfg.CacheDir)
	if err != nil {
		h.cfg.Logger.Warn("old compiled plugins are not deleted", "error", err)
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !codeNamePattern.MatchString(e.Name()) || h.cfg.Now().Sub(info.ModTime()) < cacheAge {
			continue
		}
		if err := os.RemoveAll(filepath.Join(h.cfg.CacheDir, e.Name())); err != nil {
			h.cfg.Logger.Warn("an old compiled plugin cannot be deleted", "error", err)
		}
	}
}
