// Package client answers who an OAuth client is and whether a request really
// comes from it. It owns the three origins of clients (written into the config,
// registered dynamically with the registration sealed into the id, described by
// a metadata document that the id is the URL of), the blocking of clients, and
// client authentication. It leaves the registration endpoint to package
// register, the network to package fetch and what a client may do to the
// endpoints.
package client

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// ErrUnknown says that there is no such client at this tenant, or none any
// more.
var ErrUnknown = errors.New("client: unknown")

// Method is how a client authenticates at the token endpoint (RFC 7591 §2,
// token_endpoint_auth_method).
type Method string

// The methods. A client with a secret may send it either way.
const (
	None          Method = "none"
	Basic         Method = "client_secret_basic"
	Post          Method = "client_secret_post"
	PrivateKeyJWT Method = "private_key_jwt" // OpenID Connect Core §9, RFC 7523 §2.2
)

// Methods lists what the token endpoint understands, for the metadata.
func Methods() []Method { return []Method{None, Basic, Post, PrivateKeyJWT} }

// Supported tells whether the token endpoint understands a method.
func Supported(m Method) bool { return slices.Contains(Methods(), m) }

// Client is a client of one tenant.
type Client struct {
	ID           string
	Name         string // chosen by the client unless Verified
	Verified     bool   // the operator registered it
	Host         string // of the metadata document it was read from; empty if there is none
	RedirectURIs []string
	Methods      []Method // by any of which it may authenticate

	secret seal.Secret
	keys   keySource
}

// Allows tells whether the client may authenticate by m.
func (c *Client) Allows(m Method) bool { return slices.Contains(c.Methods, m) }

// Match returns the redirect target for a request of this client. The
// tenant's policy is asked again, so narrowing it works on clients that
// registered before, and holds for metadata documents, which nobody registers;
// what the operator wrote down needs no second opinion.
func (c *Client) Match(t *tenant.Tenant, redirectURI string) (oauth.Target, error) {
	target, err := oauth.MatchRedirect(c.RedirectURIs, redirectURI)
	if err != nil {
		return oauth.Target{}, err
	}
	if !c.Verified {
		if err := t.Redirects.Check(target.String()); err != nil {
			return oauth.Target{}, err
		}
	}
	return target, nil
}

// Config is what a Registry is made of. Keys, Store and Fetch are required.
type Config struct {
	Keys  *seal.Keyring
	Store store.Driver     // blocked clients and used assertions; nothing else
	Fetch *fetch.Client    // for metadata documents and key sets; Fetch.ForStrangers unless the operator named the host
	Now   func() time.Time // nil: time.Now
	// CacheTTL is for how long it is remembered whether a client is blocked. A
	// block by this process, or one that Forget is told of, counts at once.
	CacheTTL time.Duration
}

// Registry finds clients and makes new ones. It is safe for concurrent use.
type Registry struct {
	keys      *seal.Keyring
	now       func() time.Time
	blocked   *store.Collection[block]
	used      *store.Collection[usedAssertion]
	limits    *limits
	documents *cache[*document]
	keySets   *cache[keySet]
}

// NewRegistry returns a Registry.
func NewRegistry(cfg Config) *Registry {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	limits := newLimits(cfg.Now)
	return &Registry{
		keys:      cfg.Keys,
		now:       cfg.Now,
		blocked:   store.NewCollection[block](cfg.Store, cfg.Keys, "blocked").Remember(cfg.CacheTTL, cfg.Now),
		used:      store.NewCollection[usedAssertion](cfg.Store, cfg.Keys, "jti"),
		limits:    limits,
		documents: newCache("metadata document", cfg.Fetch, limits, cfg.Now, maxDocument, 1024, parseDocument),
		keySets:   newCache("key set", cfg.Fetch, limits, cfg.Now, maxKeySet, 256, parseKeySet),
	}
}

// Forget is for store.Follow.
func (g *Registry) Forget(key string) { g.blocked.Forget(key) }

// LoggedIn remembers that a user has logged in to a client, so that requests
// with made-up client ids cannot keep its metadata from being fetched.
func (g *Registry) LoggedIn(c *Client) {
	if c.Host != "" {
		g.limits.prove(c.ID)
	}
}

// Find returns the client with that id. ErrUnknown says that there is none or
// that it is blocked; every other error is an *oauth.Error fit for the client:
// invalid_client for a metadata document that will not do, 503 for one that
// cannot be had now and for a store that does not answer.
func (g *Registry) Find(ctx context.Context, t *tenant.Tenant, id string) (*Client, error) {
	c, err := g.local(t, id)
	var u *url.URL
	if err != nil && looksLikeDocument(id) && !t.ClientDocuments.Off {
		u, err = documentURL(id)
	}
	if err != nil {
		return nil, err
	}
	// Before anything is fetched: a blocked client makes us do nothing.
	if err := g.checkBlocked(ctx, t, id); err != nil {
		return nil, err
	}
	if u != nil {
		return g.fromDocument(ctx, t, id, u)
	}
	return c, nil
}

// local finds clients that need neither store nor network.
func (g *Registry) local(t *tenant.Tenant, id string) (*Client, error) {
	for _, c := range t.Clients {
		if c.ID == id {
			return preRegistered(c), nil
		}
	}
	return g.unseal(t, id)
}

func preRegistered(c tenant.Client) *Client {
	known := &Client{
		ID: c.ID, Name: c.Name, Verified: true, RedirectURIs: c.RedirectURIs,
		secret: c.Secret, keys: keySource{uri: c.JWKSURI, trusted: true},
	}
	if !c.Secret.IsZero() {
		known.Methods = []Method{Basic, Post}
	}
	if c.JWKSURI != "" {
		known.Methods = append(known.Methods, PrivateKeyJWT)
	}
	if known.Methods == nil {
		known.Methods = []Method{None}
	}
	return known
}
