package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

var conformance = []test{
	{"get returns what swap stored", getReturnsWhatSwapStored},
	{"a missing key is not found", missingIsNotFound},
	{"swap compares", swapCompares},
	{"swap compares every byte", swapComparesEveryByte},
	{"swap with nil old creates", nilOldCreates},
	{"swap with nil new deletes", nilNewDeletes},
	{"an empty value is a value", emptyIsAValue},
	{"a ttl that is not positive is refused", ttlMustBePositive},
	{"take returns and deletes", takeReturnsAndDeletes},
	{"keys do not touch each other", keysAreApart},
	{"values are copied", valuesAreCopied},
	{"scan lists the keys with a prefix", scanLists},
	{"scan of many keys", scanMany},
	{"scan takes a prefix literally", scanIsLiteral},
	{"scan stops with the error of f", scanStops},
	{"scan lets f change the store", scanLetsChange},
	{"ping", pings},
	{"a cancelled context changes nothing", cancelled},
}

func getReturnsWhatSwapStored(t *testing.T, e Engine) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	d := e.Open(t)
	for name, value := range map[string][]byte{
		"text":   []byte("value"),
		"binary": all,
		"large":  bytes.Repeat(all, 256), // 64 KiB
	} {
		put(t, d, name, nil, value)
		holds(t, d, name, value)
	}
}

func missingIsNotFound(t *testing.T, e Engine) {
	d := e.Open(t)
	absent(t, d, "missing")
	_, err := d.Take(t.Context(), "missing")
	is(t, "Take", err, store.ErrNotFound)
}

func swapCompares(t *testing.T, e Engine) {
	d := e.Open(t)
	conflict(t, "Swap of a missing key", d.Swap(t.Context(), "k", []byte("old"), []byte("new"), long), nil)
	absent(t, d, "k")
	put(t, d, "k", nil, []byte("one"))
	conflict(t, "Swap of another value", d.Swap(t.Context(), "k", []byte("two"), []byte("three"), long), []byte("one"))
	holds(t, d, "k", []byte("one"))
	put(t, d, "k", []byte("one"), []byte("two"))
	holds(t, d, "k", []byte("two"))
	is(t, "the same Swap again", d.Swap(t.Context(), "k", []byte("one"), []byte("two"), long), store.ErrConflict)
}

func swapComparesEveryByte(t *testing.T, e Engine) {
	d := e.Open(t)
	held := []byte("a\x00b\xffc")
	put(t, d, "k", nil, held)
	for _, old := range []string{"", "a", "a\x00", "a\x00b\xff", "a\x00b\xffd", "a\x00b\xffc\x00", "A\x00b\xffc"} {
		conflict(t, fmt.Sprintf("Swap of %q", old), d.Swap(t.Context(), "k", []byte(old), []byte("x"), long), held)
		conflict(t, fmt.Sprintf("deletion of %q", old), d.Swap(t.Context(), "k", []byte(old), nil, 0), held)
	}
	holds(t, d, "k", held)
}

func nilOldCreates(t *testing.T, e Engine) {
	d := e.Open(t)
	put(t, d, "k", nil, []byte("one"))
	conflict(t, "second creation", d.Swap(t.Context(), "k", nil, []byte("two"), long), []byte("one"))
	// Also with the same value: a guard against replays must not let the
	// second one through because both look alike.
	is(t, "second creation of the same", d.Swap(t.Context(), "k", nil, []byte("one"), long), store.ErrConflict)
	holds(t, d, "k", []byte("one"))
}

func nilNewDeletes(t *testing.T, e Engine) {
	d := e.Open(t)
	put(t, d, "k", nil, []byte("one"))
	is(t, "deletion of another value", d.Swap(t.Context(), "k", []byte("two"), nil, 0), store.ErrConflict)
	holds(t, d, "k", []byte("one"))
	put(t, d, "k", []byte("one"), nil)
	absent(t, d, "k")
	conflict(t, "second deletion", d.Swap(t.Context(), "k", []byte("one"), nil, 0), nil)
	put(t, d, "k", nil, []byte("again"))
	is(t, "nil to nil of a key in use", d.Swap(t.Context(), "k", nil, nil, 0), store.ErrConflict)
	holds(t, d, "k", []byte("again"))
	put(t, d, "free", nil, nil)
	absent(t, d, "free")
}

func emptyIsAValue(t *testing.T, e Engine) {
	d := e.Open(t)
	is(t, "Swap of a missing key", d.Swap(t.Context(), "k", []byte{}, []byte("x"), long), store.ErrConflict)
	put(t, d, "k", nil, []byte{})
	holds(t, d, "k", []byte{})
	conflict(t, "creation", d.Swap(t.Context(), "k", nil, []byte("x"), long), []byte{})
	put(t, d, "k", []byte{}, []byte("x"))
	put(t, d, "k", []byte("x"), []byte{})
	got, err := d.Take(t.Context(), "k")
	if err != nil || got == nil || len(got) != 0 {
		t.Fatalf("Take = %#v, %v; want an empty value", got, err)
	}
}

func ttlMustBePositive(t *testing.T, e Engine) {
	d := e.Open(t)
	for _, ttl := range []time.Duration{0, -1, -time.Hour} {
		err := d.Swap(t.Context(), "k", nil, []byte("v"), ttl)
		if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Swap with ttl %v: %v; want an error that is neither conflict nor not found", ttl, err)
		}
		absent(t, d, "k")
	}
	put(t, d, "k", nil, []byte("v"))
	if err := d.Swap(t.Context(), "k", []byte("v"), nil, -1); err != nil {
		t.Errorf("deletion with a ttl, which does not count: %v", err)
	}
}

func takeReturnsAndDeletes(t *testing.T, e Engine) {
	d := e.Open(t)
	put(t, d, "k", nil, []byte("v"))
	got, err := d.Take(t.Context(), "k")
	if err != nil || string(got) != "v" {
		t.Fatalf("Take = %q, %v", got, err)
	}
	absent(t, d, "k")
	_, err = d.Take(t.Context(), "k")
	is(t, "second Take", err, store.ErrNotFound)
	put(t, d, "k", nil, []byte("v"))
}

func keysAreApart(t *testing.T, e Engine) {
	d := e.Open(t)
	keys := []string{"a", "a/b", "a/b/c", "A", "a{b}c", "~!@#$%^&*()_+|\\[]?", strings.Repeat("k", 1024)}
	for _, k := range keys {
		put(t, d, k, nil, []byte("value of "+k))
	}
	for i, k := range keys {
		holds(t, d, k, []byte("value of "+k))
		put(t, d, k, []byte("value of "+k), nil)
		for _, later := range keys[i+1:] {
			holds(t, d, later, []byte("value of "+later))
		}
	}
}

func valuesAreCopied(t *testing.T, e Engine) {
	d := e.Open(t)
	want := bytes.Repeat([]byte("v"), 64<<10) // too large to share a page with others
	given := bytes.Clone(want)
	put(t, d, "k", nil, given)
	given[0] = 'X'
	holds(t, d, "k", want)
	got, err := d.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	got[0] = 'X'
	holds(t, d, "k", want)
}

func scanLists(t *testing.T, e Engine) {
	d := e.Open(t)
	for _, k := range []string{"grant/a/1", "grant/a/2", "grant/ab/1", "grant/a", "session/1"} {
		put(t, d, k, nil, []byte("v"))
	}
	put(t, d, "grant/a/gone", nil, []byte("v"))
	put(t, d, "grant/a/gone", []byte("v"), nil)
	for prefix, want := range map[string][]string{
		"grant/a/": {"grant/a/1", "grant/a/2"},
		"grant/a":  {"grant/a", "grant/a/1", "grant/a/2", "grant/ab/1"},
		"session/": {"session/1"},
		"nothing":  nil,
		"":         {"grant/a", "grant/a/1", "grant/a/2", "grant/ab/1", "session/1"},
	} {
		if got := scan(t, d, prefix); !slices.Equal(got, want) {
			t.Errorf("Scan(%q) = %q, want %q", prefix, got, want)
		}
	}
}

func scanMany(t *testing.T, e Engine) {
	d := e.Open(t)
	const n = 700 // several pages of either driver
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("many/%04d", i))
	}
	each(16, func(worker int) {
		for i := worker; i < n; i += 16 {
			put(t, d, want[i], nil, []byte("v"))
		}
	})
	if got := scan(t, d, "many/"); !slices.Equal(got, want) {
		t.Errorf("Scan found %d keys, want %d", len(got), n)
	}
}

func scanIsLiteral(t *testing.T, e Engine) {
	d := e.Open(t)
	for _, k := range []string{"a*c", "abc", "a?c", "a[b]c", `a\c`, "ab", "a^c"} {
		put(t, d, k, nil, []byte("v"))
	}
	for _, prefix := range []string{"a*", "a?", "a[b]", `a\`, "a^", "*", "?", "[a-z]"} {
		var want []string
		if len(prefix) > 1 && prefix != "[a-z]" {
			want = []string{prefix + "c"}
		}
		if got := scan(t, d, prefix); !slices.Equal(got, want) {
			t.Errorf("Scan(%q) = %q, want %q", prefix, got, want)
		}
	}
}

func scanStops(t *testing.T, e Engine) {
	d := e.Open(t)
	for i := range 20 {
		put(t, d, fmt.Sprint("k", i), nil, []byte("v"))
	}
	enough := errors.New("enough")
	calls := 0
	err := d.Scan(t.Context(), "k", func(string) error {
		if calls++; calls == 3 {
			return enough
		}
		return nil
	})
	is(t, "Scan", err, enough)
	if calls != 3 {
		t.Errorf("f was called %d times, want 3", calls)
	}
}

func scanLetsChange(t *testing.T, e Engine) {
	d := e.Open(t)
	for i := range 20 {
		put(t, d, fmt.Sprint("k", i), nil, []byte("v"))
	}
	large := bytes.Repeat([]byte("v"), 64<<10) // so that a file has to grow meanwhile
	err := d.Scan(t.Context(), "k", func(key string) error {
		put(t, d, "moved/"+key, nil, large)
		_, err := d.Take(t.Context(), key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if left := scan(t, d, "k"); left != nil {
		t.Errorf("left after moving each: %q", left)
	}
}

func pings(t *testing.T, e Engine) {
	if err := e.Open(t).Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func cancelled(t *testing.T, e Engine) {
	d := e.Open(t)
	put(t, d, "k", nil, []byte("v"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Get(ctx, "k")
	is(t, "Get", err, context.Canceled)
	is(t, "Swap", d.Swap(ctx, "k", []byte("v"), []byte("w"), long), context.Canceled)
	_, err = d.Take(ctx, "k")
	is(t, "Take", err, context.Canceled)
	is(t, "Scan", d.Scan(ctx, "", func(string) error { return nil }), context.Canceled)
	is(t, "Ping", d.Ping(ctx), context.Canceled)
	holds(t, d, "k", []byte("v"))
}

// put swaps and fails the test if that fails.
func put(t *testing.T, d store.Driver, key string, old, new []byte) {
	t.Helper()
	if err := d.Swap(t.Context(), key, old, new, long); err != nil {
		t.Errorf("Swap(%q): %v", key, err)
	}
}

func holds(t *testing.T, d store.Driver, key string, want []byte) {
	t.Helper()
	got, err := d.Get(t.Context(), key)
	if err != nil || got == nil || !bytes.Equal(got, want) {
		t.Errorf("Get(%.64q) = %.64q, %v; want %.64q", key, got, err, want)
	}
}

func absent(t *testing.T, d store.Driver, key string) {
	t.Helper()
	got, err := d.Get(t.Context(), key)
	if !errors.Is(err, store.ErrNotFound) || got != nil {
		t.Errorf("Get(%q) = %q, %v; want not found", key, got, err)
	}
}

// conflict checks that a swap lost, and that it says what the key holds, if it
// says so at all.
func conflict(t *testing.T, what string, err error, held []byte) {
	t.Helper()
	is(t, what, err, store.ErrConflict)
	if c, ok := errors.AsType[*store.Conflict](err); ok && ((c.Held == nil) != (held == nil) || !bytes.Equal(c.Held, held)) {
		t.Errorf("%s: it says that the key holds %#v; want %#v", what, c.Held, held)
	}
}

// is checks the kind of an error, and that it is of no other kind.
func is(t *testing.T, what string, err, kind error) {
	t.Helper()
	for _, k := range []error{store.ErrNotFound, store.ErrConflict, context.Canceled, kind} {
		if errors.Is(err, k) != (k == kind) { //nolint:errorlint // which of the kinds it is, not whether it wraps one
			t.Errorf("%s: %v; want %v", what, err, kind)
			return
		}
	}
}

// scan returns the keys that Scan lists, sorted, each once.
func scan(t *testing.T, d store.Driver, prefix string) []string {
	t.Helper()
	found := map[string]bool{}
	err := d.Scan(t.Context(), prefix, func(key string) error {
		found[key] = true
		return nil
	})
	if err != nil {
		t.Errorf("Scan(%q): %v", prefix, err)
	}
	return slices.Sorted(maps.Keys(found))
}
