package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/store/redis"
)

// settleTime is how long configuration and plugin files must be quiet before
// they are read. It is longer than the plugin host's own, which so comes first.
const settleTime = 400 * time.Millisecond

// reloader keeps a deployment's tenants as the configuration says. It belongs
// to one goroutine.
type reloader struct {
	*deployment
	cfg    *config.Config // what is served; the deployment's own is what it started with
	read   func() (*config.Config, error)
	failed bool // the configuration as it is now is not the one that is served
}

// watchConfig reads the configuration again on SIGHUP and when one of its
// files changes, until the returned function is called. What is served is
// changed as a whole or not at all.
func (d *deployment) watchConfig(ctx context.Context, files []string, read func() (*config.Config, error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	watcher, err := watchFiles(files, d.cfg.Plugins.Dir)
	if err != nil {
		d.log.Error("a changed configuration needs SIGHUP", "error", err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		(&reloader{deployment: d, cfg: d.cfg, read: read, failed: len(d.down) > 0}).run(ctx, hangups, watcher, files)
	})
	return func() {
		signal.Stop(hangups)
		cancel()
		done.Wait()
		if watcher != nil {
			_ = watcher.Close()
		}
	}
}

// watchFiles watches the folders that hold files, links followed, because an
// editor puts a new file in an old one's place; and the plugin folder.
func watchFiles(files []string, pluginDir string) (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	dirs := []string{pluginDir}
	for _, file := range spellings(files) {
		dirs = append(dirs, filepath.Dir(file))
	}
	for _, dir := range dirs {
		if err := w.Add(dir); err != nil {
			_ = w.Close()
			return nil, fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	return w, nil
}

// spellings is the files as given and where they really are.
func spellings(files []string) []string {
	var all []string
	for _, file := range files {
		all = append(all, filepath.Clean(file))
		if real, err := filepath.EvalSymlinks(file); err == nil && real != filepath.Clean(file) {
			all = append(all, real)
		}
	}
	return all
}

func (r *reloader) run(ctx context.Context, hangups <-chan os.Signal, watcher *fsnotify.Watcher, files []string) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if watcher != nil {
		events, errs = watcher.Events, watcher.Errors
	}
	names := spellings(files)
	quiet := time.NewTimer(0)
	<-quiet.C
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			r.reopenAudit()
			// The operator's word: plugins that waited for it are accepted too.
			if err := r.host.Reload(ctx); err != nil {
				r.log.Error("the plugin folder cannot be read", "error", err)
			}
			r.reload(ctx, true)
		case asked := <-r.changes.decide:
			asked.answer <- r.accept(ctx, asked.tenant)
		case e := <-events:
			if r.concerns(e, names) {
				quiet.Reset(settleTime)
			}
		case err := <-errs: // events were lost
			r.log.Warn("watching the configuration", "error", err)
			quiet.Reset(settleTime)
		case <-quiet.C:
			r.reload(ctx, false)
		}
	}
}

// concerns tells whether an event can change what the configuration says. A
// plugin can if it may be the one that was missing. Kubernetes replaces the
// link ..data beside the files.
func (r *reloader) concerns(e fsnotify.Event, files []string) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	if r.failed && filepath.Dir(e.Name) == filepath.Clean(r.cfg.Plugins.Dir) {
		return true
	}
	return slices.Contains(files, filepath.Clean(e.Name)) || filepath.Base(e.Name) == "..data"
}

// reload makes the tenants anew from the configuration and serves them. On any
// fault the tenants before stay. asked says that somebody waits for an answer.
func (r *reloader) reload(ctx context.Context, asked bool) { r.reloadAccepting(ctx, asked, "") }

// reloadAccepting is reload, and applies the change of upstream that waits for
// the tenant of that name.
func (r *reloader) reloadAccepting(ctx context.Context, asked bool, accepted string) {
	cfg, err := r.read()
	if err != nil {
		r.refuse(err)
		return
	}
	if err := checkFixed(cfg); err != nil {
		r.refuse(err)
		return
	}
	if fixed := config.KeepFixed(r.cfg, cfg); len(fixed) > 0 {
		r.log.Warn("a change of these keys needs a restart", "keys", strings.Join(fixed, " "))
	}
	if !asked && !r.failed && reflect.DeepEqual(cfg, r.cfg) {
		return // saved without a change
	}
	if err := r.host.Rescan(ctx); err != nil { // a tenant may name a plugin that came with it
		r.refuse(err)
		return
	}
	next := *r.deployment
	next.cfg = cfg
	// A tenant that is served stays as it is until all is well; one that is down
	// may stay so.
	tenants, err := next.tenants(ctx, func(name string) bool { return r.down[name] != nil })
	if err != nil {
		r.release(next.providers, r.providers)
		r.refuse(err)
		return
	}
	if tenants, err = r.holdChanges(ctx, tenants, accepted); err != nil {
		r.release(next.providers, r.providers)
		r.refuse(err)
		return
	}
	r.server.SetTenants(tenants)
	r.keepHeld(&next)
	r.release(r.providers, next.providers)
	r.providers, r.down = next.providers, next.down
	r.logDown()
	added, removed, changed := compareTenants(r.cfg, cfg)
	r.failed, r.cfg = len(r.down) > 0, cfg
	r.log.Info("configuration reloaded", "tenants", tenants.Len(), "added", some(added), "removed", some(removed), "changed", some(changed))
}

func (r *reloader) refuse(err error) {
	r.failed = true
	r.log.Error("the configuration was not reloaded; the one before is still served", "error", err)
}

// checkFixed checks what a reload does not apply as far as the next start
// would: a change that makes that start fail is told now.
func checkFixed(cfg *config.Config) error {
	_, keysErr := openKeys(cfg.Keys)
	_, proxiesErr := trustedProxies(cfg.Server.TrustedProxies)
	var storeErr, auditErr, pluginsErr error
	if path, isFile := boltFile(cfg.Store); !isFile {
		storeErr = redis.Validate(cfg.Store.Reveal())
	} else if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		storeErr = fmt.Errorf("%s is not a regular file", path)
	}
	if storeErr != nil {
		storeErr = fmt.Errorf("store: %w", storeErr)
	}
	if filepath.IsAbs(cfg.Audit) {
		if info, err := os.Stat(filepath.Dir(cfg.Audit)); err != nil {
			auditErr = fmt.Errorf("audit: %w", err)
		} else if !info.IsDir() {
			auditErr = fmt.Errorf("audit: %s is not a folder", filepath.Dir(cfg.Audit))
		}
	}
	if _, err := os.ReadDir(cfg.Plugins.Dir); err != nil {
		pluginsErr = fmt.Errorf("plugins/dir: %w", err)
	}
	return errors.Join(keysErr, proxiesErr, storeErr, auditErr, pluginsErr)
}

// compareTenants names the tenants that differ, in order.
func compareTenants(before, after *config.Config) (added, removed, changed []string) {
	for _, name := range slices.Sorted(maps.Keys(after.Tenants)) {
		old, there := before.Tenants[name]
		switch {
		case !there:
			added = append(added, name)
		case !reflect.DeepEqual(old, after.Tenants[name]), before.TenantURL(name) != after.TenantURL(name),
			before.SharedCallback(name) != after.SharedCallback(name):
			changed = append(changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.Tenants)) {
		if _, there := after.Tenants[name]; !there {
			removed = append(removed, name)
		}
	}
	return added, removed, changed
}

// some is a list of names that fits into a line of the log.
func some(names []string) string {
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), len(names)-most)
	}
	return strings.Join(names, " ")
}
