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
// That it is there says all; the time is for people.
type block struct {
	Since time.Time `json:"since"`
}

// Block makes an id unknown at a tenant for a while, whether a client with
// that id exists now or not. What it was granted cannot be refreshed from then
// on; ending access tokens that are out is for package grant. Blocking what is
// blocked changes nothing, not even for how long. An error is the store's.
func (g *Registry) Block(ctx context.Context, t *tenant.Tenant, id string, lasts time.Duration) error {
	err := g.blocked.Create(ctx, t.Name, grant.HashClient(id), block{Since: g.now()}, lasts)
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return oauth.Unavailable(err)
	}
	g.blocked.Announce(ctx, t.Name, grant.HashClient(id))
	return nil
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
