package client

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// block is the record of a blocked client, blocked/<tenant>/<hash of its id>.
// That it is there says all; the time and the name are for people.
type block struct {
	Since time.Time `json:"since"`
	Name  string    `json:"name,omitempty"` // of the client, if an operator blocked it
}

// Blocked is a blocked client.
type Blocked struct {
	Hash  string // grant.HashClient of its id
	Name  string // empty: not known
	Since time.Time
}

// Block makes an id unknown at a tenant for a while, whether a client with
// that id exists now or not. What it was granted cannot be refreshed from then
// on; ending access tokens that are out is for package grant. Blocking what is
// blocked changes nothing, not even for how long. An error is the store's.
func (g *Registry) Block(ctx context.Context, t *tenant.Tenant, id string, lasts time.Duration) error {
	_, err := g.BlockHash(ctx, t, Blocked{Hash: grant.HashClient(id)}, lasts)
	return err
}

// BlockHash is Block for a client of which the hash of its id is known. It
// reports whether the client was not blocked before.
func (g *Registry) BlockHash(ctx context.Context, t *tenant.Tenant, b Blocked, lasts time.Duration) (changed bool, err error) {
	err = g.blocked.Create(ctx, t.Name, b.Hash, block{Since: g.now(), Name: b.Name}, lasts)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return false, oauth.Unavailable(err)
	}
	g.blocked.Announce(ctx, t.Name, b.Hash)
	return err == nil, nil
}

// Unblock ends the block of the client whose id has that hash.
func (g *Registry) Unblock(ctx context.Context, t *tenant.Tenant, hash string) error {
	if err := g.blocked.Delete(ctx, t.Name, hash); err != nil {
		return oauth.Unavailable(err)
	}
	g.blocked.Announce(ctx, t.Name, hash)
	return nil
}

// Blocked returns the block of the client whose id has that hash, or nil if
// the client is not blocked. It reads the store, not what is remembered.
func (g *Registry) Blocked(ctx context.Context, t *tenant.Tenant, hash string) (*Blocked, error) {
	v, err := g.blocked.Anew(ctx, t.Name, hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case errors.Is(err, store.ErrUnreadable):
		return &Blocked{Hash: hash}, nil // it blocks all the same, see checkBlocked
	case err != nil:
		return nil, oauth.Unavailable(err)
	}
	return &Blocked{Hash: hash, Name: v.Value.Name, Since: v.Value.Since}, nil
}

// EachBlocked calls f with every blocked client of a tenant, in no order, until
// f returns an error, which EachBlocked returns. It is for operators' commands.
func (g *Registry) EachBlocked(ctx context.Context, t *tenant.Tenant, f func(Blocked) error) error {
	return g.blocked.IDs(ctx, t.Name, func(hash string) error {
		b, err := g.Blocked(ctx, t, hash)
		if err != nil || b == nil {
			return err
		}
		return f(*b)
	})
}

// Identify is Find for operators' commands: it also returns a client that is
// blocked.
func (g *Registry) Identify(ctx context.Context, t *tenant.Tenant, id string) (*Client, error) {
	c, err := g.local(t, id)
	if err == nil || !looksLikeDocument(id) || t.ClientDocuments.Off {
		return c, err
	}
	u, err := documentURL(id)
	if err != nil {
		return nil, err
	}
	return g.fromDocument(ctx, t, id, u)
}

// deletedFor is how long a deleted id stays dead: longer than any grant that
// was given to it can last without a refresh (at most a year). It ends, because
// anybody can register and delete, and must not fill the store so.
const deletedFor = 400 * 24 * time.Hour

// Delete ends a registration that Manage returned (RFC 7592 §2.3).
func (g *Registry) Delete(ctx context.Context, t *tenant.Tenant, reg *Registered) error {
	if ok, wait := g.limits.deletions.Allow(t.Name); !ok {
		return oauth.TooMany("too many registrations are being deleted", wait)
	}
	return g.Block(ctx, t, reg.ID, deletedFor)
}

// checkBlocked returns ErrUnknown for a blocked client. A record that cannot
// be read (a server key that is gone) still blocks: only its date is lost.
func (g *Registry) checkBlocked(ctx context.Context, t *tenant.Tenant, id string) error {
	_, err := g.blocked.Get(ctx, t.Name, grant.HashClient(id))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err == nil, errors.Is(err, store.ErrUnreadable):
		return ErrUnknown
	}
	return oauth.Unavailable(err)
}

// Manage returns the registration of id to whoever shows its registration
// access token (RFC 7592 §2.1). One error stands for an unknown client, a
// blocked one and a wrong token.
func (g *Registry) Manage(ctx context.Context, t *tenant.Tenant, id, accessToken string) (*Registered, error) {
	reg, err := g.open(t, id)
	if err != nil || !reg.AccessToken.Equal(accessToken) {
		return nil, ErrUnknown
	}
	if err := g.checkBlocked(ctx, t, id); err != nil {
		return nil, err
	}
	return reg, nil
}
