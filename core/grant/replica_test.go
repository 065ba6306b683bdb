package grant

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/redis"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// On a real Redis: what one process ends, another one that remembers it hears
// of. Its clock stands still, so it cannot have asked again by itself.
func TestRevocationReachesAnotherProcessThroughRedis(t *testing.T) {
	t.Parallel()
	url := "redis://" + storetest.StartRedis(t).Addr
	open := func(h harness) (*harness, store.Driver) {
		d, err := redis.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		h.Store = NewStore(d, h.keys, h.clock.now).Remember(cacheTTL)
		return &h, d
	}
	a, _ := open(*newHarness(t))
	deaf, _ := open(*a)
	listening, d := open(*a)
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { store.Follow(ctx, d, func(err error) { t.Errorf("following: %v", err) }, listening.Forget) })
	defer done.Wait()
	defer stop()

	// A grant after the other, until one is heard of: the first may end before
	// anybody listens.
	var tokens *Tokens
	for deadline := time.Now().Add(time.Minute); ; {
		tokens = a.login(t)
		deaf.mustVerify(t, tokens.Access)
		listening.mustVerify(t, tokens.Access)
		if _, err := a.Revoke(t.Context(), a.t, tokens.Access, clientID); err != nil {
			t.Fatal(err)
		}
		if heard := poll(func() bool { _, err := listening.Verify(t.Context(), a.t, tokens.Access); return ReasonOf(err) == Gone }); heard {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the process that listens heard nothing")
		}
	}
	if _, err := deaf.Verify(t.Context(), a.t, tokens.Access); err != nil {
		t.Errorf("the process that does not listen asked the store: %v", err)
	}
	a.clock.advance(cacheTTL)
	if _, err := deaf.Verify(t.Context(), a.t, tokens.Access); ReasonOf(err) != Gone {
		t.Errorf("the process that does not listen, after its time to remember: %v", err)
	}
}

// poll asks for a second at most.
func poll(yes func() bool) bool {
	for range 100 {
		if yes() {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}
