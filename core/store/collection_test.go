package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
)

type record struct {
	Name  string
	Count int
}

func TestCollection(t *testing.T) {
	c := store.NewCollection[record](openBolt(t), newRing(t), "grant")
	ctx := t.Context()
	one := record{Name: "one", Count: 1}
	if err := c.Create(ctx, "octo", "id", one, time.Hour); err != nil {
		t.Fatal(err)
	}
	is(t, "second Create", c.Create(ctx, "octo", "id", record{}, time.Hour), store.ErrConflict)
	if got, err := c.Get(ctx, "octo", "id"); err != nil || got != one {
		t.Errorf("Get = %+v, %v", got, err)
	}
	if got, err := c.Take(ctx, "octo", "id"); err != nil || got != one {
		t.Errorf("Take = %+v, %v", got, err)
	}
	_, err := c.Take(ctx, "octo", "id")
	is(t, "second Take", err, store.ErrNotFound)
	_, err = c.Get(ctx, "octo", "id")
	is(t, "Get", err, store.ErrNotFound)
	_, err = c.Update(ctx, "octo", "id", func(*record) (time.Duration, error) {
		t.Error("Update calls f without a record")
		return time.Hour, nil
	})
	is(t, "Update", err, store.ErrNotFound)
	if err := c.Create(ctx, "octo", "id", one, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Delete(ctx, "octo", "id"), c.Delete(ctx, "octo", "id")); err != nil {
		t.Errorf("Delete twice: %v", err)
	}
	_, err = c.Get(ctx, "octo", "id")
	is(t, "Get after Delete", err, store.ErrNotFound)
}

func TestKeysAndSeals(t *testing.T) {
	d, ring := openBolt(t), newRing(t)
	for _, c := range []struct{ kind, tenant, id, key string }{
		{"grant", "octo", "a.B_c-9", "grant/octo/a.B_c-9"},
		{"session", "", "id", "session/id"},
	} {
		if err := store.NewCollection[record](d, ring, c.kind).Create(t.Context(), c.tenant, c.id, record{Name: "n"}, time.Hour); err != nil {
			t.Fatal(err)
		}
		sealed, err := d.Get(t.Context(), c.key)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := ring.Open(seal.Purpose{Use: c.kind, Tenant: c.tenant, Record: c.id}, sealed)
		if err != nil || string(plain) != `{"format":1,"Name":"n","Count":0}` {
			t.Errorf("%s holds %s, %v", c.key, plain, err)
		}
	}
}

func TestNamesAreRefusedBeforeTheDriver(t *testing.T) {
	for _, n := range []struct{ kind, tenant, id string }{
		{"grant", "octo", ""},
		{"grant", "octo", "a/b"},
		{"grant", "octo/x", "id"},
		{"grant", "o cto", "id"},
		{"grant", "octo", "id\n"},
		{"grant", "octo", "ïd"},
		{"grant", "", "a:b"},
		{"gr/ant", "octo", "id"},
		{"", "octo", "id"},
	} {
		c := store.NewCollection[record](nil, newRing(t), n.kind) // any use of the driver panics
		_, get := c.Get(t.Context(), n.tenant, n.id)
		_, take := c.Take(t.Context(), n.tenant, n.id)
		_, update := c.Update(t.Context(), n.tenant, n.id, nil)
		for op, err := range map[string]error{
			"Get":    get,
			"Take":   take,
			"Update": update,
			"Create": c.Create(t.Context(), n.tenant, n.id, record{}, time.Hour),
			"Delete": c.Delete(t.Context(), n.tenant, n.id),
		} {
			is(t, fmt.Sprintf("%s of %q", op, n), err, store.ErrName)
		}
	}
}

func TestUpdate(t *testing.T) {
	failed := errors.New("failed")
	for _, c := range []struct {
		name   string
		f      func(v *record) (time.Duration, error)
		want   record
		err    error
		stored record // zero: deleted
		writes int
	}{
		{"change", func(v *record) (time.Duration, error) { v.Count++; return time.Hour, nil }, record{"n", 2}, nil, record{"n", 2}, 1},
		{"keep", func(v *record) (time.Duration, error) { v.Count++; return 0, store.Keep }, record{"n", 1}, nil, record{"n", 1}, 0},
		{"keep, wrapped", func(*record) (time.Duration, error) { return 0, fmt.Errorf("%w", store.Keep) }, record{"n", 1}, nil, record{"n", 1}, 0},
		{"delete", func(v *record) (time.Duration, error) { v.Count++; return 0, store.Delete }, record{"n", 2}, nil, record{}, 1},
		{"error", func(v *record) (time.Duration, error) { v.Count++; return time.Hour, failed }, record{}, failed, record{"n", 1}, 0},
		{"its own conflict", func(*record) (time.Duration, error) { return time.Hour, store.ErrConflict }, record{}, store.ErrConflict, record{"n", 1}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &hooked{Driver: openBolt(t)}
			col := store.NewCollection[record](d, newRing(t), "grant")
			if err := col.Create(t.Context(), "octo", "id", record{"n", 1}, time.Hour); err != nil {
				t.Fatal(err)
			}
			d.writes = 0
			calls := 0
			got, err := col.Update(t.Context(), "octo", "id", func(v *record) (time.Duration, error) { calls++; return c.f(v) })
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("Update = %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
			if calls != 1 || d.writes != c.writes {
				t.Errorf("%d calls of f and %d writes, want 1 and %d", calls, d.writes, c.writes)
			}
			stored, err := col.Get(t.Context(), "octo", "id")
			if stored != c.stored || errors.Is(err, store.ErrNotFound) != (c.stored == record{}) {
				t.Errorf("stored is %+v, %v; want %+v", stored, err, c.stored)
			}
		})
	}
}

// A lost race makes Update read again and decide anew.
func TestUpdateAfterLostRace(t *testing.T) {
	for _, c := range []struct {
		name string
		race func(*store.Collection[record]) error
		want record
		err  error
	}{
		{"to a change", func(c *store.Collection[record]) error {
			_, err := c.Update(t.Context(), "octo", "id", func(v *record) (time.Duration, error) { v.Count = 10; return time.Hour, nil })
			return err
		}, record{"n", 11}, nil},
		{"to a deletion", func(c *store.Collection[record]) error {
			return c.Delete(t.Context(), "octo", "id")
		}, record{}, store.ErrNotFound},
	} {
		for _, by := range []error{nil, store.Delete} {
			t.Run(fmt.Sprint(c.name, " ", by), func(t *testing.T) {
				d, ring := openBolt(t), newRing(t)
				direct := store.NewCollection[record](d, ring, "grant")
				if err := direct.Create(t.Context(), "octo", "id", record{"n", 1}, time.Hour); err != nil {
					t.Fatal(err)
				}
				var once sync.Once
				racing := &hooked{Driver: d, beforeSwap: func() {
					once.Do(func() {
						if err := c.race(direct); err != nil {
							t.Error(err)
						}
					})
				}}
				got, err := store.NewCollection[record](racing, ring, "grant").Update(t.Context(), "octo", "id",
					func(v *record) (time.Duration, error) { v.Count++; return time.Hour, by })
				if got != c.want || !errors.Is(err, c.err) {
					t.Errorf("Update = %+v, %v; want %+v, %v", got, err, c.want, c.err)
				}
			})
		}
	}
}

func TestUpdateGivesUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) { // the pauses cost no time
		inner, err := bolt.Open(t.Context(), bolt.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer inner.Close()
		d := &hooked{Driver: inner}
		c := store.NewCollection[record](d, newRing(t), "grant")
		if err := c.Create(t.Context(), "octo", "id", record{}, time.Hour); err != nil {
			t.Fatal(err)
		}
		d.swapErr = fmt.Errorf("wrapped: %w", store.ErrConflict)
		calls := 0
		add := func(*record) (time.Duration, error) { calls++; return time.Hour, nil }
		before := time.Now()
		_, err = c.Update(t.Context(), "octo", "id", add)
		is(t, "Update", err, store.ErrConflict)
		if calls < 10 || calls > 100 {
			t.Errorf("%d attempts", calls)
		}
		if took := time.Since(before); took <= 0 || took > 2*time.Second {
			t.Errorf("the pauses take %v", took)
		}

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		before = time.Now()
		_, err = c.Update(ctx, "octo", "id", add)
		is(t, "Update", err, context.DeadlineExceeded)
		if took := time.Since(before); took != 10*time.Millisecond {
			t.Errorf("Update ended %v after its context began; want 10ms", took)
		}

		d.swapErr = errors.New("down")
		calls = 0
		_, err = c.Update(t.Context(), "octo", "id", add)
		if !errors.Is(err, d.swapErr) || calls != 1 {
			t.Errorf("Update = %v after %d attempts; want the driver's error after one", err, calls)
		}
	})
}

func TestConcurrentUpdatesAllCount(t *testing.T) {
	c := store.NewCollection[record](openBolt(t), newRing(t), "grant")
	if err := c.Create(t.Context(), "octo", "id", record{}, time.Hour); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				if _, err := c.Update(t.Context(), "octo", "id", func(v *record) (time.Duration, error) {
					v.Count++
					return time.Hour, nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err := c.Get(t.Context(), "octo", "id"); err != nil || got.Count != 80 {
		t.Errorf("Get = %+v, %v; want 80", got, err)
	}
}

func TestUnreadable(t *testing.T) {
	ring := newRing(t)
	for _, c := range []struct {
		name  string
		wrong func(t *testing.T, d store.Driver) []byte // what to put in place of the record
	}{
		{"a changed byte", func(t *testing.T, d store.Driver) []byte {
			b := get(t, d, "grant/octo/id")
			b[len(b)/2] ^= 1
			return b
		}},
		{"a missing byte", func(t *testing.T, d store.Driver) []byte {
			b := get(t, d, "grant/octo/id")
			return b[:len(b)-1]
		}},
		{"nothing", func(*testing.T, store.Driver) []byte { return []byte{} }},
		{"the record of another id", func(t *testing.T, d store.Driver) []byte { return get(t, d, "grant/octo/other") }},
		{"the record of another tenant", func(t *testing.T, d store.Driver) []byte { return get(t, d, "grant/music/id") }},
		{"a record of another kind", func(t *testing.T, d store.Driver) []byte { return get(t, d, "account/octo/id") }},
		{"a record of a lost key", func(t *testing.T, _ store.Driver) []byte {
			return newRing(t).Seal(seal.Purpose{Use: "grant", Tenant: "octo", Record: "id"}, []byte("{}"))
		}},
		{"a record of another shape", func(*testing.T, store.Driver) []byte {
			return ring.Seal(seal.Purpose{Use: "grant", Tenant: "octo", Record: "id"}, []byte(`["list"]`))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := openBolt(t)
			grants := store.NewCollection[record](d, ring, "grant")
			for _, err := range []error{
				grants.Create(t.Context(), "octo", "id", record{}, time.Hour),
				grants.Create(t.Context(), "octo", "other", record{}, time.Hour),
				grants.Create(t.Context(), "music", "id", record{}, time.Hour),
				store.NewCollection[record](d, ring, "account").Create(t.Context(), "octo", "id", record{}, time.Hour),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			wrong := c.wrong(t, d)
			if err := d.Swap(t.Context(), "grant/octo/id", get(t, d, "grant/octo/id"), wrong, time.Hour); err != nil {
				t.Fatal(err)
			}
			_, err := grants.Get(t.Context(), "octo", "id")
			is(t, "Get", err, store.ErrUnreadable)
			_, err = grants.Update(t.Context(), "octo", "id", func(*record) (time.Duration, error) {
				t.Error("Update calls f")
				return time.Hour, nil
			})
			is(t, "Update", err, store.ErrUnreadable)
			is(t, "Create", grants.Create(t.Context(), "octo", "id", record{}, time.Hour), store.ErrConflict)
			_, err = grants.Take(t.Context(), "octo", "id")
			is(t, "Take", err, store.ErrUnreadable)
			_, err = grants.Get(t.Context(), "octo", "id")
			is(t, "Get after Take", err, store.ErrNotFound)
		})
	}
}

func TestKeyRotation(t *testing.T) {
	d := openBolt(t)
	oldKey, newKey := seal.NewKey(), seal.NewKey()
	before, during, after := ringOf(t, oldKey), ringOf(t, newKey, oldKey), ringOf(t, newKey)
	collection := func(r *seal.Keyring) *store.Collection[record] {
		return store.NewCollection[record](d, r, "grant")
	}
	if err := collection(before).Create(t.Context(), "octo", "id", record{"n", 1}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := collection(during).Get(t.Context(), "octo", "id"); err != nil || got.Count != 1 {
		t.Fatalf("sealed with the old key, Get = %+v, %v", got, err)
	}
	_, err := collection(after).Get(t.Context(), "octo", "id")
	is(t, "Get without the old key", err, store.ErrUnreadable)
	if _, err := collection(during).Update(t.Context(), "octo", "id", func(*record) (time.Duration, error) { return time.Hour, nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := collection(after).Get(t.Context(), "octo", "id"); err != nil || got.Count != 1 {
		t.Errorf("after an update, without the old key, Get = %+v, %v", got, err)
	}
}

func TestRecordThatIsNoJSON(t *testing.T) {
	c := store.NewCollection[chan int](openBolt(t), newRing(t), "grant")
	err := c.Create(t.Context(), "octo", "id", nil, time.Hour)
	if err == nil || errors.Is(err, store.ErrUnreadable) {
		t.Errorf("Create = %v; want an encoding error", err)
	}
}

// hooked is a driver with other callers, or trouble, in between.
type hooked struct {
	store.Driver
	beforeSwap func()
	swapErr    error
	writes     int
}

func (h *hooked) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	h.writes++
	if h.beforeSwap != nil {
		h.beforeSwap()
	}
	if h.swapErr != nil {
		return h.swapErr
	}
	return h.Driver.Swap(ctx, key, old, new, ttl)
}

func openBolt(t *testing.T) store.Driver {
	t.Helper()
	d, err := bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newRing(t *testing.T) *seal.Keyring { return ringOf(t, seal.NewKey()) }

func ringOf(t *testing.T, keys ...seal.Key) *seal.Keyring {
	t.Helper()
	ring, err := seal.NewKeyring(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func get(t *testing.T, d store.Driver, key string) []byte {
	t.Helper()
	v, err := d.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// is checks the kind of an error, and that it is of no other kind.
func is(t *testing.T, what string, err, kind error) {
	t.Helper()
	for _, k := range []error{store.ErrNotFound, store.ErrConflict, store.ErrUnreadable, store.ErrName, kind} {
		if errors.Is(err, k) != (k == kind) { //nolint:errorlint // which of the kinds it is, not whether it wraps one
			t.Errorf("%s = %v; want %v", what, err, kind)
			return
		}
	}
}
