// Package store keeps sealed records under keys. It owns the Driver interface
// that a storage engine implements, and Collection, the typed and sealed view
// that the rest of core uses. It leaves what a record means to the package
// that owns the record, and the engines to its sub-packages bolt and redis.
//
// One promise carries everything above it: a change to one key is atomic and
// conditional on what the key held before. No operation spans two keys, so any
// engine with a compare-and-swap will do, clustered ones included.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors a Driver answers with, wrapped or bare. Every other error means the
// engine could not do its work: callers answer 503, never "not found".
var (
	// ErrNotFound says that the key holds nothing, or nothing any more.
	ErrNotFound = errors.New("store: not found")
	// ErrConflict says that the key did not hold what the caller expected.
	ErrConflict = errors.New("store: conflict")
)

// Conflict is an ErrConflict that says what the key holds, so that whoever lost
// need not ask.
type Conflict struct {
	Held []byte // nil: nothing
}

// Error is for the log: it does not quote what is held.
func (*Conflict) Error() string { return ErrConflict.Error() }

// Unwrap makes it an ErrConflict.
func (*Conflict) Unwrap() error { return ErrConflict }

// Driver is a storage engine. Keys are printable ASCII without spaces; values
// are opaque and small (a few KiB). Implementations are safe for concurrent
// use, and what they have acknowledged survives a crash of the process.
type Driver interface {
	// Get returns the value of key. A value whose ttl has passed is not found.
	Get(ctx context.Context, key string) ([]byte, error)

	// Swap replaces old by new if key holds exactly old, else ErrConflict, which
	// a *Conflict is if the engine can tell at no cost what key does hold. A nil
	// old means that the key must not exist, a nil new deletes it. The key
	// expires ttl after the swap; ttl must be positive unless new is nil.
	Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error

	// Take returns the value of key and deletes it, in one step: of any number
	// of concurrent takers one gets the value, the others ErrNotFound.
	Take(ctx context.Context, key string) ([]byte, error)

	// Scan calls f for every live key with the prefix, in no order, until f
	// returns an error, which Scan returns. Keys changed meanwhile may or may
	// not be seen. It is for operators and sweeps, never on a request's path.
	Scan(ctx context.Context, prefix string, f func(key string) error) error

	// Ping tells whether the engine can serve requests now.
	Ping(ctx context.Context) error

	// Close releases the engine. No other method may be called afterwards.
	Close() error
}
