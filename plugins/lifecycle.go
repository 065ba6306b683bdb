package plugins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// The life of a plugin
//
// A file in a plugin folder is read, digested, its manifest read, its code
// rewritten and compiled, and asked to describe itself. Then every tenant that
// names it without a pin has its settings checked against it. Only when all of
// that succeeds is it in service, at once for all; running conversations
// finish on what they began with.
//
//   - A bad file is a Fault. What the same path held before goes on.
//   - A file that would ask a tenant's users for more, send a secret to more
//     places or reach more hosts than the one in service waits for the operator
//     (ErrWidened): Reload or a restart accepts it, Rescan does not.
//   - A removed file stays in service as long as a tenant needs it and no other
//     file offers the name; then it is retired.
//   - A file whose name changes is another provider; for the old name it counts
//     as removed.

// ErrWidened says that a replaced plugin asks for more than the tenants' one
// does, and waits for Reload.
var ErrWidened = errors.New("it waits for the operator: it asks for more than the one in service; send SIGHUP or restart to accept")

// file is a path in a plugin folder.
type file struct {
	stamp  stamp
	module *Module // in service from this path; nil: none
	fault  error   // why the file as it is now is not it
}

// stamp tells contents apart without reading them.
type stamp struct {
	size     int64
	modified time.Time
}

// Rescan looks at the plugin folders again and takes up what changed. The error
// is that of a folder that cannot be read; bad files are Faults.
func (h *Host) Rescan(ctx context.Context) error { return h.scan(ctx, false) }

// Reload is Rescan by the operator's will: it accepts plugins that ask for more
// than before, and tries again what was refused.
func (h *Host) Reload(ctx context.Context) error { return h.scan(ctx, true) }

func (h *Host) scan(ctx context.Context, accept bool) error {
	h.scanning.Lock()
	defer h.scanning.Unlock()
	stamps, err := find(h.cfg.Dirs)
	if err != nil {
		return err
	}
	loaded := h.loadChanged(ctx, stamps, accept)

	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		for _, f := range loaded {
			if f.module != nil {
				_ = f.module.destroy(ctx)
			}
		}
		return nil
	}
	for _, path := range slices.Sorted(maps.Keys(loaded)) {
		h.admit(ctx, path, loaded[path], accept)
	}
	for _, path := range slices.Sorted(maps.Keys(h.files)) {
		if _, there := stamps[path]; !there {
			gone := h.files[path]
			delete(h.files, path)
			if gone.module != nil {
				h.fallBack(ctx, gone.module.manifest.Name, accept)
				h.warnGone(path, gone.module)
			}
		}
	}
	h.sweep(ctx)
	return nil
}

// find lists the *.wasm files of the folders.
func find(dirs []string) (map[string]stamp, error) {
	found := map[string]stamp{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("plugins: plugin folder: %w", err)
		}
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), ".wasm") {
				continue
			}
			path := filepath.Join(dir, e.Name())
			info, err := os.Stat(path) // through a symbolic link
			switch {
			case err != nil:
				found[path] = stamp{} // reading it will say why
			case !info.IsDir():
				found[path] = stamp{info.Size(), info.ModTime()}
			}
		}
	}
	return found, nil
}

// loadChanged loads the files that are not as they were, on all cores: a cold
// Go plugin takes a second or two.
func (h *Host) loadChanged(ctx context.Context, stamps map[string]stamp, retry bool) map[string]*file {
	h.mu.RLock()
	known := maps.Clone(h.files)
	modules := slices.Clone(h.modules)
	h.mu.RUnlock()
	out := map[string]*file{}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for path, s := range stamps {
		if old := known[path]; old != nil && old.stamp == s && (old.fault == nil || !retry) {
			continue
		}
		f := &file{stamp: s}
		out[path] = f
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f.module, f.fault = h.load(ctx, path, modules)
		})
	}
	wg.Wait()
	return out
}

// load opens the module in a file, or finds it among those in service.
func (h *Host) load(ctx context.Context, path string, modules []*Module) (*Module, error) {
	wasm, err := readModule(path)
	if err != nil {
		return nil, err
	}
	digest := Digest(wasm)
	if i := slices.IndexFunc(modules, func(m *Module) bool { return m.digest == digest }); i >= 0 {
		return modules[i], nil
	}
	manifest, err := ReadManifest(wasm)
	if err != nil {
		return nil, err
	}
	if h.cfg.Strict && !namesSecretURLs(manifest) {
		return nil, fmt.Errorf("%w, and plugins/strict is on; build it with the SDK of this release", errAnyHost(manifest))
	}
	m, err := openModule(ctx, h.cfg, wasm)
	if err != nil {
		return nil, err
	}
	err = m.adopt(manifest)
	if err == nil {
		err = m.confirm(ctx, wasm)
	}
	if err != nil {
		_ = m.destroy(ctx)
		return nil, err
	}
	return m, nil
}

// admit takes a file that was read into service, or says why not.
func (h *Host) admit(ctx context.Context, path string, f *file, accept bool) {
	before := h.files[path]
	if before == nil {
		before = &file{}
	}
	var moved *Module
	if f.fault == nil {
		h.unify(ctx, f)
		h.files[path] = f
		moved, f.fault = h.settle(ctx, f.module.manifest.Name, accept)
	}
	if f.fault != nil {
		refused := f.module
		f.module = before.module
		h.files[path] = f
		if refused != nil && !h.inService(refused) {
			_ = refused.destroy(ctx)
		}
		h.refuse(path, f, refused)
		return
	}
	if !h.inService(f.module) {
		h.modules = append(h.modules, f.module)
		f.module.changed(PluginLoaded, "", "")
		if m := f.module; !namesSecretURLs(m.manifest) {
			h.cfg.Logger.Warn("plugin may send the client secret to each of its hosts", "plugin", m.name(), "digest", m.digest,
				"reason", errAnyHost(m.manifest), "remedy", "build it with the SDK of this release; plugins/strict refuses such plugins")
		}
	}
	if moved != nil {
		moved.changed(PluginSwapped, "", "")
	}
	if old := before.module; old != nil && old.manifest.Name != f.module.manifest.Name {
		h.fallBack(ctx, old.manifest.Name, accept)
	}
}

// fallBack settles a name that a file has ceased to offer.
func (h *Host) fallBack(ctx context.Context, name string, accept bool) {
	moved, err := h.settle(ctx, name, accept)
	if err != nil {
		h.cfg.Logger.Warn("tenants stay with a plugin whose file was removed", "plugin", name, "reason", oneLine(err))
	} else if moved != nil {
		moved.changed(PluginSwapped, "", "")
	}
}

// warnGone tells the operator that tenants use a plugin whose file is gone: the
// next start does not find it.
func (h *Host) warnGone(path string, m *Module) {
	for _, f := range h.files {
		if f.module == m {
			return
		}
	}
	var tenants []string
	for _, b := range h.bindings() {
		if b.current.Load().module == m {
			tenants = append(tenants, b.binding.Tenant)
		}
	}
	if len(tenants) == 0 {
		return
	}
	slices.Sort(tenants)
	h.cfg.Logger.Warn("the file of a plugin in use was removed; its tenants are served until the server ends and are down after the next start: put the file back, or change the tenants",
		"file", path, "plugin", m.name(), "digest", m.digest, "tenants", strings.Join(slices.Compact(tenants), " "))
}

// unify makes one module of two files with the same content.
func (h *Host) unify(ctx context.Context, f *file) {
	for _, m := range h.modules {
		if m.digest == f.module.digest && m != f.module {
			_ = f.module.destroy(ctx)
			f.module = m
			return
		}
	}
}

func (h *Host) inService(m *Module) bool { return slices.Contains(h.modules, m) }

func (h *Host) refuse(path string, f *file, m *Module) {
	reason := oneLine(f.fault)
	event := PluginEvent{Change: PluginRefused, Path: path, Reason: reason}
	if m != nil {
		event.Name, event.Version, event.Digest = m.manifest.Name, m.manifest.Version, m.digest
	}
	f.fault = fmt.Errorf("plugins: %s: %w", path, f.fault)
	h.cfg.Logger.Error("plugin refused", "file", path, "error", reason, "before", f.module != nil)
	h.cfg.Observer.Plugin(event)
}

// settle moves the unpinned references of a name to the newest module that a
// file offers, and returns that module if there was another before. On an error
// they stay where they are.
func (h *Host) settle(ctx context.Context, name string, accept bool) (moved *Module, err error) {
	var best *Module
	for _, f := range h.files {
		if f.module != nil && f.module.manifest.Name == name && (best == nil || newer(f.module, best) < 0) {
			best = f.module
		}
	}
	now := h.current[name]
	if best == nil || best == now {
		return nil, nil
	}
	if err := h.rebind(ctx, name, best, accept); err != nil {
		return nil, err
	}
	h.current[name] = best
	if now == nil {
		return nil, nil
	}
	return best, nil
}

// newer orders modules of one name, the newest first.
func newer(a, b *Module) int {
	return cmp.Or(-compareVersions(a.manifest.Version, b.manifest.Version), cmp.Compare(a.digest, b.digest))
}

// sweep retires what no file offers and no tenant needs.
func (h *Host) sweep(ctx context.Context) {
	needed := map[*Module]bool{}
	for _, f := range h.files {
		if f.module != nil {
			needed[f.module] = true
		}
	}
	for _, b := range h.bindings() {
		needed[b.current.Load().module] = true
	}
	for name, m := range h.current {
		if !needed[m] {
			delete(h.current, name)
		}
	}
	var kept []*Module
	for _, m := range h.modules {
		if needed[m] {
			kept = append(kept, m)
			continue
		}
		m.changed(PluginRetired, "", "")
		h.retiring.Go(func() {
			if err := m.Close(context.WithoutCancel(ctx)); err != nil {
				h.cfg.Logger.Warn("a retired plugin did not close", "plugin", m.name(), "error", err)
			}
		})
	}
	slices.SortFunc(kept, func(a, b *Module) int {
		return cmp.Or(cmp.Compare(a.manifest.Name, b.manifest.Name), newer(a, b))
	})
	h.modules = kept
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
