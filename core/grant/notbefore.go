package grant

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// notBefore is the record not-before/all: grants created before these times
// (Unix, whole seconds) have ended. Times only grow.
type notBefore struct {
	All     int64                      `json:"all,omitempty"`
	Tenants map[string]tenantNotBefore `json:"tenants,omitempty"`
}

type tenantNotBefore struct {
	All      int64            `json:"all,omitempty"`
	Clients  map[string]int64 `json:"clients,omitempty"`  // by HashClient
	Accounts map[string]int64 `json:"accounts,omitempty"` // by upstream.AccountKey.Hash
}

const (
	notBeforeKind = "not-before"
	notBeforeID   = "all"
	notBeforeKey  = notBeforeKind + "/" + notBeforeID
	// maxNotBefore bounds the clients and accounts in the record, which each
	// process reads every cache_ttl; about 200 KB.
	maxNotBefore = 4096
	// notBeforeTime bounds one read: every request that is verified meanwhile
	// waits for it.
	notBeforeTime = 10 * time.Second
)

// Scope names the grants that RevokeBefore ends. The zero Scope is all grants
// of all tenants.
type Scope struct {
	Tenant     *tenant.Tenant      // nil: all tenants
	ClientHash string              // of Tenant; "": all clients
	Account    upstream.AccountKey // of Tenant; zero: all accounts
}

// check reports what is wrong with a scope.
func (sc Scope) check() error {
	switch {
	case sc.Tenant == nil && (sc.ClientHash != "" || sc.Account != upstream.AccountKey{}):
		return errors.New("grant: a client or an account can be revoked at one tenant only; name the tenant")
	case sc.ClientHash != "" && sc.Account != upstream.AccountKey{}:
		return errors.New("grant: a client and an account cannot be revoked together; name one of the two")
	}
	return nil
}

// RevokeBefore ends the grants of a scope that were created before a time, by
// writing one record. Their tokens are refused with reason NotBefore, here and
// where the change is announced immediately, elsewhere within cache_ttl. An
// earlier time than the one in force changes nothing. Records hold whole
// seconds: a grant created in the second of the time has ended as well.
func (s *Store) RevokeBefore(ctx context.Context, scope Scope, at time.Time) error {
	if err := scope.check(); err != nil {
		return err
	}
	if at.After(s.now()) {
		return fmt.Errorf("grant: %s has not come yet, and logins until then would be refused; give a time that has passed", at.UTC().Format(time.RFC3339))
	}
	second := at.Add(time.Second - 1).Unix()
	raise := func(b *notBefore) (time.Duration, error) {
		if !b.raise(scope, second) {
			return 0, store.Keep
		}
		if n := b.count(); n > maxNotBefore {
			return 0, fmt.Errorf("grant: %d clients and accounts are revoked by time already; revoke the whole tenant, which replaces its entries", maxNotBefore)
		}
		return accountLife, nil
	}
	c := &s.before
	_, err := c.records.Upsert(ctx, "", notBeforeID, raise)
	if errors.Is(err, store.ErrUnreadable) && scope.Tenant == nil && !at.Before(s.stamp()) {
		// Its key is gone. Nothing in it can be later than now, so what replaces
		// it ends all that it ended.
		if err = c.records.Delete(ctx, "", notBeforeID); err == nil {
			_, err = c.records.Upsert(ctx, "", notBeforeID, raise)
		}
	}
	// After an error the record may have been written all the same.
	c.drop()
	s.notBeforeChanged()
	c.records.Announce(ctx, "", notBeforeID)
	return readable(err)
}

// raise moves the times of a scope and reports whether that changed any. It
// takes out what a wider scope covers.
func (b *notBefore) raise(scope Scope, at int64) (changed bool) {
	if scope.Tenant == nil {
		changed = at > b.All
		b.All = max(b.All, at)
	} else {
		if b.Tenants == nil {
			b.Tenants = map[string]tenantNotBefore{}
		}
		own := b.Tenants[scope.Tenant.Name]
		switch {
		case scope.ClientHash != "":
			changed = later(&own.Clients, scope.ClientHash, at)
		case scope.Account != upstream.AccountKey{}:
			for _, hash := range accountHashes(scope.Tenant, scope.Account) {
				changed = later(&own.Accounts, hash, at) || changed
			}
		default:
			changed = at > own.All
			own.All = max(own.All, at)
		}
		b.Tenants[scope.Tenant.Name] = own
	}
	for name, own := range b.Tenants {
		covered := func(_ string, at int64) bool { return at <= max(b.All, own.All) }
		maps.DeleteFunc(own.Clients, covered)
		maps.DeleteFunc(own.Accounts, covered)
		if own.All <= b.All && len(own.Clients)+len(own.Accounts) == 0 {
			delete(b.Tenants, name)
		}
	}
	return changed
}

func later(times *map[string]int64, name string, at int64) bool {
	if at <= (*times)[name] {
		return false
	}
	if *times == nil {
		*times = map[string]int64{}
	}
	(*times)[name] = at
	return true
}

func (b *notBefore) count() (n int) {
	for _, own := range b.Tenants {
		n += len(own.Clients) + len(own.Accounts)
	}
	return n
}

// check refuses a grant that was created before a time that concerns it.
func (b *notBefore) check(t *tenant.Tenant, r *Record) error {
	created := r.Created.Unix()
	own := b.Tenants[t.Name]
	if created < max(b.All, own.All, own.Clients[r.ClientHash]) {
		return refuse(NotBefore)
	}
	if len(own.Accounts) > 0 {
		for _, hash := range accountHashes(t, r.Account(t)) {
			if created < own.Accounts[hash] {
				return refuse(NotBefore)
			}
		}
	}
	return nil
}

// ended refuses a grant whose time is over or that was revoked by time.
func (s *Store) ended(t *tenant.Tenant, r *Record, b *notBefore) error {
	if s.over(r, t) {
		return refuse(Gone)
	}
	return b.check(t, r)
}

// readable says what to do about a record that no key opens.
func readable(err error) error {
	if errors.Is(err, store.ErrUnreadable) {
		return fmt.Errorf("grant: the record %s says which logins are revoked and cannot be read; put the key that sealed it back into keys, or revoke all logins of all tenants: %w", notBeforeKey, err)
	}
	return err
}

// notBeforeCache keeps the record in memory for ttl after it was read.
type notBeforeCache struct {
	records *store.Collection[notBefore]
	now     func() time.Time
	ttl     time.Duration // 0: every caller reads

	held    atomic.Pointer[heldNotBefore]
	reading singleflight.Group
	mu      sync.Mutex
	changes uint64 // a read that began before the last is not kept
}

type heldNotBefore struct {
	value *notBefore // the same pointer for as long as it has the same content
	until time.Time
}

// get returns the times in force. An error is the store's: then the times are
// not known, and no grant is refused or accepted.
func (c *notBeforeCache) get(ctx context.Context) (*notBefore, error) {
	if b := c.fresh(); b != nil {
		return b, nil
	}
	if c.ttl == 0 {
		return c.read(ctx)
	}
	read := c.reading.DoChan("", func() (any, error) {
		// The first caller may leave; the others still wait for the answer.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notBeforeTime)
		defer cancel()
		return c.read(ctx)
	})
	select {
	case got := <-read:
		b, _ := got.Val.(*notBefore)
		return b, got.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fresh returns the times in memory, or nil if they may be too old.
func (c *notBeforeCache) fresh() *notBefore {
	if held := c.held.Load(); held != nil && c.now().Before(held.until) {
		return held.value
	}
	return nil
}

func (c *notBeforeCache) read(ctx context.Context) (*notBefore, error) {
	c.mu.Lock()
	changes := c.changes
	c.mu.Unlock()
	began := c.now()
	b := &notBefore{}
	version, _, err := c.records.Read(ctx, "", notBeforeID)
	switch {
	case err == nil:
		b = &version.Value
		if c.records.Old(version) {
			// So that the older key can go. If it fails, the next read tries again.
			_, _ = c.records.Update(ctx, "", notBeforeID, func(*notBefore) (time.Duration, error) { return accountLife, nil })
		}
	case !errors.Is(err, store.ErrNotFound):
		return nil, readable(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ttl > 0 && c.changes == changes {
		if held := c.held.Load(); held != nil && reflect.DeepEqual(held.value, b) {
			b = held.value
		}
		c.held.Store(&heldNotBefore{value: b, until: began.Add(c.ttl)})
	}
	return b, nil
}

// drop makes the next get read.
func (c *notBeforeCache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.held.Store(nil)
	c.reading.Forget("")
}
