// Package memory is a store.Driver for tests: a map, an injected clock and a
// way to fail. It owns nothing that a server runs on; the engines are in
// core/store/bolt and core/store/redis.
package memory

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// Driver keeps values in memory. The zero value is ready.
type Driver struct {
	Now func() time.Time // nil: time.Now

	mu     sync.Mutex
	values map[string]value
	fail   func(op, key string) error
}

type value struct {
	data []byte
	ends time.Time
}

var _ store.Driver = (*Driver)(nil)

// Fail makes every later operation ask f first: "get", "swap", "take", "scan"
// or "ping", and the key. A nil f ends that.
func (d *Driver) Fail(f func(op, key string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

// Keys returns how many keys start with prefix, expired ones included.
func (d *Driver) Keys(prefix string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key := range d.values {
		if strings.HasPrefix(key, prefix) {
			n++
		}
	}
	return n
}

// Snapshot is what a Driver held at one time.
type Snapshot struct{ values map[string]value }

// Snapshot returns what the driver holds now.
func (d *Driver) Snapshot() Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Snapshot{maps.Clone(d.values)}
}

// Restore makes the driver hold what it held then, and nothing else.
func (d *Driver) Restore(s Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.values = maps.Clone(s.values)
}

// begin locks the driver and returns the live value of key, nil if none.
func (d *Driver) begin(op, key string) ([]byte, error) {
	d.mu.Lock()
	if d.fail != nil {
		if err := d.fail(op, key); err != nil {
			return nil, err
		}
	}
	v, ok := d.values[key]
	if !ok || !d.now().Before(v.ends) {
		return nil, nil
	}
	return v.data, nil
}

func (d *Driver) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// Get implements store.Driver.
func (d *Driver) Get(_ context.Context, key string) ([]byte, error) {
	have, err := d.begin("get", key)
	defer d.mu.Unlock()
	if err == nil && have == nil {
		err = store.ErrNotFound
	}
	return have, err
}

// Swap implements store.Driver.
func (d *Driver) Swap(_ context.Context, key string, old, new []byte, ttl time.Duration) error {
	have, err := d.begin("swap", key)
	defer d.mu.Unlock()
	switch {
	case err != nil:
		return err
	case (old == nil) != (have == nil), !bytes.Equal(old, have):
		return &store.Conflict{Held: bytes.Clone(have)}
	case new == nil:
		delete(d.values, key)
		return nil
	}
	if d.values == nil {
		d.values = map[string]value{}
	}
	d.values[key] = value{bytes.Clone(new), d.now().Add(ttl)}
	return nil
}

// Take implements store.Driver.
func (d *Driver) Take(_ context.Context, key string) ([]byte, error) {
	have, err := d.begin("take", key)
	defer d.mu.Unlock()
	if err == nil && have == nil {
		err = store.ErrNotFound
	}
	if err == nil {
		delete(d.values, key)
	}
	return have, err
}

// Scan implements store.Driver.
func (d *Driver) Scan(_ context.Context, prefix string, f func(key string) error) error {
	_, err := d.begin("scan", prefix)
	var keys []string
	for key, v := range d.values {
		if strings.HasPrefix(key, prefix) && d.now().Before(v.ends) {
			keys = append(keys, key)
		}
	}
	d.mu.Unlock()
	for _, key := range keys {
		if err != nil {
			break
		}
		err = f(key)
	}
	return err
}

// Ping implements store.Driver.
func (d *Driver) Ping(context.Context) error {
	_, err := d.begin("ping", "")
	d.mu.Unlock()
	return err
}

// Close implements store.Driver.
func (d *Driver) Close() error { return nil }
