package store

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

const (
	maxVersions = 8192     // that a cache holds
	maxSealed   = 16 << 10 // bytes of a version that is held; a larger one is a renewal's journal and changes at once
	maxNames    = 8        // of a version; beyond that the oldest goes
	stripes     = 256
)

// Version is a record as it was read or written. It is shared: nobody changes
// anything in it.
type Version[T any] struct {
	Value T

	key    string
	sealed []byte // exactly as the driver holds it
	until  time.Time
	names  []Name // under which something was attached
	place  *list.Element
}

// Name is a second name of a version, such as the hash of a token.
type Name [32]byte

// cache holds versions for ttl after they were read or written. A nil cache
// holds nothing.
//
// What is read from it may be ttl old. Only changes that this process makes,
// and those that are announced to it, are seen at once: each goes through drop
// or wrote, which also keep a read that was under way meanwhile from putting
// the version of before back.
type cache[T any] struct {
	ttl  time.Duration
	now  func() time.Time
	seed maphash.Seed

	mu      sync.RWMutex
	byKey   map[string]*Version[T]
	byName  map[Name]attached[T]
	byAge   list.List       // of *Version[T], oldest first
	changes [stripes]uint64 // to keys that hash there
	timer   *time.Timer     // while something is held
}

type attached[T any] struct {
	to      *Version[T]
	derived any
}

// ticket is when a read or a change began.
type ticket struct {
	changes uint64
	at      time.Time
}

func newCache[T any](ttl time.Duration, now func() time.Time) *cache[T] {
	return &cache[T]{ttl: ttl, now: now, seed: maphash.MakeSeed(), byKey: map[string]*Version[T]{}, byName: map[Name]attached[T]{}}
}

// get returns the version held for key, or nil.
func (c *cache[T]) get(key string) *Version[T] {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if v := c.byKey[key]; v != nil && c.now().Before(v.until) {
		return v
	}
	return nil
}

// begin is called before a driver is asked about key.
func (c *cache[T]) begin(key string) ticket {
	if c == nil {
		return ticket{}
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return ticket{c.changes[c.stripe(key)], c.now()}
}

// read holds what a driver answered, unless the key changed since begin: then
// it may be what was there before.
func (c *cache[T]) read(key string, t ticket, v T, sealed []byte) *Version[T] {
	made := &Version[T]{Value: v, key: key, sealed: sealed}
	if c == nil {
		return made
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes[c.stripe(key)] == t.changes {
		c.hold(made, t)
	}
	return made
}

// wrote holds what a driver has stored. If anything else changed since begin
// the order of the two is not known, and nothing is held.
func (c *cache[T]) wrote(key string, t ticket, v T, sealed []byte) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &c.changes[c.stripe(key)]
	alone := *n == t.changes
	*n++
	c.remove(c.byKey[key])
	if alone {
		c.hold(&Version[T]{Value: v, key: key, sealed: sealed}, t)
	}
}

// drop forgets a key that has changed, or may have, and everything if key is
// empty.
func (c *cache[T]) drop(key string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if key != "" {
		c.changes[c.stripe(key)]++
		c.remove(c.byKey[key])
		return
	}
	for i := range c.changes {
		c.changes[i]++
	}
	for c.byAge.Len() > 0 {
		c.remove(c.oldest())
	}
}

// attach keeps derived with v for as long as v is held.
func (c *cache[T]) attach(v *Version[T], name Name, derived any) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[v.key] != v {
		return
	}
	if _, again := c.byName[name]; !again {
		if len(v.names) == maxNames {
			delete(c.byName, v.names[0])
			v.names = v.names[1:]
		}
		v.names = append(v.names, name)
	}
	c.byName[name] = attached[T]{v, derived}
}

// find returns what was attached under a name to a version that is held.
func (c *cache[T]) find(name Name) any {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if a, ok := c.byName[name]; ok && c.now().Before(a.to.until) {
		return a.derived
	}
	return nil
}

// hold and the methods below are called with the lock held.
func (c *cache[T]) hold(v *Version[T], t ticket) {
	c.remove(c.byKey[v.key])
	if len(v.sealed) > maxSealed {
		return
	}
	c.expire(c.now())
	if c.byAge.Len() == maxVersions {
		c.remove(c.oldest())
	}
	v.until = t.at.Add(c.ttl)
	v.place = c.byAge.PushBack(v)
	c.byKey[v.key] = v
	if c.timer == nil {
		c.timer = time.AfterFunc(c.ttl, c.sweep)
	}
}

func (c *cache[T]) remove(v *Version[T]) {
	if v == nil {
		return
	}
	for _, name := range v.names {
		delete(c.byName, name)
	}
	delete(c.byKey, v.key)
	c.byAge.Remove(v.place)
}

func (c *cache[T]) oldest() *Version[T] {
	v, _ := c.byAge.Front().Value.(*Version[T])
	return v
}

// expire removes what is older than ttl.
func (c *cache[T]) expire(now time.Time) {
	for c.byAge.Len() > 0 && !now.Before(c.oldest().until) {
		c.remove(c.oldest())
	}
}

// sweep empties the cache of a process that nobody asks anything: what is in
// it opens credentials.
func (c *cache[T]) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expire(c.now())
	if c.timer = nil; c.byAge.Len() > 0 {
		c.timer = time.AfterFunc(c.ttl, c.sweep)
	}
}

func (c *cache[T]) stripe(key string) uint64 { return maphash.String(c.seed, key) % stripes }
