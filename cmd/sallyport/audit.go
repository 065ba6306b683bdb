package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/core/audit"
)

// auditDrain is how long a server that stops waits for its last audit lines.
const auditDrain = 5 * time.Second

// openAudit opens the audit log that the configuration names.
func (d *deployment) openAudit(sys system) error {
	var out io.Writer
	switch target := d.cfg.Audit; target {
	case "off":
		return nil
	case "stdout":
		out = sys.out
	case "stderr":
		out = sys.err
	default:
		if _, err := os.Lstat(target); sys.look && errors.Is(err, fs.ErrNotExist) {
			if err := writable(filepath.Dir(target)); err != nil {
				return fmt.Errorf("audit: %s cannot be made: %w; name a folder that this user can write, or run check as the user of the server", target, err)
			}
			return nil
		}
		file, err := openAuditFile(target)
		if err != nil {
			return err
		}
		if sys.look { // check writes no lines between those of the server
			return file.Close()
		}
		out = file
	}
	d.audit = audit.New(audit.Config{Out: out, Required: d.cfg.AuditRequired, Notify: d.auditChanged})
	d.closes = append(d.closes, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), auditDrain)
		defer cancel()
		err := d.audit.Close(ctx)
		if file, ok := d.audit.Reopen(io.Discard).(*os.File); ok && d.auditFile() {
			_ = file.Close()
		}
		return err
	})
	return nil
}

// auditFile reports whether the audit log is a file of the server's own.
func (d *deployment) auditFile() bool {
	return d.cfg.Audit != "off" && d.cfg.Audit != "stdout" && d.cfg.Audit != "stderr"
}

// openAuditFile opens a file, or a named pipe that a process reads. Without
// O_NONBLOCK the open of a pipe itself waits for a reader.
func openAuditFile(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ENXIO) { // open(2)
		return nil, fmt.Errorf("audit: %s is a pipe or a socket and no process reads it; start the reader first, or name a file", name)
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return file, nil
}

// reopenAudit goes on in a file of the same name, after the one of before was
// renamed.
func (d *deployment) reopenAudit() {
	if d.audit == nil || !d.auditFile() {
		return
	}
	file, err := openAuditFile(d.cfg.Audit)
	if err != nil {
		d.log.Error("the audit file cannot be opened again; lines go on into the one of before", "error", err)
		return
	}
	if before, ok := d.audit.Reopen(file).(*os.File); ok {
		_ = before.Close() // a write under way ends first
	}
}

// auditChanged is told when audit lines cannot be written, and when they can be
// again.
func (d *deployment) auditChanged(s audit.Status) {
	if s.Failing != nil {
		d.log.Error("audit lines cannot be written; check the disk or the reader that audit names",
			"audit", d.cfg.Audit, "error", s.Failing, "waiting", s.Queued, "lost", s.Dropped)
		return
	}
	d.log.Warn("audit lines are written again", "lost", s.Dropped)
}
