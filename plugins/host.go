// Package plugins is the host side of the provider boundary: it finds plugin
// files, refuses bad ones, runs good ones in a sandbox without any capability,
// performs the requests they ask for, and hands core a Provider for a tenant.
//
// It owns the life of a plugin (file, digest, manifest, compiled module), the
// conversation with it and every rule about what leaves the house on its
// behalf. It leaves the wire shapes to sdk/abi, the network to core/fetch, the
// guest's operating system to plugins/wasi, and keeping credentials and
// journals to core. It and its subpackages are the only importers of wazero.
package plugins

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/sdk/abi"
)

// ErrNotFound says that no loaded plugin answers to a reference.
var ErrNotFound = errors.New("plugins: no such plugin")

// Config is what a Host needs. Zero fields have defaults.
type Config struct {
	Dirs     []string      // folders whose *.wasm files are plugins
	CacheDir string        // compiled code is kept here, mode 0700: whoever writes it runs code in this process; empty: keep none
	Fetch    *fetch.Client // performs the requests; nil: the public internet only
	Logger   hclog.Logger
	Now      func() time.Time
	Random   io.Reader // seeds of conversations; nil: crypto/rand
	Limits   Limits
}

// Limits bound what a provider may use. A zero field takes its default.
type Limits struct {
	Memory       int           // bytes of linear memory, in whole pages of 64 KiB; 16 MiB
	Steps        int           // requests and waits in a conversation; 8
	Run          time.Duration // one run of the guest; 5 s
	Conversation time.Duration // all of it, requests included; 15 s
	Answer       int           // bytes of one answer's body; 256 KiB
	Output       int           // bytes of one output document; 256 KiB
	Log          int           // bytes of what a run prints; 8 KiB
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Memory:       cmp.Or(l.Memory, 16<<20),
		Steps:        cmp.Or(l.Steps, 8),
		Run:          cmp.Or(l.Run, 5*time.Second),
		Conversation: cmp.Or(l.Conversation, 15*time.Second),
		Answer:       cmp.Or(l.Answer, 256<<10),
		Output:       cmp.Or(l.Output, 256<<10),
		Log:          cmp.Or(l.Log, 8<<10),
	}
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	if c.Fetch == nil {
		c.Fetch = fetch.New(fetch.Config{})
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return c
}

// Fault is a file that was refused, and why.
type Fault struct {
	Path string
	Err  error
}

// Host holds the loaded plugins. It is safe for concurrent use.
type Host struct {
	cfg     Config
	modules []*Module // by name, then newest version, then digest
	faults  []Fault
}

// New loads every plugin in cfg.Dirs. A bad file does not fail it, see Faults;
// a folder that cannot be read does.
func New(ctx context.Context, cfg Config) (*Host, error) {
	h := &Host{cfg: cfg.withDefaults()}
	paths, err := find(cfg.Dirs)
	if err != nil {
		return nil, err
	}
	if cfg.CacheDir != "" {
		if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("plugins: cache folder: %w", err)
		}
		if err := os.Chmod(cfg.CacheDir, 0o700); err != nil { // it may have been there
			return nil, fmt.Errorf("plugins: cache folder: %w", err)
		}
	}
	for i, r := range h.loadAll(ctx, paths) {
		h.add(ctx, paths[i], r)
	}
	slices.SortFunc(h.modules, func(a, b *Module) int {
		return cmp.Or(
			cmp.Compare(a.manifest.Name, b.manifest.Name),
			-compareVersions(a.manifest.Version, b.manifest.Version),
			cmp.Compare(a.digest, b.digest),
		)
	})
	return h, nil
}

func find(dirs []string) ([]string, error) {
	var paths []string
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("plugins: plugin folder: %w", err)
		}
		for _, e := range entries {
			if !e.IsDir() && strings.HasSuffix(e.Name(), ".wasm") {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
		}
	}
	return paths, nil
}

type loaded struct {
	module *Module
	err    error
}

// loadAll compiles on all cores: a cold Go plugin takes a second or two.
func (h *Host) loadAll(ctx context.Context, paths []string) []loaded {
	out := make([]loaded, len(paths))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, path := range paths {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			out[i].module, out[i].err = h.load(ctx, path)
		})
	}
	wg.Wait()
	return out
}

func (h *Host) load(ctx context.Context, path string) (*Module, error) {
	wasm, err := readModule(path)
	if err != nil {
		return nil, err
	}
	manifest, err := ReadManifest(wasm)
	if err != nil {
		return nil, err
	}
	m, err := openModule(ctx, h.cfg, wasm)
	if err != nil {
		return nil, err
	}
	m.manifest = manifest
	if err := m.confirm(ctx, wasm); err != nil {
		m.destroy(ctx)
		return nil, err
	}
	return m, nil
}

func (h *Host) add(ctx context.Context, path string, r loaded) {
	if r.err != nil {
		h.faults = append(h.faults, Fault{path, fmt.Errorf("plugins: %s: %w", path, r.err)})
		h.cfg.Logger.Error("plugin refused", "file", path, "error", r.err)
		return
	}
	m := r.module
	if slices.ContainsFunc(h.modules, func(o *Module) bool { return o.digest == m.digest }) {
		m.destroy(ctx) // the same file under a second name
		return
	}
	h.modules = append(h.modules, m)
	h.cfg.Logger.Info("plugin loaded", "file", path, "plugin", m.manifest.Name, "version", m.manifest.Version, "digest", m.digest)
}

// Faults lists the files that were refused.
func (h *Host) Faults() []Fault { return slices.Clone(h.faults) }

// Modules lists the loaded plugins by name, the newest version first.
func (h *Host) Modules() []*Module { return slices.Clone(h.modules) }

// Lookup finds a plugin: "name" is its highest version, "name@sha256:…" the
// one with that digest. The error is or wraps ErrNotFound.
func (h *Host) Lookup(ref string) (*Module, error) {
	name, digest, pinned := strings.Cut(ref, "@")
	var known []string
	for _, m := range h.modules {
		if m.manifest.Name == name && (!pinned || m.digest == digest) {
			return m, nil
		}
		known = append(known, m.manifest.Name+"@"+m.digest)
	}
	return nil, fmt.Errorf("%w: %s; loaded: %s; refused files: %d",
		ErrNotFound, ref, cmp.Or(strings.Join(known, ", "), "none"), len(h.faults))
}

// DescribeBytes runs describe on a module that need not have a manifest
// section yet.
func (h *Host) DescribeBytes(ctx context.Context, wasm []byte) (abi.Manifest, error) {
	manifest, _, err := describe(ctx, h.cfg, wasm)
	return manifest, err
}

// Close lets running conversations finish, starts no new ones, and frees the
// modules. When ctx ends first, what still runs is ended.
func (h *Host) Close(ctx context.Context) error {
	var errs []error
	for _, m := range h.modules {
		errs = append(errs, m.Close(ctx))
	}
	return errors.Join(errs...)
}
