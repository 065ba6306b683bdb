package client

import (
	"context"
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Authenticate finds the client that sent a request to the token endpoint and
// checks its credentials (RFC 6749 §2.3, RFC 7523 §2.2). An unknown client is
// invalid_client, so that clients whose registration was lost register anew.
//
// Two things real clients do are let through: a public client that sends Basic
// with an empty secret (the Go SDK tries that first), and client_id in the body
// beside a Basic header (the Python SDK), as long as both name one client.
func (g *Registry) Authenticate(ctx context.Context, t *tenant.Tenant, r *http.Request, p oauth.Params) (*Client, error) {
	a, err := readAssertion(p)
	if err != nil {
		return nil, err
	}
	if a != nil {
		return g.byAssertion(ctx, t, r, p, a)
	}
	ids, secrets, err := oauth.Credentials(r, p)
	if err != nil {
		return nil, err
	}
	c, err := g.findAny(ctx, t, ids)
	if err != nil {
		return nil, err
	}
	if !c.checkSecret(secrets) {
		return nil, oauth.Errorf(oauth.InvalidClient, "client authentication failed")
	}
	return c, nil
}

// byAssertion authenticates by private_key_jwt. The assertion names the
// client, so client_id is optional (RFC 7521 §4.2); if it is there it must
// agree.
func (g *Registry) byAssertion(ctx context.Context, t *tenant.Tenant, r *http.Request, p oauth.Params, a *assertion) (*Client, error) {
	switch id := p.Get("client_id"); {
	case r.Header.Get("Authorization") != "" || p.Get("client_secret") != "":
		// RFC 6749 §2.3: not more than one method in a request.
		return nil, oauth.Errorf(oauth.InvalidRequest, "send a client assertion or a client secret, not both")
	case id != "" && id != a.subject:
		return nil, oauth.Errorf(oauth.InvalidClient, "client_id is not the client of the assertion")
	}
	c, err := g.findAny(ctx, t, []string{a.subject})
	if err != nil {
		return nil, err
	}
	if err := g.verify(ctx, t, c, a); err != nil {
		return nil, err
	}
	return c, nil
}

// checkSecret tells whether one of the readings of what was presented is the
// secret, in constant time. A client that needs none must send none: its
// secret is empty. One that authenticates by its key alone has no other way.
func (c *Client) checkSecret(presented []string) bool {
	if c.secret.IsZero() && !c.Allows(None) {
		return false
	}
	ok := false
	for _, reading := range presented {
		ok = c.secret.Equal(reading) || ok
	}
	return ok
}

// findAny returns the client that one of the readings of an id names.
func (g *Registry) findAny(ctx context.Context, t *tenant.Tenant, ids []string) (c *Client, err error) {
	for _, id := range ids {
		if c, err = g.Find(ctx, t, id); !errors.Is(err, ErrUnknown) {
			return c, err
		}
	}
	return nil, oauth.Errorf(oauth.InvalidClient, "no such client at this server; register again")
}
