package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// copying is for drivers that can read out everything they hold.
var copying = []test{
	{"export reads all records with their ttl", exportReads},
	{"export leaves out what expired", exportLeavesOut},
	{"export stops with the error of f", exportStops},
}

func exporter(t *testing.T, e Engine) (store.Driver, store.Exporter) {
	t.Helper()
	d := e.Open(t)
	x, ok := d.(store.Exporter)
	if !ok {
		t.Skip("the driver is no Exporter")
	}
	return d, x
}

func exportReads(t *testing.T, e Engine) {
	d, x := exporter(t, e)
	const n = 1200 // several pages of either driver
	want := map[string]store.Record{}
	for i := range n {
		r := store.Record{Key: fmt.Sprintf("k/%04d", i), Value: bytes.Repeat([]byte{byte(i), 0, '\n'}, i%50), TTL: long + time.Duration(i)*time.Minute}
		want[r.Key] = r
	}
	began := time.Now()
	keys := slices.Collect(maps.Keys(want))
	each(16, func(worker int) {
		for i := worker; i < n; i += 16 {
			r := want[keys[i]]
			if err := d.Swap(t.Context(), r.Key, nil, r.Value, r.TTL); err != nil {
				t.Error(err)
			}
		}
	})
	got := map[string]store.Record{}
	err := x.Export(t.Context(), func(r store.Record) error {
		got[r.Key] = r
		return nil
	})
	if err != nil || len(got) != n {
		t.Fatalf("Export read %d records of %d: %v", len(got), n, err)
	}
	took := time.Since(began)
	for key, w := range want {
		// A clock that a test holds may stand still; the other has gone on.
		if g := got[key]; !bytes.Equal(g.Value, w.Value) || g.TTL > w.TTL+time.Millisecond || g.TTL < w.TTL-took-time.Millisecond {
			t.Errorf("%s: %d bytes for %v; want %d for %v", key, len(g.Value), g.TTL, len(w.Value), w.TTL)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	is(t, "Export", x.Export(ctx, func(store.Record) error { return nil }), context.Canceled)
}

func exportLeavesOut(t *testing.T, e Engine) {
	d, x := exporter(t, e)
	put(t, d, "stays", nil, []byte("v"))
	putFor(t, d, "goes", nil, []byte("v"), short)
	e.pass(t, short, func() bool { return gone(t, d, "goes") })
	var got []string
	err := x.Export(t.Context(), func(r store.Record) error {
		got = append(got, r.Key)
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"stays"}) {
		t.Errorf("Export read %q, %v", got, err)
	}
}

func exportStops(t *testing.T, e Engine) {
	d, x := exporter(t, e)
	for i := range 20 {
		put(t, d, fmt.Sprint("k", i), nil, []byte("v"))
	}
	enough := errors.New("enough")
	calls := 0
	err := x.Export(t.Context(), func(store.Record) error {
		if calls++; calls == 3 {
			return enough
		}
		return nil
	})
	is(t, "Export", err, enough)
	if calls != 3 {
		t.Errorf("f was called %d times, want 3", calls)
	}
}
