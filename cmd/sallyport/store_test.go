package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/store/redis"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// A migration that breaks off is run again and completes, in either direction,
// and every record keeps its value and the time it has left.
func TestMigrationIsRunAgain(t *testing.T) {
	t.Parallel()
	url := "redis://" + storetest.StartRedis(t).Addr
	file := openBolt(t)
	const n = 500
	for i := range n {
		value := bytes.Repeat([]byte{byte(i), 0}, i)
		if err := file.Swap(t.Context(), fmt.Sprint("k", i), nil, value, time.Hour+time.Duration(i)*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	server, err := redis.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	back := openBolt(t)

	for _, way := range []struct {
		from store.Exporter
		to   store.Driver
	}{{file, server}, {server, back}} {
		broken := &failing{Driver: way.to}
		broken.left.Store(100)
		m := migration{now: time.Now, p: newProgress(io.Discard, time.Now)}
		if _, err := m.run(t.Context(), way.from, broken); !errors.Is(err, errBroken) || !errors.Is(err, errInterrupted) {
			t.Fatalf("a target that breaks: %v", err)
		}
		if _, err := m.run(t.Context(), way.from, way.to); !errors.Is(err, errNotEmpty) {
			t.Fatalf("a target with records: %v", err)
		}
		m.merge = true
		done, err := m.run(t.Context(), way.from, way.to)
		if err != nil || done.Copied >= n || done.Copied == 0 || done.Verified != n {
			t.Errorf("again: %+v, %v", done, err)
		}
	}
	want, got := export(t, file), export(t, back)
	for key, w := range want {
		if g := got[key]; !bytes.Equal(g.Value, w.Value) || (g.TTL-w.TTL).Abs() > time.Minute {
			t.Errorf("%s: %d bytes for %v; want %d for %v", key, len(g.Value), g.TTL, len(w.Value), w.TTL)
		}
	}
	if len(got) != n {
		t.Errorf("%d records arrived", len(got))
	}
}

// What a target lost or changed is found when it is read back.
func TestMigrationReadsBack(t *testing.T) {
	t.Parallel()
	from := openBolt(t)
	if err := from.Swap(t.Context(), "k", nil, []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for name, swap := range map[string]func(store.Driver, []byte) error{
		"lost":    func(store.Driver, []byte) error { return nil },
		"changed": func(d store.Driver, _ []byte) error { return d.Swap(t.Context(), "k", nil, []byte("w"), time.Hour) },
	} {
		to := &lying{Driver: openBolt(t), swap: swap}
		if done, err := (&migration{now: time.Now, p: newProgress(io.Discard, time.Now)}).run(t.Context(), from, to); err == nil {
			t.Errorf("%s: %+v", name, done)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	now := func() time.Time { return at }
	for _, c := range []struct {
		terminal bool
		want     string
	}{
		{false, "200 done\n"},
		{true, "\r1 done\x1b[K\r100 done\x1b[K\r200 done\x1b[K\r\x1b[K"},
	} {
		var out strings.Builder
		at = time.Unix(0, 0)
		p := &progress{w: &out, terminal: c.terminal, now: now, last: at}
		for n := range 201 {
			if n == 1 || n == 100 || n == 200 {
				at = at.Add(4 * time.Second)
			}
			p.say("%d done", n)
		}
		p.end()
		if out.String() != c.want {
			t.Errorf("terminal %v: %q, want %q", c.terminal, out.String(), c.want)
		}
	}
}

func openBolt(t *testing.T) *bolt.Driver {
	t.Helper()
	d, err := bolt.Open(t.Context(), bolt.Config{Path: filepath.Join(t.TempDir(), "state.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func export(t *testing.T, x store.Exporter) map[string]store.Record {
	t.Helper()
	all := map[string]store.Record{}
	if err := x.Export(t.Context(), func(r store.Record) error { all[r.Key] = r; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

var errBroken = errors.New("broken")

// failing is a driver that takes some writes and then none.
type failing struct {
	store.Driver
	left atomic.Int64
}

func (f *failing) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	if f.left.Add(-1) < 0 {
		return errBroken
	}
	return f.Driver.Swap(ctx, key, old, new, ttl)
}

// lying is a driver that says it wrote.
type lying struct {
	store.Driver
	swap func(store.Driver, []byte) error
}

func (l *lying) Swap(_ context.Context, _ string, _, new []byte, _ time.Duration) error {
	return l.swap(l.Driver, new)
}
