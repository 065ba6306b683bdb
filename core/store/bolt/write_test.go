package bolt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/core/store"
)

// All changes that wait while the disk is busy go into one transaction, and
// each is answered for itself.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := open(newPath(t))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		d := &Driver{db: db, now: time.Now, ops: make(chan *op), closing: make(chan struct{})} // no writer runs
		const n = 50
		var errs [n]error
		for i := range n {
			key := fmt.Sprint("k", i/2) // so each key has two creators
			go func() { errs[i] = d.Swap(t.Context(), key, nil, []byte("v"), time.Hour) }()
		}
		synctest.Wait()
		before := lastTx(t, db)
		batch := d.gather(<-d.ops)
		if len(batch) != n {
			t.Errorf("the batch has %d changes, want %d", len(batch), n)
		}
		d.commit(batch)
		synctest.Wait()
		if got := lastTx(t, db) - before; got != 1 {
			t.Errorf("%d transactions, want 1", got)
		}
		for i := 0; i < n; i += 2 {
			if (errs[i] == nil) == (errs[i+1] == nil) || !errors.Is(errors.Join(errs[i], errs[i+1]), store.ErrConflict) {
				t.Errorf("creators of one key heard %v and %v; want one conflict", errs[i], errs[i+1])
			}
		}
		consistent(t, db, n/2)
	})
}

// A batch that changes nothing costs no sync.
func TestConflictsCommitNothing(t *testing.T) {
	d := mustOpen(t, newPath(t), newClock())
	swap(t, d, "k", nil, "v", time.Hour)
	before := lastTx(t, d.db)
	for range 5 {
		if err := d.Swap(t.Context(), "k", nil, []byte("w"), time.Hour); !errors.Is(err, store.ErrConflict) {
			t.Fatal(err)
		}
		if _, err := d.Take(t.Context(), "missing"); !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if got := lastTx(t, d.db); got != before {
		t.Errorf("%d transactions were committed", got-before)
	}
}

func TestGivingUpInTheQueueChangesNothing(t *testing.T) {
	d := mustOpen(t, newPath(t), newClock())
	under, release := make(chan struct{}), make(chan struct{})
	slow := &op{done: make(chan struct{}), apply: func(*txn) (error, error) {
		close(under) // its batch is closed now
		<-release
		return nil, nil
	}}
	d.ops <- slow
	<-under
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := d.Swap(ctx, "second", nil, []byte("v"), time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Swap = %v", err)
	}
	close(release)
	<-slow.done
	swap(t, d, "third", nil, "v", time.Hour)
	if _, err := d.Get(t.Context(), "second"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of what was given up = %v", err)
	}
}

func TestBrokenFileIsAnOrdinaryError(t *testing.T) {
	d := mustOpen(t, newPath(t), newClock())
	swap(t, d, "k", nil, "v", time.Hour)
	if err := d.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, get := d.Get(t.Context(), "k")
	_, take := d.Take(t.Context(), "k")
	for op, err := range map[string]error{
		"Get":  get,
		"Take": take,
		"Swap": d.Swap(t.Context(), "k", nil, []byte("v"), time.Hour),
		"Scan": d.Scan(t.Context(), "", func(string) error { return nil }),
		"Ping": d.Ping(t.Context()),
	} {
		if err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
			t.Errorf("%s = %v; want an ordinary error", op, err)
		}
	}
}

func TestSweepDeletesWhatExpired(t *testing.T) {
	c := newClock()
	d := mustOpen(t, newPath(t), c)
	for i := range 30 {
		swap(t, d, fmt.Sprint("k", i), nil, "v", time.Duration(1+i/10)*time.Minute) // ten per minute
	}
	swap(t, d, "k0", []byte("v"), "w", time.Hour) // was to expire first, no longer does
	for _, step := range []struct {
		advance time.Duration
		limit   int
		want    int
		left    int
	}{
		{time.Minute - time.Millisecond, 100, 0, 30},
		{time.Millisecond, 4, 4, 26},
		{0, 100, 5, 21},
		{0, 100, 0, 21},
		{2 * time.Minute, 100, 20, 1},
	} {
		c.advance(step.advance)
		n, err := d.sweepOnce(step.limit)
		if err != nil || n != step.want {
			t.Errorf("sweep = %d, %v; want %d", n, err, step.want)
		}
		consistent(t, d.db, step.left)
	}
	if got, err := d.Get(t.Context(), "k0"); err != nil || string(got) != "w" {
		t.Errorf("Get = %q, %v", got, err)
	}
}

func TestSweepRunsByItself(t *testing.T) {
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		d, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		swap(t, d, "stays", nil, "v", time.Hour)
		for i := range 3 {
			swap(t, d, fmt.Sprint("goes", i), nil, "v", time.Second)
		}
		time.Sleep(sweepEvery)
		synctest.Wait()
		consistent(t, d.db, 1)
	})
}

// Whatever happens to a record, it has exactly one entry in the index.
func TestIndexStaysInStep(t *testing.T) {
	c := newClock()
	d := mustOpen(t, newPath(t), c)
	random := rand.New(rand.NewPCG(1, 2))
	live := map[string]string{}
	for i := range 400 {
		key := fmt.Sprint("k", random.IntN(8))
		var old []byte
		if v, err := d.Get(t.Context(), key); err == nil {
			old = v
		}
		switch random.IntN(6) {
		case 0:
			_, _ = d.Take(t.Context(), key)
			delete(live, key)
		case 1:
			if err := d.Swap(t.Context(), key, old, nil, 0); err != nil {
				t.Fatal(err)
			}
			delete(live, key)
		case 2:
			c.advance(time.Second)
		default:
			swap(t, d, key, old, fmt.Sprint(i), time.Duration(1+random.IntN(5))*time.Second)
			live[key] = fmt.Sprint(i)
		}
		if i%50 == 0 {
			consistent(t, d.db, -1)
		}
	}
	c.advance(time.Minute)
	if _, err := d.sweepOnce(1000); err != nil {
		t.Fatal(err)
	}
	consistent(t, d.db, 0)
}

// consistent checks that the buckets agree on each record and, unless want is
// negative, how many there are.
func consistent(t *testing.T, db *bbolt.DB, want int) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		n, err := indexed(t.Context(), tx)
		if err == nil && want >= 0 && n != want {
			err = fmt.Errorf("%d records, want %d", n, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// lastTx returns the number of the last committed transaction.
func lastTx(t *testing.T, db *bbolt.DB) int {
	t.Helper()
	var id int
	if err := db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}
