package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/admin"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
)

func storeBackupCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of the store to a file, also while the server runs",
		Long: "Backup writes every record to a new file and checks that the file is whole. The\n" +
			"file is a bolt store, whatever kind of store it was made from: store restore puts it\n" +
			"back into either kind. Of a bolt store it holds one moment. A Redis is read while it\n" +
			"changes, record by record; its own backups (BGSAVE) hold one moment. Users who\n" +
			"refreshed after the backup log in again after a restore, and what was revoked after\n" +
			"it is back.\n" + asksServer,
		Example: "  sallyport store backup -c sallyport.yaml /var/backups/sallyport-$(date +%F).db\n" +
			"  sallyport store backup -c sallyport.yaml backup.db --json",
		Args: cobra.ExactArgs(1),
	}
	flags := addAdminFlags(cmd, sys)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		done, err := flags.backUp(cmd, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), done)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, %s bytes\n", done.File, counted(done.Records, "record"), grouped(done.Bytes))
		return err
	})
	return cmd
}

// backedUp is what a backup is.
type backedUp struct {
	File    string `json:"file"`
	Records int    `json:"records"`
	Bytes   int64  `json:"bytes"`
}

// backUp writes a backup of the server's or the configuration's store to a new
// file.
func (f adminFlags) backUp(cmd *cobra.Command, target string) (done backedUp, err error) {
	ctx, p := cmd.Context(), newProgress(f.sys.err, f.sys.faults.clock())
	defer p.end()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return done, fmt.Errorf("the backup needs a new file: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(target))
		}
	}()
	b := &backupFile{ctx: ctx, path: target, p: p}
	copied := f.copyStore(cmd, &counter{w: out, p: p}, b)
	if err := errors.Join(copied, out.Sync(), out.Close(), b.close()); err != nil {
		return done, err
	}
	n, err := bolt.Verify(ctx, target)
	if err != nil {
		return done, err
	}
	info, err := os.Stat(target)
	if err != nil {
		return done, err
	}
	return backedUp{File: target, Records: n, Bytes: info.Size()}, nil
}

// counter shows how much was written.
type counter struct {
	w io.Writer
	n int64
	p *progress
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.p.say("%s bytes", grouped(c.n))
	return n, err
}

// copyStore has the store copied by the running server, or copies it: as a file
// to w, or record by record to b.
func (f adminFlags) copyStore(cmd *cobra.Command, w io.Writer, b *backupFile) error {
	ctx := cmd.Context()
	o, err := f.dial(cmd)
	if err != nil {
		return err
	}
	if o != nil {
		isFile, err := o.remote.Backup(ctx, w, b.put)
		if err != nil || isFile {
			return err
		}
		return b.open()
	}
	cfg, err := loadConfig(cmd, f.sys, *f.files)
	if err != nil {
		return err
	}
	if err := existing(cfg.Store); err != nil {
		return err
	}
	r, err := openRecords(ctx, cfg, f.sys)
	if errors.Is(err, bolt.ErrHeld) {
		return heldWithoutSocket(cfg, err)
	}
	if err != nil {
		return err
	}
	r.audit.Record(ctx, audit.Event{Action: audit.BackedUp, Operator: admin.Actor{UID: os.Getuid()}.String()})
	switch d := r.store.(type) {
	case store.Backuper:
		err = d.Backup(ctx, w)
	case store.Exporter:
		err = errors.Join(d.Export(ctx, b.put), b.open())
	default:
		err = errors.New("this kind of store cannot be backed up")
	}
	return errors.Join(err, r.close())
}

// existing refuses a store file that is missing, before it would be made.
func existing(address config.Secret) error {
	if path, ok := boltFile(address); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no store to read: %w", err)
		}
	}
	return nil
}

// backupFile is a backup that is written record by record.
type backupFile struct {
	ctx     context.Context // of the command: put is called by those that have none to give
	path    string
	p       *progress
	d       *bolt.Driver
	writers *errgroup.Group
	n       int64
}

// open makes a store of the file, which is empty.
func (b *backupFile) open() (err error) {
	if b.d != nil {
		return nil
	}
	if b.d, err = bolt.Open(b.ctx, bolt.Config{Path: b.path}); err != nil {
		return err
	}
	b.writers, b.ctx = errgroup.WithContext(b.ctx)
	b.writers.SetLimit(copiers)
	return nil
}

// put writes a record. One that was there already, which a Redis may list
// twice, stays as it was read first.
func (b *backupFile) put(r store.Record) error {
	if err := b.open(); err != nil {
		return err
	}
	b.writers.Go(func() error {
		err := b.d.Swap(b.ctx, r.Key, nil, r.Value, max(r.TTL, time.Millisecond))
		if errors.Is(err, store.ErrConflict) {
			return nil
		}
		return err
	})
	b.n++
	b.p.say("%s", counted(b.n, "record"))
	return b.ctx.Err()
}

// close waits until everything is written.
func (b *backupFile) close() error {
	if b.d == nil {
		return nil
	}
	return errors.Join(b.writers.Wait(), b.d.Close())
}
