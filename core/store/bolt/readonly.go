package bolt

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/core/store"
)

// File is a store file that is only read, such as a backup. Reading it changes
// nothing in it: what has expired stays there and is not exported.
type File struct{ d Driver }

var _ store.Exporter = (*File)(nil)

// OpenFile opens a store file for reading. No process may have it open.
func OpenFile(c Config) (*File, error) {
	if err := whole(c.Path); err != nil {
		return nil, fmt.Errorf("bolt: %w", explain(c.Path, err))
	}
	o := options()
	o.ReadOnly = true
	db, err := bbolt.Open(c.Path, 0, o)
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", explain(c.Path, err))
	}
	f := &File{Driver{db: db, now: c.Now}}
	if f.d.now == nil {
		f.d.now = time.Now
	}
	return f, nil
}

// Export implements store.Exporter.
func (f *File) Export(ctx context.Context, each func(store.Record) error) error {
	return f.d.Export(ctx, each)
}

// Close closes the file.
func (f *File) Close() error { return f.d.db.Close() }
