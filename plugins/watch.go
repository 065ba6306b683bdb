package plugins

import (
	"context"
	"fmt"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long the plugin folders must be quiet before they are
// looked at: a file is copied in many writes.
const settleTime = 250 * time.Millisecond

// Watch takes up what changes in the plugin folders, as Rescan does, until ctx
// ends. The error is that of watching; the plugins loaded are not concerned.
func (h *Host) Watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("plugins: watch: %w", err)
	}
	defer func() { _ = w.Close() }()
	for _, dir := range h.cfg.Dirs {
		if err := w.Add(dir); err != nil {
			return fmt.Errorf("plugins: watch %s: %w", dir, err)
		}
	}
	// What came between New and here is found by looking once.
	quiet := time.NewTimer(0)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if e.Op != fsnotify.Chmod {
				quiet.Reset(settleTime)
			}
		case err := <-w.Errors: // events were lost
			h.cfg.Logger.Warn("watching the plugin folders", "error", err)
			quiet.Reset(settleTime)
		case <-quiet.C:
			if err := h.Rescan(ctx); err != nil {
				h.cfg.Logger.Error("the plugin folders cannot be read", "error", err)
			}
		}
	}
}
