package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/core/store"
)

var (
	_ store.Exporter = (*Driver)(nil)
	_ store.Backuper = (*Driver)(nil)
)

// Backup implements store.Backuper. It reads in one transaction: what is written
// meanwhile goes to other pages of the file, which grows by as much.
func (d *Driver) Backup(ctx context.Context, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.db.View(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(untilDone{ctx, w})
		return err
	})
	if err != nil {
		return fmt.Errorf("bolt: backup: %w", err)
	}
	return nil
}

// untilDone is a writer that fails once a context has ended.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

func (u untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

// Export implements store.Exporter. Like Scan it calls f outside of any
// transaction.
func (d *Driver) Export(ctx context.Context, f func(store.Record) error) error {
	return d.Scan(ctx, "", func(key string) error {
		var r store.Record
		err := d.db.View(func(tx *bbolt.Tx) error {
			now := d.now()
			stored := tx.Bucket(records).Get([]byte(key))
			value, ok := live(stored, now)
			if !ok {
				return store.ErrNotFound // expired since the scan
			}
			r = store.Record{Key: key, Value: bytes.Clone(value), TTL: expires(stored).Sub(now)}
			return nil
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil:
			return fmt.Errorf("bolt: export: %w", err)
		}
		return f(r)
	})
}

// Verify reads all of a file that no process has open, and returns how many
// records it has. It finds pages that are damaged or used twice, and records
// that would not expire.
func Verify(ctx context.Context, path string) (n int, err error) {
	if err := whole(path); err != nil {
		return 0, fmt.Errorf("bolt: %w", explain(path, err))
	}
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return 0, fmt.Errorf("bolt: %s is empty; name a backup that sallyport wrote", path)
	}
	o := options()
	o.ReadOnly, o.PreLoadFreelist = true, true
	db, err := bbolt.Open(path, 0, o)
	if err != nil {
		return 0, fmt.Errorf("bolt: %w", explain(path, err))
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(tx *bbolt.Tx) error {
		var faults []error
		for fault := range tx.Check() {
			faults = append(faults, fault)
		}
		if len(faults) > 0 {
			return faults[0]
		}
		n, err = indexed(ctx, tx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("bolt: %s is damaged: %w", path, err)
	}
	return n, nil
}

// indexed counts the records and checks that each is in the index by the time
// it expires, and nothing else is.
func indexed(ctx context.Context, tx *bbolt.Tx) (n int, err error) {
	values, index := tx.Bucket(records), tx.Bucket(expiry)
	if values == nil || index == nil {
		return 0, errors.New("it has no records")
	}
	err = values.ForEach(func(key, stored []byte) error {
		n++
		if len(stored) < 8 || index.Get(slices.Concat(stored[:8], key)) == nil {
			return errors.New("a record is not in the index")
		}
		return ctx.Err()
	})
	if err != nil {
		return 0, err
	}
	entries := 0
	if err := index.ForEach(func(_, _ []byte) error { entries++; return ctx.Err() }); err != nil {
		return 0, err
	}
	if entries != n {
		return 0, fmt.Errorf("it has %d records and %d entries in the index", n, entries)
	}
	return n, nil
}

// expires is when a record, as it is stored, does.
func expires(stored []byte) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(stored)))
}
