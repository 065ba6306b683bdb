package store

import (
	"context"
	"io"
	"time"
)

// What a Driver may be able to do besides, found by assertion: whole copies are
// for operators, and not every engine has a way of its own to make them.

// Exporter is a Driver that can read out everything it holds.
type Exporter interface {
	// Export calls f for every live record, in no order and for one at a time,
	// until f returns an error, which Export returns. Records changed meanwhile
	// may or may not be seen, and a record may be seen twice.
	Export(ctx context.Context, f func(Record) error) error
}

// Record is what a driver holds under a key. It may be kept.
type Record struct {
	Key   string
	Value []byte
	TTL   time.Duration // until it expires, counted from the call; positive
}

// Backuper is a Driver that can write a backup of itself, to be opened like what
// it was made from.
type Backuper interface {
	// Backup writes the store as it is at one moment, while it serves. If it
	// returns an error, what was written is worth nothing.
	Backup(ctx context.Context, w io.Writer) error
}
