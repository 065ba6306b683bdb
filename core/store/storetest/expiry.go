package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

var expiry = []test{
	{"a value expires after its ttl", valueExpires},
	{"an expired value is in nobody's way", expiredIsAbsent},
	{"each swap sets the ttl anew", swapSetsTTL},
	{"a ttl below a millisecond counts", tinyTTL},
}

func valueExpires(t *testing.T, e Engine) {
	d := e.Open(t)
	put(t, d, "stays", nil, []byte("v"))
	putFor(t, d, "goes", nil, []byte("v"), short)
	rest := short
	if e.Advance != nil { // elsewhere the machine may have stalled for as long
		rest = time.Millisecond
		e.Advance(short - rest)
		holds(t, d, "goes", []byte("v"))
	}
	e.pass(t, rest, func() bool { return gone(t, d, "goes") })
	_, err := d.Take(t.Context(), "goes")
	is(t, "Take", err, store.ErrNotFound)
	if got := scan(t, d, ""); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("Scan = %q; want the live key", got)
	}
	holds(t, d, "stays", []byte("v"))
}

func expiredIsAbsent(t *testing.T, e Engine) {
	d := e.Open(t)
	for _, k := range []string{"replaced", "deleted", "created"} {
		putFor(t, d, k, nil, []byte("v"), short)
	}
	e.pass(t, short, func() bool {
		return gone(t, d, "replaced") && gone(t, d, "deleted") && gone(t, d, "created")
	})
	conflict(t, "Swap", d.Swap(t.Context(), "replaced", []byte("v"), []byte("w"), long), nil)
	is(t, "deletion", d.Swap(t.Context(), "deleted", []byte("v"), nil, 0), store.ErrConflict)
	put(t, d, "created", nil, []byte("w"))
	holds(t, d, "created", []byte("w"))
}

func swapSetsTTL(t *testing.T, e Engine) {
	d := e.Open(t)
	putFor(t, d, "lengthened", nil, []byte("v"), 10*time.Minute)
	putFor(t, d, "lengthened", []byte("v"), []byte("w"), long)
	putFor(t, d, "shortened", nil, []byte("v"), long)
	putFor(t, d, "shortened", []byte("v"), []byte("w"), short)
	put(t, d, "again", nil, []byte("v"))
	put(t, d, "again", []byte("v"), nil)
	putFor(t, d, "again", nil, []byte("v"), short)
	e.pass(t, short, func() bool { return gone(t, d, "shortened") && gone(t, d, "again") })
	if e.Advance != nil {
		e.Advance(30 * time.Minute)
	}
	holds(t, d, "lengthened", []byte("w"))
}

func tinyTTL(t *testing.T, e Engine) {
	d := e.Open(t)
	putFor(t, d, "k", nil, []byte("v"), 1)
	e.pass(t, 2*time.Millisecond, func() bool { return gone(t, d, "k") })
}

func putFor(t *testing.T, d store.Driver, key string, old, new []byte, ttl time.Duration) {
	t.Helper()
	if err := d.Swap(t.Context(), key, old, new, ttl); err != nil {
		t.Fatalf("Swap(%q): %v", key, err)
	}
}

func gone(t *testing.T, d store.Driver, key string) bool {
	t.Helper()
	_, err := d.Get(t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return err != nil
}
