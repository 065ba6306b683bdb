package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Authenticate finds the client that sent a request to the token endpoint and
// checks its credentials (RFC 6749 §2.3). An unknown client is invalid_client,
// so that clients whose registration was lost register anew.
//
// Two things real clients do are let through: a public client that sends Basic
// with an empty secret (the Go SDK tries that first), and client_id in the body
// beside a Basic header (the Python SDK), as long as both name one client.
func (g *Registry) Authenticate(ctx context.Context, t *tenant.Tenant, r *http.Request, p oauth.Params) (*Client, error) {
	id, secret, basic, err := basicAuth(r)
	if err != nil {
		return nil, err
	}
	bodyID, bodySecret := p.Get("client_id"), p.Get("client_secret")
	switch {
	case !basic:
		id, secret = bodyID, bodySecret
	case bodyID != "" && bodyID != id:
		return nil, oauth.Errorf(oauth.InvalidRequest, "client_id in the body is not the client of the Authorization header")
	case bodySecret != "" && secret != "":
		// RFC 6749 §2.3: not more than one method in a request.
		return nil, oauth.Errorf(oauth.InvalidRequest, "send the client secret in the Authorization header or in the body, not in both")
	case bodySecret != "":
		secret = bodySecret
	}
	if id == "" {
		return nil, oauth.Errorf(oauth.InvalidClient, "client_id is missing")
	}
	c, err := g.Find(ctx, t, id)
	if errors.Is(err, ErrUnknown) {
		return nil, oauth.Errorf(oauth.InvalidClient, "no such client at this server; register again")
	}
	if err != nil {
		return nil, err
	}
	if !c.checkSecret(secret) { // a public client's secret is empty, and so must be what it sends
		return nil, oauth.Errorf(oauth.InvalidClient, "client authentication failed")
	}
	return c, nil
}

// basicAuth reads the Authorization header. Id and secret are form-encoded in
// it (RFC 6749 §2.3.1); what is not well-formed so is taken as it stands,
// because the TypeScript SDK does not encode.
func basicAuth(r *http.Request) (id, secret string, ok bool, err error) {
	if r.Header.Get("Authorization") == "" {
		return "", "", false, nil
	}
	id, secret, ok = r.BasicAuth()
	if !ok {
		return "", "", false, oauth.Errorf(oauth.InvalidClient, "the Authorization header must use the Basic scheme here")
	}
	return unescape(id), unescape(secret), true, nil
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
