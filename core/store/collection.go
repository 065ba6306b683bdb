package store

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/core/seal"
)

var (
	// ErrUnreadable says that a record is there but was not sealed by this key
	// ring for this place, was changed since, or no longer has the shape of its
	// type. It is never reported as ErrNotFound: a lost key must not look like a
	// store that nobody ever used.
	ErrUnreadable = errors.New("store: record cannot be read")
	// ErrName says that a kind, tenant or id is empty where it may not be or
	// has a character outside [A-Za-z0-9._-]. No record can exist there.
	ErrName = errors.New("store: name not allowed")
)

// Collection is the typed and sealed view of one kind of record on a Driver. A
// record is the JSON of a T, or what T makes of itself (encoding.BinaryMarshaler
// on T, BinaryUnmarshaler on *T), sealed for exactly its place: moved to another
// key it does not open. Fields of type seal.Secret are stored as their
// placeholder; a record type holds plain values and relies on the seal.
//
// The key of a record is <kind>/<tenant>/<id>, or <kind>/<id> for kinds that
// do not belong to a tenant (tenant ""). All methods refuse names outside
// [A-Za-z0-9._-] with ErrName before they touch the driver.
type Collection[T any] struct {
	driver Driver
	ring   *seal.Keyring
	kind   string
	format int              // that is written, and the newest that is read
	cache  *cache[T]        // nil: see Remember
	others Announcer        // nil: see Remember
	watch  func(key string) // nil: see Watch
}

// NewCollection returns the records of a kind on a driver. The kind is also
// the use that its records are sealed for.
func NewCollection[T any](driver Driver, ring *seal.Keyring, kind string) *Collection[T] {
	return &Collection[T]{driver: driver, ring: ring, kind: kind, format: firstFormat}
}

// Get returns a record, or ErrNotFound, ErrUnreadable or the driver's error.
func (c *Collection[T]) Get(ctx context.Context, tenant, id string) (T, error) {
	v, _, err := c.Read(ctx, tenant, id)
	if err != nil {
		var zero T
		return zero, err
	}
	return v.Value, nil
}

// Read is Get, with the version that Attach takes, and tells whether it was
// remembered: then it may be old, and nobody should be refused anything for it
// before it was read Anew.
func (c *Collection[T]) Read(ctx context.Context, tenant, id string) (v *Version[T], remembered bool, err error) {
	at, err := c.place(tenant, id)
	if err != nil {
		return nil, false, err
	}
	switch v := c.cache.get(at.key); {
	case v == nil:
		v, err := c.read(ctx, at)
		return v, false, err
	case v.sealed == nil:
		return nil, true, ErrNotFound
	default:
		return v, true, nil
	}
}

// Old reports whether a version was sealed with another key than the newest.
// What is seldom written has to be written again before that key goes.
func (c *Collection[T]) Old(v *Version[T]) bool { return !c.ring.Newest(v.sealed) }

// Anew is Read of what the driver has now.
func (c *Collection[T]) Anew(ctx context.Context, tenant, id string) (*Version[T], error) {
	at, err := c.place(tenant, id)
	if err != nil {
		return nil, err
	}
	return c.read(ctx, at)
}

func (c *Collection[T]) read(ctx context.Context, at place) (*Version[T], error) {
	began := c.cache.begin(at.key)
	sealed, err := c.driver.Get(ctx, at.key)
	if errors.Is(err, ErrNotFound) {
		var nothing T
		c.cache.read(at.key, began, nothing, nil)
	}
	if err != nil {
		return nil, err
	}
	v, err := c.open(at, sealed)
	if err != nil {
		return nil, err
	}
	return c.cache.read(at.key, began, v, sealed), nil
}

// Vacant remembers that there is no record at a place that nobody else can know
// of yet.
func (c *Collection[T]) Vacant(tenant, id string) {
	if at, err := c.place(tenant, id); err == nil {
		var nothing T
		c.cache.read(at.key, c.cache.begin(at.key), nothing, nil)
	}
}

// Create stores a new record that expires after ttl, or ErrConflict if there
// is one already, readable or not.
func (c *Collection[T]) Create(ctx context.Context, tenant, id string, v T, ttl time.Duration) error {
	at, err := c.place(tenant, id)
	if err != nil {
		return err
	}
	sealed, err := c.seal(at, v)
	if err != nil {
		return err
	}
	return c.swap(ctx, at.key, c.cache.begin(at.key), swapped[T]{new: sealed, value: v, ttl: ttl})
}

// Delete deletes a record, readable or not, unless a newer release wrote it
// (*NewerError). Deleting what is not there is no error.
func (c *Collection[T]) Delete(ctx context.Context, tenant, id string) error {
	at, err := c.place(tenant, id)
	if err != nil {
		return err
	}
	for range updateAttempts {
		began := c.cache.begin(at.key)
		sealed, err := c.present(ctx, at)
		if err == nil {
			err = c.swap(ctx, at.key, began, swapped[T]{old: sealed})
		}
		switch {
		case errors.Is(err, ErrNotFound):
			return nil
		case !errors.Is(err, ErrConflict):
			return err
		}
	}
	return fmt.Errorf("%w: %s changed under each of %d attempts to delete it", ErrConflict, c.kind, updateAttempts)
}

// present returns what the driver has at a place, or a *NewerError.
func (c *Collection[T]) present(ctx context.Context, at place) ([]byte, error) {
	sealed, err := c.driver.Get(ctx, at.key)
	if err != nil {
		return nil, err
	}
	if plain, err := c.ring.Open(at.purpose, sealed); err == nil {
		return sealed, c.checkFormat(plain)
	}
	return sealed, nil
}

// Take returns a record and deletes it in one step: of any number of
// concurrent takers one gets it, the others ErrNotFound. A record that cannot
// be read is deleted as well, and one of a newer release is not (*NewerError).
func (c *Collection[T]) Take(ctx context.Context, tenant, id string) (T, error) {
	var zero T
	at, err := c.place(tenant, id)
	if err != nil {
		return zero, err
	}
	if _, err := c.present(ctx, at); err != nil {
		return zero, err
	}
	sealed, err := c.take(ctx, at.key)
	if err != nil {
		return zero, err
	}
	return c.open(at, sealed)
}

// place is where a record is and what it is therefore sealed for.
type place struct {
	key     string
	purpose seal.Purpose
}

func (c *Collection[T]) place(tenant, id string) (place, error) {
	for _, name := range []string{c.kind, tenant, id} {
		if !allowed(name) {
			return place{}, fmt.Errorf("%w in the key of a %s record: %.64q", ErrName, c.kind, name)
		}
	}
	if c.kind == "" || id == "" {
		return place{}, fmt.Errorf("%w in the key of a %s record: it is empty", ErrName, c.kind)
	}
	// Names have no slash, so a tenant's segment is never mistaken for an id.
	key := c.kind + "/"
	if tenant != "" {
		key += tenant + "/"
	}
	return place{key + id, seal.Purpose{Use: c.kind, Tenant: tenant, Record: id}}, nil
}

func allowed(name string) bool {
	for _, b := range []byte(name) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}

func (c *Collection[T]) seal(at place, v T) ([]byte, error) {
	plain, err := encode(v)
	if err != nil {
		return nil, fmt.Errorf("store: encoding a %s record: %w", c.kind, err)
	}
	if plain, err = withFormat(plain, c.format); err != nil {
		return nil, fmt.Errorf("store: encoding a %s record: %w", c.kind, err)
	}
	return c.ring.Seal(at.purpose, plain), nil
}

func (c *Collection[T]) open(at place, sealed []byte) (T, error) {
	var v, zero T
	plain, err := c.ring.Open(at.purpose, sealed)
	if err != nil {
		return zero, fmt.Errorf("%w: %s: %w", ErrUnreadable, c.kind, err)
	}
	if err := c.checkFormat(plain); err != nil {
		return zero, err
	}
	if err := decode(plain, &v); err != nil {
		return zero, fmt.Errorf("%w: %s: %w", ErrUnreadable, c.kind, err)
	}
	return v, nil
}

func encode(v any) ([]byte, error) {
	if m, ok := v.(encoding.BinaryMarshaler); ok {
		return m.MarshalBinary()
	}
	return json.Marshal(v)
}

func decode(plain []byte, v any) error {
	if u, ok := v.(encoding.BinaryUnmarshaler); ok {
		return u.UnmarshalBinary(plain)
	}
	return json.Unmarshal(plain, v)
}
