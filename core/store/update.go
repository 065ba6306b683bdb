package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// What the function given to Update returns instead of a failure.
var (
	// Keep leaves the record as it is; nothing is written.
	Keep = errors.New("store: keep") //nolint:revive,staticcheck // an answer, not a failure, so not ErrKeep
	// Delete deletes the record, provided that it is still what was read.
	Delete = errors.New("store: delete") //nolint:revive,staticcheck // likewise
)

// updateAttempts bounds how often Update pauses and reads again after losing.
// Every lost round means that another caller won one, so this many in a row
// is a storm on one key and better answered with "try later".
const updateAttempts = 24

// Update changes a record by compare-and-swap: it reads the record, lets f
// change it, and writes it back, sealed with the newest key, if nobody else
// changed it meanwhile. Otherwise it calls f again on what is there now, so f
// must have no effect but on v. ErrConflict means that this went on for too
// long.
//
// f returns the time until the record expires, counted from the write, or Keep
// or Delete (bare or wrapped), or an error that ends the update and is
// returned. Update returns the record as stored; after Delete, as f left it.
func (c *Collection[T]) Update(ctx context.Context, tenant, id string, f func(v *T) (ttl time.Duration, err error)) (T, error) {
	return c.change(ctx, tenant, id, false, f)
}

// Upsert is Update that makes the record if there is none: f then gets a zero
// one. It costs one operation of the driver where there is none and two where
// there is.
func (c *Collection[T]) Upsert(ctx context.Context, tenant, id string, f func(v *T) (ttl time.Duration, err error)) (T, error) {
	return c.change(ctx, tenant, id, true, f)
}

func (c *Collection[T]) change(ctx context.Context, tenant, id string, create bool, f func(v *T) (time.Duration, error)) (T, error) {
	var zero T
	at, err := c.place(tenant, id)
	if err != nil {
		return zero, err
	}
	from := c.guess(at.key, create)
	for pauses := 0; pauses < updateAttempts; {
		v, err := c.attempt(ctx, at, from, create, f)
		lost, again := errors.AsType[*lostRace](err)
		if !again {
			return v, err
		}
		if from.is != guessed && lost.now.is != known { // what is known is best used while it is fresh
			if err := pause(ctx, pauses); err != nil {
				return zero, err
			}
			pauses++
		}
		from = lost.now
	}
	return zero, fmt.Errorf("%w: %s changed under each of %d attempts", ErrConflict, c.kind, updateAttempts)
}

// base is what an attempt takes a key to hold.
type base struct {
	sealed []byte // nil: nothing
	is     certainty
}

type certainty int

const (
	unknown certainty = iota // the driver has to be asked
	guessed                  // remembered, or hoped for
	asked                    // the driver was asked
	known                    // the driver has just said so, when the attempt before lost
)

// lostRace is how an attempt ends whose base was not what the key holds. It is
// not ErrConflict, which f may return on its own account.
type lostRace struct{ now base }

func (*lostRace) Error() string { return "store: lost a race" }

// guess is what the first attempt starts from, to save a read.
func (c *Collection[T]) guess(key string, create bool) base {
	switch v := c.cache.get(key); {
	case v != nil && v.sealed != nil:
		return base{v.sealed, guessed}
	case create:
		return base{nil, guessed}
	}
	return base{}
}

// attempt is one round of an update. Nothing is decided on a guess but by a
// swap that proves it right: when f refuses it or keeps it, the race counts as
// lost.
func (c *Collection[T]) attempt(ctx context.Context, at place, from base, create bool, f func(v *T) (time.Duration, error)) (v T, err error) {
	var zero T
	began := c.cache.begin(at.key)
	if from.is == unknown {
		from.is = asked
		if from.sealed, err = c.driver.Get(ctx, at.key); err != nil && !errors.Is(err, ErrNotFound) {
			return zero, err
		}
	}
	switch {
	case from.sealed != nil:
		if v, err = c.open(at, from.sealed); err != nil {
			return zero, err
		}
	case !create:
		return zero, ErrNotFound
	}
	made := swapped[T]{old: from.sealed} // to nothing: deletes
	made.ttl, err = f(&v)
	switch {
	case err == nil:
		made.value = v
		if made.new, err = c.seal(at, v); err != nil {
			return zero, err
		}
	case errors.Is(err, Delete) && from.sealed != nil:
	case from.is == guessed:
		return zero, &lostRace{}
	case errors.Is(err, Keep), errors.Is(err, Delete):
		if from.sealed == nil {
			return zero, nil
		}
		return c.open(at, from.sealed) // whatever f did to v was not kept
	default:
		return zero, err
	}
	err = c.swap(ctx, at.key, began, made)
	if lost, ok := errors.AsType[*Conflict](err); ok && from.is != known {
		return zero, &lostRace{base{lost.Held, known}}
	}
	if errors.Is(err, ErrConflict) {
		return zero, &lostRace{}
	}
	if err != nil {
		return zero, err
	}
	return v, nil
}

// pause waits between two attempts: a random time below 1 ms at first, below
// 64 ms at last, so that contenders spread out instead of meeting again.
func pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(rand.N(time.Millisecond << min(attempt, 6)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
