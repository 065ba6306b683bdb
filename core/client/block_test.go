package client

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// A client that counts is looked up once in a while, and a block counts at once
// all the same, wherever it comes from.
func TestBlockCountsAtOnceWhereItIsRememberedThatThereIsNone(t *testing.T) {
	t.Parallel()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	fetcher := fetch.New(fetch.Config{})
	t.Cleanup(fetcher.Close)
	driver := &memory.Announcing{Driver: &memory.Driver{}}
	process := func(ttl time.Duration) *Registry {
		return NewRegistry(Config{Keys: keys, Store: driver, Fetch: fetcher, CacheTTL: ttl})
	}
	here, there, command := process(time.Hour), process(time.Hour), process(0)
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { store.Follow(ctx, driver, func(err error) { t.Error(err) }, here.Forget) })
	defer done.Wait()
	defer stop()
	for driver.Listeners() == 0 {
		runtime.Gosched()
	}
	music := &tenant.Tenant{Name: "music", Clients: []tenant.Client{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	for id, blocker := range map[string]*Registry{"a": here, "b": there, "c": command} {
		asked := 0
		driver.Fail(func(string, string) error { asked++; return nil })
		for range 3 {
			if _, err := here.Find(ctx, music, id); err != nil {
				t.Fatal(err)
			}
		}
		driver.Fail(nil)
		if asked != 1 {
			t.Errorf("%s was looked up %d times, want once", id, asked)
		}
		if err := blocker.Block(ctx, music, id, time.Hour); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Find(ctx, music, id); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s after it was blocked: %v", id, err)
		}
	}
}
