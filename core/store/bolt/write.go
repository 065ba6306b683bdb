package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

const (
	maxBatch   = 256         // changes in one transaction
	sweepEvery = time.Minute // expired values are invisible at once; this is about the space
	sweepBatch = 256         // expired values deleted in one transaction
)

// op is one change waiting for the writer.
type op struct {
	// apply makes the change. answer is what the caller hears, a lost
	// comparison for instance; broken says that the transaction is.
	apply  func(*txn) (answer, broken error)
	answer error
	done   chan struct{}
}

// errUnchanged rolls a transaction back that has nothing to commit.
var errUnchanged = errors.New("unchanged")

// submit hands a change to the writer and waits until it is on disk. Whoever
// gives up before the writer takes the change has changed nothing; afterwards
// submit waits for the commit, so that every answer is the true one.
func (d *Driver) submit(ctx context.Context, apply func(*txn) (answer, broken error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o := &op{apply: apply, done: make(chan struct{})}
	select {
	case d.ops <- o:
		<-o.done
		return o.answer
	case <-d.closing:
		return errors.New("closed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write is the one writer. While a commit waits for the disk, the callers that
// arrive queue up, and the next transaction takes them all: one sync for many
// changes under load, and no delay for one alone. bbolt's own Batch would make
// a lone change wait for company, and starts a whole batch over when a member
// fails, which a lost comparison, an ordinary answer here, would do each time.
func (d *Driver) write() {
	for {
		select {
		case o := <-d.ops:
			d.commit(d.gather(o))
		case <-d.closing:
			return
		}
	}
}

func (d *Driver) gather(first *op) []*op {
	batch := []*op{first}
	for len(batch) < maxBatch {
		select {
		case o := <-d.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

// commit applies a batch in order in one transaction. Nobody is answered
// before the commit, not even who lost a comparison: what it lost to may be a
// change of this very batch.
func (d *Driver) commit(batch []*op) {
	err := d.db.Update(func(tx *bbolt.Tx) error {
		t := &txn{records: tx.Bucket(records), expiry: tx.Bucket(expiry), now: d.now()}
		for _, o := range batch {
			var broken error
			if o.answer, broken = o.apply(t); broken != nil {
				return broken
			}
		}
		if !t.changed {
			return errUnchanged
		}
		return nil
	})
	for _, o := range batch {
		if err != nil && !errors.Is(err, errUnchanged) {
			o.answer = err
		}
		close(o.done)
	}
}

// sweep deletes expired values until the driver closes. It has no way to
// report a failure and needs none: a file that cannot be written answers every
// other write with that error.
func (d *Driver) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for n := sweepBatch; n == sweepBatch; {
				n, _ = d.sweepOnce(sweepBatch)
			}
		case <-d.closing:
			return
		}
	}
}

// sweepOnce deletes at most limit expired values, queued among the other
// changes, and returns how many it deleted.
func (d *Driver) sweepOnce(limit int) (n int, err error) {
	err = d.submit(context.Background(), func(t *txn) (error, error) {
		expired := t.expired(limit)
		for _, key := range expired {
			if err := t.delete(key); err != nil {
				return nil, err
			}
		}
		n = len(expired)
		return nil, nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// txn is the transaction of a batch. It keeps the two buckets in step.
type txn struct {
	records, expiry *bbolt.Bucket
	now             time.Time
	changed         bool
}

func (t *txn) get(key string) ([]byte, bool) {
	return live(t.records.Get([]byte(key)), t.now)
}

func (t *txn) put(key string, value []byte, ttl time.Duration) error {
	if err := t.delete(key); err != nil { // drops the old expiry, of an expired value too
		return err
	}
	// A value lives until the first millisecond at which all of ttl has passed.
	at := t.now.Add(ttl).Add(time.Millisecond - 1).UnixMilli()
	stored := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), uint64(at))
	stored = append(stored, value...)
	t.changed = true
	return errors.Join(
		t.records.Put([]byte(key), stored),
		t.expiry.Put(slices.Concat(stored[:8], []byte(key)), nil),
	)
}

func (t *txn) delete(key string) error {
	stored := t.records.Get([]byte(key))
	if stored == nil {
		return nil
	}
	t.changed = true
	return errors.Join(
		t.expiry.Delete(slices.Concat(stored[:8], []byte(key))),
		t.records.Delete([]byte(key)),
	)
}

// expired returns the keys of the values that expired first, at most limit.
func (t *txn) expired(limit int) []string {
	var keys []string
	now := t.now.UnixMilli()
	c := t.expiry.Cursor()
	for k, _ := c.First(); k != nil && len(keys) < limit && int64(binary.BigEndian.Uint64(k)) <= now; k, _ = c.Next() {
		keys = append(keys, string(k[8:]))
	}
	return keys
}
