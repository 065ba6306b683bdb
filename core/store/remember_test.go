package store_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
)

// process is a collection as one process has it.
func process(d store.Driver, ring *seal.Keyring) *store.Collection[record] {
	return store.NewCollection[record](d, ring, "grant").Remember(time.Hour, time.Now)
}

// count makes d count its operations from here on.
func count(d *memory.Driver) *atomic.Int64 {
	var n atomic.Int64
	d.Fail(func(string, string) error { n.Add(1); return nil })
	return &n
}

func TestUpdateStartsFromWhatIsRemembered(t *testing.T) {
	t.Parallel()
	other := errors.New("refused")
	add := func(v *record) (time.Duration, error) { v.Count++; return time.Hour, nil }
	for _, c := range []struct {
		name       string
		stale      bool // another process has made Count 10
		f          func(*record) (time.Duration, error)
		want       int
		err        error
		operations int64
	}{
		{"a change", false, add, 2, nil, 1},
		{"a change of what changed", true, add, 11, nil, 2},
		{"a deletion", false, func(*record) (time.Duration, error) { return 0, store.Delete }, 1, nil, 1},
		{"a deletion of what changed", true, func(v *record) (time.Duration, error) {
			if v.Count == 1 {
				return 0, store.Delete
			}
			return 0, store.Keep
		}, 10, nil, 1},
		{"keeping it", false, func(*record) (time.Duration, error) { return 0, store.Keep }, 1, nil, 1},
		{"keeping what changed", true, func(*record) (time.Duration, error) { return 0, store.Keep }, 10, nil, 1},
		{"a refusal", false, func(*record) (time.Duration, error) { return 0, other }, 0, other, 1},
		{"a refusal that the record of now does not deserve", true, func(v *record) (time.Duration, error) {
			if v.Count == 1 {
				return 0, other
			}
			return time.Hour, nil
		}, 10, nil, 2},
	} {
		d, ring := &memory.Driver{}, newRing(t)
		here, there := process(d, ring), process(d, ring)
		if err := here.Create(t.Context(), "octo", "id", record{"n", 1}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if c.stale {
			_, err := there.Update(t.Context(), "octo", "id", func(v *record) (time.Duration, error) { v.Count = 10; return time.Hour, nil })
			if err != nil {
				t.Fatal(err)
			}
		}
		n := count(d)
		got, err := here.Update(t.Context(), "octo", "id", c.f)
		if got.Count != c.want || !errors.Is(err, c.err) || n.Load() != c.operations {
			t.Errorf("%s: %+v, %v in %d operations; want %d, %v in %d", c.name, got, err, n.Load(), c.want, c.err, c.operations)
		}
	}
}

func TestUpsert(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	add := func(v *record) (time.Duration, error) { v.Count++; return time.Hour, nil }
	fixed := func(err error) func(*record) (time.Duration, error) {
		return func(v *record) (time.Duration, error) { v.Count = 99; return 0, err }
	}
	for _, c := range []struct {
		name       string
		there      bool // with Count 1
		f          func(*record) (time.Duration, error)
		want       int // returned
		stored     int // 0: nothing
		err        error
		operations int64
	}{
		{"a new one", false, add, 1, 1, nil, 1},
		{"a change", true, add, 2, 2, nil, 2},
		{"keeping nothing", false, fixed(store.Keep), 0, 0, nil, 1},
		{"keeping one", true, fixed(store.Keep), 1, 1, nil, 1},
		{"deleting nothing", false, fixed(store.Delete), 0, 0, nil, 1},
		{"deleting one", true, fixed(store.Delete), 99, 0, nil, 2},
		{"refusing nothing", false, fixed(refused), 0, 0, refused, 1},
		{"refusing one", true, fixed(refused), 0, 1, refused, 1},
	} {
		d := &memory.Driver{}
		col := store.NewCollection[record](d, newRing(t), "grant")
		if c.there {
			if err := col.Create(t.Context(), "octo", "id", record{Count: 1}, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		n := count(d)
		got, err := col.Upsert(t.Context(), "octo", "id", c.f)
		if got.Count != c.want || !errors.Is(err, c.err) || n.Load() != c.operations {
			t.Errorf("%s: %+v, %v in %d operations; want %d, %v in %d", c.name, got, err, n.Load(), c.want, c.err, c.operations)
		}
		stored, err := col.Get(t.Context(), "octo", "id")
		if stored.Count != c.stored || errors.Is(err, store.ErrNotFound) != (c.stored == 0) {
			t.Errorf("%s: stored is %+v, %v; want %d", c.name, stored, err, c.stored)
		}
	}
}

func TestConcurrentUpsertsAllCount(t *testing.T) {
	t.Parallel()
	d, ring := slow{&memory.Announcing{Driver: &memory.Driver{}}}, newRing(t)
	var working sync.WaitGroup
	for range 8 {
		p := store.NewCollection[record](d, ring, "grant")
		working.Go(func() {
			_, err := p.Upsert(t.Context(), "octo", "id", func(v *record) (time.Duration, error) { v.Count++; return time.Hour, nil })
			if err != nil {
				t.Error(err)
			}
		})
	}
	working.Wait()
	if got, err := process(d, ring).Get(t.Context(), "octo", "id"); got.Count != 8 {
		t.Errorf("%+v, %v; want 8", got, err)
	}
}

func TestWhatIsNotThereIsRememberedToo(t *testing.T) {
	t.Parallel()
	d, ring := &memory.Announcing{Driver: &memory.Driver{}}, newRing(t)
	here, there := process(d, ring), process(d, ring)
	defer follow(t, d, here)()
	n := count(d.Driver)
	absent := func(what string, operations int64) {
		t.Helper()
		n.Store(0)
		_, err := here.Get(t.Context(), "octo", "id")
		is(t, what, err, store.ErrNotFound)
		if n.Load() != operations {
			t.Errorf("%s: %d operations, want %d", what, n.Load(), operations)
		}
	}
	absent("first Get", 1)
	absent("second Get", 0)
	if err := there.Create(t.Context(), "octo", "id", record{Count: 1}, time.Hour); err != nil {
		t.Fatal(err)
	}
	absent("Get of what another process made and did not announce", 0)
	// Nothing is decided on that.
	got, err := here.Update(t.Context(), "octo", "id", func(v *record) (time.Duration, error) { v.Count++; return time.Hour, nil })
	if err != nil || got.Count != 2 {
		t.Errorf("Update: %+v, %v", got, err)
	}
	if err := there.Delete(t.Context(), "octo", "id"); err != nil {
		t.Fatal(err)
	}
	absent("Get of what another process deleted", 1)
	if err := there.Create(t.Context(), "octo", "id", record{Count: 3}, time.Hour); err != nil {
		t.Fatal(err)
	}
	there.Announce(t.Context(), "octo", "id")
	if got, err := here.Get(t.Context(), "octo", "id"); err != nil || got.Count != 3 {
		t.Errorf("Get of what another process made and announced: %+v, %v", got, err)
	}
	if err := here.Delete(t.Context(), "octo", "id"); err != nil {
		t.Fatal(err)
	}
	absent("Get after Delete", 1)
	if err := here.Create(t.Context(), "octo", "id", record{Count: 4}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := here.Get(t.Context(), "octo", "id"); err != nil || got.Count != 4 {
		t.Errorf("Get after Create: %+v, %v", got, err)
	}
}

// lostAnswer fails after the driver has done what it was asked.
type lostAnswer struct{ *memory.Driver }

var errLost = errors.New("connection lost")

func (l lostAnswer) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	return errors.Join(errLost, l.Driver.Swap(ctx, key, old, new, ttl))
}

func (l lostAnswer) Take(ctx context.Context, key string) ([]byte, error) {
	_, err := l.Driver.Take(ctx, key)
	return nil, errors.Join(errLost, err)
}

func TestNothingIsRememberedOfAChangeWhoseOutcomeIsUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*store.Collection[record]) error
		want   int // 0: deleted
	}{
		"change": {func(c *store.Collection[record]) error {
			_, err := c.Update(t.Context(), "octo", "id", func(v *record) (time.Duration, error) { v.Count = 2; return time.Hour, nil })
			return err
		}, 2},
		"deletion": {func(c *store.Collection[record]) error { return c.Delete(t.Context(), "octo", "id") }, 0},
		"taking":   {func(c *store.Collection[record]) error { _, err := c.Take(t.Context(), "octo", "id"); return err }, 0},
	} {
		d, ring := &memory.Driver{}, newRing(t)
		if err := process(d, ring).Create(t.Context(), "octo", "id", record{"n", 1}, time.Hour); err != nil {
			t.Fatal(err)
		}
		p := process(lostAnswer{d}, ring)
		if got, err := p.Get(t.Context(), "octo", "id"); err != nil || got.Count != 1 {
			t.Fatal(got, err)
		}
		if err := c.change(p); !errors.Is(err, errLost) {
			t.Errorf("%s: %v", name, err)
		}
		got, err := p.Get(t.Context(), "octo", "id")
		if got.Count != c.want || errors.Is(err, store.ErrNotFound) != (c.want == 0) {
			t.Errorf("after a %s: %+v, %v; want %d", name, got, err, c.want)
		}
	}
}

// slow lets others in between what it does and what it answers.
type slow struct{ *memory.Announcing }

func (s slow) Get(ctx context.Context, key string) ([]byte, error) {
	defer time.Sleep(rand.N(50 * time.Microsecond))
	return s.Announcing.Get(ctx, key)
}

func (s slow) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	defer time.Sleep(rand.N(50 * time.Microsecond))
	return s.Announcing.Swap(ctx, key, old, new, ttl)
}

// TestNobodySeesWhatWasBeforeAChangeThatReturned lets many goroutines of one
// process, or of two that announce, change and read one record: whoever begins
// to read after a change returned sees it or a later one.
func TestNobodySeesWhatWasBeforeAChangeThatReturned(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2} {
		d, ring := slow{&memory.Announcing{Driver: &memory.Driver{}}}, newRing(t)
		var processes []*store.Collection[record]
		for range n {
			processes = append(processes, process(d, ring))
		}
		stop := follow(t, d.Announcing, processes...)
		if err := processes[0].Create(t.Context(), "octo", "id", record{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		var known atomic.Int64 // the highest count of which a change has returned, announcement included
		var working sync.WaitGroup
		for worker := range 8 {
			p := processes[worker%n]
			working.Go(func() {
				for range 400 {
					least := known.Load()
					if rand.IntN(4) > 0 {
						got, err := p.Get(t.Context(), "octo", "id")
						if err != nil || int64(got.Count) < least {
							t.Errorf("%d processes: read %d after a change to %d had returned, %v", n, got.Count, least, err)
						}
						continue
					}
					got, err := p.Update(t.Context(), "octo", "id", func(v *record) (time.Duration, error) { v.Count++; return time.Hour, nil })
					if err != nil || int64(got.Count) <= least {
						t.Errorf("%d processes: made it %d after a change to %d had returned, %v", n, got.Count, least, err)
					}
					if n > 1 {
						p.Announce(t.Context(), "octo", "id")
					}
					for now := known.Load(); int64(got.Count) > now && !known.CompareAndSwap(now, int64(got.Count)); now = known.Load() {
					}
				}
			})
		}
		working.Wait()
		stop()
		if known.Load() < 100 {
			t.Errorf("%d processes: only %d changes", n, known.Load())
		}
	}
}

// follow makes processes hear announcements until stop is called.
func follow(t *testing.T, d *memory.Announcing, processes ...*store.Collection[record]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	for _, p := range processes {
		done.Go(func() { store.Follow(ctx, d, func(err error) { t.Error(err) }, p.Forget) })
	}
	for d.Listeners() < len(processes) {
		time.Sleep(time.Millisecond)
	}
	return func() { cancel(); done.Wait() }
}

// failing is a driver that cannot listen for a while.
type failing struct {
	*memory.Announcing
	left atomic.Int64
}

func (f *failing) Listen(ctx context.Context, hear func(string)) error {
	if f.left.Add(-1) >= 0 {
		return errLost
	}
	return f.Announcing.Listen(ctx, hear)
}

func TestFollowTriesAgainAndForgetsWhatItMayHaveMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, ring := &failing{Announcing: &memory.Announcing{Driver: &memory.Driver{}}}, newRing(t)
		d.left.Store(4)
		here, there := process(d, ring), process(d, ring)
		if err := here.Create(t.Context(), "octo", "id", record{"n", 1}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := there.Delete(t.Context(), "octo", "id"); err != nil { // nobody listens yet
			t.Fatal(err)
		}
		if _, err := here.Get(t.Context(), "octo", "id"); err != nil {
			t.Errorf("it remembers nothing: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var troubles atomic.Int64
		var done sync.WaitGroup
		done.Go(func() {
			store.Follow(ctx, d, func(err error) {
				if !errors.Is(err, errLost) {
					t.Error(err)
				}
				troubles.Add(1)
			}, here.Forget)
		})
		time.Sleep(10 * time.Second)
		if troubles.Load() != 4 || d.Listeners() != 1 {
			t.Errorf("%d troubles and %d listeners, want 4 and 1", troubles.Load(), d.Listeners())
		}
		_, err := here.Get(t.Context(), "octo", "id")
		is(t, "Get of what was deleted meanwhile", err, store.ErrNotFound)
		stop()
		done.Wait()
	})
}
