// Package bolt keeps records in one file, for a gateway that runs as one
// process: the default store, with nothing to install. It owns the file, the
// order of writes and the expiry of values; what a value means it leaves to
// package store and its callers.
//
// The file has two buckets. "records" maps a key to its expiry (Unix time in
// milliseconds, 8 bytes, big-endian) followed by the value. "expiry" holds one
// empty entry per record, named by expiry ‖ key, so that the next values to
// expire are always the first entries and a sweep reads nothing else. Space
// freed by deletions is used again; the file does not shrink.
package bolt

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/core/store"
)

const (
	maxKey   = 1024 // bytes
	scanPage = 256  // keys that Scan reads in one transaction
)

var (
	records = []byte("records")
	expiry  = []byte("expiry")
)

// Config says what to open.
type Config struct {
	// Path is the file. It is created with mode 0600 if it is missing, and its
	// folder with mode 0700.
	Path string
	// Now is the clock that values expire by; nil means time.Now.
	Now func() time.Time
}

// Driver is a store.Driver on one file. Values expire to the millisecond,
// rounded up.
type Driver struct {
	db      *bbolt.DB
	now     func() time.Time
	ops     chan *op
	close   func() error
	closing chan struct{}
	running sync.WaitGroup // the writer and the sweeper
}

var _ store.Driver = (*Driver)(nil)

// Open opens or creates the file. It fails within about a second, with ErrHeld,
// if another process holds it. Errors name the file and what would be right.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	db, err := open(c.Path)
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	d := &Driver{db: db, now: c.Now, ops: make(chan *op), closing: make(chan struct{})}
	if d.now == nil {
		d.now = time.Now
	}
	d.close = sync.OnceValue(func() error {
		close(d.closing)
		d.running.Wait()
		return db.Close()
	})
	d.running.Go(d.write)
	d.running.Go(d.sweep)
	return d, nil
}

// Get implements store.Driver.
func (d *Driver) Get(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var value []byte
	err := d.db.View(func(tx *bbolt.Tx) error {
		v, ok := live(tx.Bucket(records).Get([]byte(key)), d.now())
		if !ok {
			return store.ErrNotFound
		}
		value = bytes.Clone(v) // v points into the file
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("bolt: get: %w", err)
	}
	return value, nil
}

// Swap implements store.Driver.
func (d *Driver) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	if new != nil && ttl <= 0 {
		return fmt.Errorf("bolt: swap: ttl is %v, it should be positive", ttl)
	}
	if key == "" || len(key) > maxKey {
		// bbolt would refuse it as well, but together with the whole batch.
		return fmt.Errorf("bolt: swap: the key has %d bytes, it should have 1 to %d", len(key), maxKey)
	}
	err := d.submit(ctx, func(t *txn) (error, error) {
		value, ok := t.get(key)
		if ok != (old != nil) || !bytes.Equal(value, old) {
			return &store.Conflict{Held: bytes.Clone(value)}, nil // nil if it is not ok
		}
		if new == nil {
			return nil, t.delete(key)
		}
		return nil, t.put(key, new, ttl)
	})
	if err != nil {
		return fmt.Errorf("bolt: swap: %w", err)
	}
	return nil
}

// Take implements store.Driver.
func (d *Driver) Take(ctx context.Context, key string) ([]byte, error) {
	var taken []byte
	err := d.submit(ctx, func(t *txn) (error, error) {
		value, ok := t.get(key)
		if !ok {
			return store.ErrNotFound, nil
		}
		taken = bytes.Clone(value)
		return nil, t.delete(key)
	})
	if err != nil {
		return nil, fmt.Errorf("bolt: take: %w", err)
	}
	return taken, nil
}

// Scan implements store.Driver. It calls f outside of any transaction, page by
// page, so f may use the store and a slow f holds nothing up.
func (d *Driver) Scan(ctx context.Context, prefix string, f func(key string) error) error {
	from := []byte(prefix)
	for from != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		keys, next, err := d.page([]byte(prefix), from)
		if err != nil {
			return fmt.Errorf("bolt: scan: %w", err)
		}
		for _, k := range keys {
			if err := f(k); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// page returns the live ones of the next scanPage keys at or after from, and
// where the page after it starts: nil if there is none.
func (d *Driver) page(prefix, from []byte) (keys []string, next []byte, err error) {
	err = d.db.View(func(tx *bbolt.Tx) error {
		now := d.now()
		c := tx.Bucket(records).Cursor()
		seen := 0
		for k, v := c.Seek(from); bytes.HasPrefix(k, prefix) && k != nil; k, v = c.Next() {
			if seen++; seen > scanPage {
				next = bytes.Clone(k)
				return nil
			}
			if _, ok := live(v, now); ok {
				keys = append(keys, string(k))
			}
		}
		return nil
	})
	return keys, next, err
}

// Ping implements store.Driver.
func (d *Driver) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.db.View(func(*bbolt.Tx) error { return nil }); err != nil {
		return fmt.Errorf("bolt: ping: %w", err)
	}
	return nil
}

// Close implements store.Driver: it waits for the write under way and lets go
// of the file.
func (d *Driver) Close() error { return d.close() }

// live splits what the records bucket holds, and tells whether it counts.
func live(stored []byte, now time.Time) (value []byte, ok bool) {
	if len(stored) < 8 || now.UnixMilli() >= expires(stored).UnixMilli() {
		return nil, false
	}
	return stored[8:], true
}
