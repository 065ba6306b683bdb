package replica

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/seal"
)

func TestReplicasWithOtherKeysAreNoticed(t *testing.T) {
	t.Parallel()
	ring := func(keys ...seal.Key) *seal.Keyring {
		r, err := seal.NewKeyring(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	k1, k2 := seal.NewKey(), seal.NewKey()
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	driver := &memory.Driver{Now: clock}
	var log strings.Builder
	watch := func(name string, keys *seal.Keyring) *Watch {
		return &Watch{Name: name, Store: driver, Keys: keys, Now: clock, Log: hclog.New(&hclog.LoggerOptions{Output: &log})}
	}
	look := func(w *Watch, want ...string) {
		t.Helper()
		if got, err := w.Strangers(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", w.Name, got, err, want)
		}
	}
	look(watch("old", ring(k1)))
	look(watch("ready", ring(k1, k2))) // the new key in the second place
	look(watch("old", ring(k1)))
	look(watch("new", ring(k2, k1))) // seals with it
	look(watch("ready", ring(k1, k2)))
	look(watch("old", ring(k1)), "new") // one key too few
	look(watch("dropped", ring(k2)), "old", "ready")

	now = now.Add(live + time.Second)
	look(watch("new", ring(k2, k1))) // the others ended
	look(watch("dropped", ring(k2)))

	w := watch("old", ring(k1))
	w.look(t.Context())
	w.look(t.Context())
	if n := strings.Count(log.String(), "[ERROR]"); n != 2 || !strings.Contains(log.String(), "replica=new") || !strings.Contains(log.String(), "replica=dropped") {
		t.Errorf("%d errors:\n%s", n, log.String())
	}
}

// TestStoreThatLostDataIsNoticed: an emptied store answers as if nothing had
// happened, and users are logged out without an error anywhere.
func TestStoreThatLostDataIsNoticed(t *testing.T) {
	t.Parallel()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	driver := &memory.Driver{Now: clock}
	var log strings.Builder
	w := &Watch{Name: "a", Store: driver, Keys: keys, Now: clock, Log: hclog.New(&hclog.LoggerOptions{Output: &log})}
	look := func(pass time.Duration, want int) {
		t.Helper()
		now = now.Add(pass)
		w.look(t.Context())
		if n := strings.Count(log.String(), "is gone: the store was emptied"); n != want {
			t.Errorf("%d lines, want %d:\n%s", n, want, log.String())
		}
	}
	look(0, 0)
	look(every, 0)
	old, err := driver.Get(t.Context(), Key)
	if err == nil {
		err = driver.Swap(t.Context(), Key, old, nil, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	look(every, 1)
	look(every, 1)
	look(lifetime+time.Second, 1) // it ended by itself, while the machine slept
}
