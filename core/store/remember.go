package store

import (
	"context"
	"errors"
	"time"
)

// announceTime bounds one announcement: whoever deletes waits for it.
const announceTime = 2 * time.Second

// Remember makes the collection keep what it reads and writes for ttl, a few
// thousand records at most, and what it found not to be there. Get, Read and
// the first attempt of an Update then ask the driver only for what is not kept.
// What this process changes, and what is announced to it, is never seen as it
// was before; anything else may be ttl late. With ttl 0 nothing is kept, but
// deletions are announced all the same.
//
// It is called before the collection is used.
func (c *Collection[T]) Remember(ttl time.Duration, now func() time.Time) *Collection[T] {
	if ttl > 0 {
		c.cache = newCache[T](ttl, now)
	}
	c.others, _ = c.driver.(Announcer)
	return c
}

// Attach keeps derived under a name for as long as v is kept, if it is. A name
// that nobody can make up, such as the hash of a token, finds it again without
// the key and without deriving it anew.
func (c *Collection[T]) Attach(v *Version[T], name Name, derived any) {
	c.cache.attach(v, name, derived)
}

// Attached returns what Attach keeps under a name, or nil.
func (c *Collection[T]) Attached(name Name) any { return c.cache.find(name) }

// Forget forgets the record that an announcement names, and everything if it
// names none. It is for Follow.
func (c *Collection[T]) Forget(key string) {
	c.cache.drop(key)
	c.changed(key)
}

// Watch has f called, in the goroutine that makes the change, with the key of
// each record that may have been deleted by this process, and with what Forget is
// called with. It is called before the collection is used.
func (c *Collection[T]) Watch(f func(key string)) { c.watch = f }

func (c *Collection[T]) changed(key string) {
	if c.watch != nil {
		c.watch(key)
	}
}

// Announce tells other processes that a record is no longer what they may
// remember. Deletions are announced without it.
func (c *Collection[T]) Announce(ctx context.Context, tenant, id string) {
	if at, err := c.place(tenant, id); err == nil {
		c.announce(ctx, at.key)
	}
}

// announce fails nobody: without it the others notice a little later. A caller
// that gives up does not stop it.
func (c *Collection[T]) announce(ctx context.Context, key string) {
	if c.others == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTime)
	defer cancel()
	_ = c.others.Announce(ctx, key)
}

// swapped is what swap asks of the driver.
type swapped[T any] struct {
	old, new []byte
	value    T // what new holds
	ttl      time.Duration
}

// swap is the driver's, and the cache and other processes learn what came of
// it. An error leaves open whether it took place.
func (c *Collection[T]) swap(ctx context.Context, key string, began ticket, made swapped[T]) error {
	err := c.driver.Swap(ctx, key, made.old, made.new, made.ttl)
	if err == nil && made.new != nil {
		c.cache.wrote(key, began, made.value, made.new)
		return nil
	}
	c.cache.drop(key)
	if made.new == nil && !errors.Is(err, ErrConflict) {
		c.changed(key)
		c.announce(ctx, key)
	}
	return err
}

// take is the driver's, with the same duties as swap.
func (c *Collection[T]) take(ctx context.Context, key string) ([]byte, error) {
	sealed, err := c.driver.Take(ctx, key)
	c.cache.drop(key)
	if !errors.Is(err, ErrNotFound) {
		c.changed(key)
		c.announce(ctx, key)
	}
	return sealed, err
}
