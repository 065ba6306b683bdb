package resource

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/core/oauth"
)

// key is the hash of an access token, which itself is kept by nobody but the
// requests that brought it.
type key [sha256.Size]byte

func keyOf(token string) key { return sha256.Sum256([]byte(token)) }

// cache keeps the newest cacheSize/2 to cacheSize values, each for a while.
// There are two generations: when the young one is full it becomes the old one,
// and what was the old one is forgotten.
type cache[V any] struct {
	flight singleflight.Group

	mu         sync.Mutex
	young, old map[key]kept[V]
}

type kept[V any] struct {
	value V
	until time.Time
}

func newCache[V any]() *cache[V] { return &cache[V]{young: map[key]kept[V]{}} }

func (c *cache[V]) get(k key, now time.Time) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.young[k]
	if !ok {
		if e, ok = c.old[k]; ok {
			c.add(k, e) // it is in use
		}
	}
	return e.value, ok && now.Before(e.until)
}

func (c *cache[V]) put(k key, value V, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(k, kept[V]{value, until})
}

func (c *cache[V]) add(k key, e kept[V]) {
	if len(c.young) >= cacheSize/2 {
		c.old, c.young = c.young, make(map[key]kept[V], cacheSize/2)
	}
	c.young[k] = e
}

func (c *cache[V]) drop(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, k)
	delete(c.old, k)
}

// load returns the value of k, and has it asked for once for all who want it at
// the same time. ask puts it in, for as long as it knows. A caller that gives
// up does not take the answer from the others.
func (c *cache[V]) load(ctx context.Context, k key, now func() time.Time, ask func(context.Context) (V, error)) (V, error) {
	if v, ok := c.get(k, now()); ok {
		return v, nil
	}
	done := c.flight.DoChan(string(k[:]), func() (any, error) {
		if v, ok := c.get(k, now()); ok { // left by the flight before
			return v, nil
		}
		return ask(context.WithoutCancel(ctx))
	})
	var none V
	select {
	case <-ctx.Done():
		return none, oauth.Unavailable(ctx.Err())
	case r := <-done:
		if r.Err != nil {
			return none, r.Err
		}
		return r.Val.(V), nil
	}
}
