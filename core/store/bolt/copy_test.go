package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/core/store"
)

// A backup made while the store is written to is the store as it was at one
// moment: what was acknowledged before is in it, and of each writer's keys, which
// it makes one after the other, there is none without those before it.
func TestBackupUnderLoad(t *testing.T) {
	const writers = 4
	d := mustOpen(t, newPath(t), newClock())
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	var acknowledged [writers]atomic.Int64
	for w := range writers {
		done.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := d.Swap(t.Context(), fmt.Sprint(w, "/", n), nil, make([]byte, 1000), time.Hour); err != nil {
					t.Error(err)
				}
				acknowledged[w].Store(int64(n + 1))
			}
		})
	}
	for range 4 {
		var before [writers]int64
		enough := false
		for start := before; !enough; time.Sleep(time.Millisecond) {
			enough = true
			for w := range writers {
				before[w] = acknowledged[w].Load()
				enough = enough && before[w] > start[w]+20
			}
		}
		path := backUp(t, d)
		if n, err := Verify(t.Context(), path); err != nil || n == 0 {
			t.Fatalf("Verify = %d, %v", n, err)
		}
		copied := mustOpen(t, path, newClock())
		for w := range writers {
			n := int64(0)
			for ; has(t, copied, fmt.Sprint(w, "/", n)); n++ {
			}
			if n < before[w] || has(t, copied, fmt.Sprint(w, "/", n+1)) {
				t.Errorf("the first %d keys of writer %d are there, and key %d: %v; %d were acknowledged before", n, w, n+1, has(t, copied, fmt.Sprint(w, "/", n+1)), before[w])
			}
		}
	}
	stop()
	done.Wait()
}

func has(t *testing.T, d *Driver, key string) bool {
	t.Helper()
	_, err := d.Get(t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func backUp(t *testing.T, d *Driver) (path string) {
	t.Helper()
	path = newPath(t)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Backup(t.Context(), f), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// A backup that takes its time holds up no writer, though the file grows.
func TestSlowBackupHoldsNobodyUp(t *testing.T) {
	d := mustOpen(t, newPath(t), newClock())
	swap(t, d, "k", nil, "v", time.Hour)
	started, goOn := make(chan struct{}), make(chan struct{})
	finished := make(chan error)
	go func() { finished <- d.Backup(t.Context(), &gate{started: started, goOn: goOn}) }()
	<-started
	for n := range 10 { // beyond the 16 MiB that the file has from its first write
		swap(t, d, fmt.Sprint("large", n), nil, string(make([]byte, 2<<20)), time.Hour)
	}
	close(goOn)
	if err := <-finished; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Backup(ctx, &gate{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Backup = %v", err)
	}
}

// gate is a writer that waits at its first write.
type gate struct{ started, goOn chan struct{} }

func (g *gate) Write(p []byte) (int, error) {
	if g.started != nil {
		close(g.started)
		<-g.goOn
		g.started = nil
	}
	return len(p), nil
}

func TestVerifyFindsDamage(t *testing.T) {
	d := mustOpen(t, newPath(t), newClock())
	for n := range 200 {
		swap(t, d, fmt.Sprint("k", n), nil, string(make([]byte, 500)), time.Hour)
	}
	if n, err := Verify(t.Context(), backUp(t, d)); n != 200 || err != nil {
		t.Fatalf("Verify = %d, %v", n, err)
	}
	damage := func(name string, do func(f *os.File) error) {
		path := backUp(t, d)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(do(f), f.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(t.Context(), path); err == nil {
			t.Errorf("%s: not found", name)
		}
	}
	damage("an end that is missing", func(f *os.File) error { return f.Truncate(40_000) })
	damage("nothing", func(f *os.File) error { return f.Truncate(0) })
	empty := newPath(t)
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), empty); err == nil || !strings.Contains(err.Error(), "is empty; name a backup that sallyport wrote") {
		t.Errorf("an empty file: %v", err)
	}
	damage("no beginning", func(f *os.File) error { _, err := f.WriteAt(make([]byte, 8192), 0); return err })
	other := mustOpen(t, newPath(t), newClock())
	swap(t, other, "k", nil, "v", time.Hour)
	if err := other.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(expiry).Put([]byte("12345678k"), nil) }); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), backUp(t, other)); err == nil {
		t.Error("an entry in the index without a record: not found")
	}
}
