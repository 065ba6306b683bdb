// Package plugins is the host side of the provider boundary: it finds plugin
// files, refuses bad ones, runs good ones in a sandbox without any capability,
// performs the requests they ask for, and hands core a Provider for a tenant.
//
// It owns the life of a plugin (file, digest, manifest, compiled module,
// instances, replacement), the conversation with it and every rule about what
// leaves the house on its behalf. It leaves the wire shapes to sdk/abi, the
// network to core/fetch, static limits and fuel to plugins/loader, the guest's
// operating system to plugins/wasi, and keeping credentials and journals to
// core. It and its subpackages are the only importers of wazero.
package plugins

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
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
	Compile  Compiler      // compiles modules; nil: in this process, which a module made for it can exhaust
	Fetch    *fetch.Client // performs the requests; nil: the public internet only
	Logger   hclog.Logger
	Observer Observer // is told of requests, runs and changes; nil: nobody
	Now      func() time.Time
	Random   io.Reader // seeds of conversations, ids of assertions; nil: crypto/rand
	Limits   Limits
	Strict   bool // refuses modules whose manifest cannot name secret_urls
}

// Limits bound what a provider may use. A zero field takes its default.
type Limits struct {
	Memory       int           // bytes of linear memory, in whole pages of 64 KiB; 16 MiB
	Fuel         int64         // instructions, roughly, of one run; 100,000,000
	FuelPerByte  int64         // and so many more for each byte of its input; 2,000
	FuelCeiling  int64         // but no more than this, about half a second of a core; 500,000,000
	Steps        int           // requests and waits in a conversation; 8
	Conversation time.Duration // all of it, queueing and requests included; 15 s
	Answer       int           // bytes of one answer's body; 256 KiB
	Output       int           // bytes of one output document; 256 KiB
	Log          int           // bytes of what a run prints; 8 KiB
	Instances    int           // of one plugin, running or idle; 2 × cores
	Idle         time.Duration // an instance not used for so long is freed; 5 min
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Memory:       cmp.Or(l.Memory, 16<<20),
		Fuel:         cmp.Or(l.Fuel, 100_000_000),
		FuelPerByte:  cmp.Or(l.FuelPerByte, 2_000),
		FuelCeiling:  cmp.Or(l.FuelCeiling, 500_000_000),
		Steps:        cmp.Or(l.Steps, 8),
		Conversation: cmp.Or(l.Conversation, 15*time.Second),
		Answer:       cmp.Or(l.Answer, 256<<10),
		Output:       cmp.Or(l.Output, 256<<10),
		Log:          cmp.Or(l.Log, 8<<10),
		Instances:    cmp.Or(l.Instances, 2*runtime.GOMAXPROCS(0)),
		Idle:         cmp.Or(l.Idle, 5*time.Minute),
	}
}

// fuel is the budget of a run on so many bytes of input.
func (l Limits) fuel(input int) int64 {
	return min(l.Fuel+l.FuelPerByte*int64(input), max(l.Fuel, l.FuelCeiling))
}

func (c Config) withDefaults() Config {
	c.Limits = c.Limits.withDefaults()
	if c.Fetch == nil {
		c.Fetch = fetch.New(fetch.Config{})
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	return c
}

// Fault is a file that is not in service as it is now, and why. An earlier
// content of it may still be.
type Fault struct {
	Path string
	Err  error
}

// Host holds the loaded plugins. It is safe for concurrent use.
type Host struct {
	cfg      Config
	scanning sync.Mutex     // one look at the folders at a time
	retiring sync.WaitGroup // modules that drain

	mu      sync.RWMutex
	closed  bool
	files   map[string]*file   // by path
	current map[string]*Module // by name: what an unpinned reference means
	modules []*Module          // all in service: by name, then newest version, then digest

	boundMu sync.Mutex // taken with mu held
	bound   []*bound   // in force
}

// New loads every plugin in cfg.Dirs. A bad file does not fail it, see Faults;
// a folder that cannot be read does.
func New(ctx context.Context, cfg Config) (*Host, error) {
	h := &Host{cfg: cfg.withDefaults(), files: map[string]*file{}, current: map[string]*Module{}}
	if cfg.CacheDir != "" {
		if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("plugins: cache folder: %w", err)
		}
		if err := os.Chmod(cfg.CacheDir, 0o700); err != nil { // it may have been there
			return nil, fmt.Errorf("plugins: cache folder: %w", err)
		}
		h.pruneCache()
	}
	if err := h.Reload(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// Faults lists the files that are not in service as they are now, by path.
func (h *Host) Faults() []Fault {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var faults []Fault
	for _, path := range slices.Sorted(maps.Keys(h.files)) {
		if f := h.files[path]; f.fault != nil {
			faults = append(faults, Fault{path, f.fault})
		}
	}
	return faults
}

// Modules lists the plugins in service by name, the newest version first.
func (h *Host) Modules() []*Module {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return slices.Clone(h.modules)
}

// Lookup finds a plugin: "name" is its highest version, "name@sha256:…" the
// one with that digest. The error is or wraps ErrNotFound.
func (h *Host) Lookup(ref string) (*Module, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.lookup(ref)
}

func (h *Host) lookup(ref string) (*Module, error) {
	name, digest, pinned := strings.Cut(ref, "@")
	if m := h.current[name]; m != nil && !pinned {
		return m, nil
	}
	var known []string
	for _, m := range h.modules {
		if pinned && m.manifest.Name == name && m.digest == digest {
			return m, nil
		}
		known = append(known, m.manifest.Name+"@"+m.digest)
	}
	refused := 0
	for _, f := range h.files {
		if f.fault != nil {
			refused++
		}
	}
	return nil, fmt.Errorf("%w: %s; loaded: %s; refused files: %d",
		ErrNotFound, ref, cmp.Or(strings.Join(known, ", "), "none"), refused)
}

// DescribeBytes runs describe on a module that need not have a manifest
// section yet.
func (h *Host) DescribeBytes(ctx context.Context, wasm []byte) (abi.Manifest, error) {
	manifest, _, err := describe(ctx, h.cfg, wasm)
	return manifest, err
}

// Close lets running conversations finish, starts no new ones, and frees the
// modules. When ctx ends first, what still runs is cut off.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	modules := h.modules
	h.modules, h.files, h.current = nil, map[string]*file{}, map[string]*Module{}
	h.mu.Unlock()
	var errs []error
	for _, m := range modules {
		errs = append(errs, m.Close(ctx))
	}
	drained := make(chan struct{})
	go func() { h.retiring.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-ctx.Done():
		errs = append(errs, ctx.Err())
	}
	return errors.Join(errs...)
}
