// Package resource is the gateway's gate as a library, for MCP servers in Go
// that clients reach without the gateway. A server wraps its handler in
// Gate.Middleware; each request is then let through with the verified user and
// a fresh upstream token, or answered as the gateway would answer it.
//
// It owns the questions to the issuer (RFC 7662 introspection, RFC 8693 token
// exchange) and how long their answers are believed. It leaves what a token is
// worth to the issuer, the wording of refusals to core/oauth, the request to
// the issuer to core/fetch, and CORS and the check of Origin to the server,
// which knows its browsers. Package gosdk beside it fits it to the official Go
// SDK's own middleware.
//
// The tenant names the server's URL as its `resource` and has the server among
// its `resource_servers`.
package resource

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
)

const (
	// Keep is how long a token that was verified is believed without asking
	// again, and so how long one that was revoked may still be let through
	// (RFC 7662 §4). It never outlasts the token.
	Keep = 5 * time.Second
	// keepRefusal is the same for a token that counts for nothing. It cannot
	// come to count, so this only bounds what a client in a loop costs.
	keepRefusal = time.Second
	// cacheSize bounds the tokens that are remembered, of each kind.
	cacheSize = 16 << 10
)

// Config is what a Gate is made of. Issuer, Resource, ID and Secret are
// required.
type Config struct {
	Issuer   string // the tenant's URL
	Resource string // URL of this server, as people paste it into a client; the tenant's resource
	Name     string // of this server, for people; may be empty

	// ID and Secret are this server's entry in the tenant's resource_servers.
	ID     string
	Secret seal.Secret

	// Optional lets requests without a token through, without a user: for
	// servers that tell strangers what tools there are. A token that counts for
	// nothing is refused all the same.
	Optional bool

	// Fetch asks the issuer. nil: the strict client, for an issuer on the
	// public internet. One at a private address or behind a certificate of
	// one's own needs a client that says so: fetch.Config.PrivateHosts, RootCAs.
	Fetch *fetch.Client

	Log hclog.Logger     // nil: no log
	Now func() time.Time // nil: time.Now
}

// Gate lets requests to one MCP server through, or not. It is safe for
// concurrent use.
type Gate struct {
	cfg      Config
	issuer   *issuer
	verified *cache[User] // without the token
	refused  *cache[struct{}]
	upstream *cache[seal.Secret]
}

// New returns a Gate. It asks the issuer nothing yet: a server can start before
// its issuer.
func New(cfg Config) (*Gate, error) {
	for _, identifier := range []string{cfg.Issuer, cfg.Resource} {
		u, err := url.Parse(identifier)
		if err != nil || u.Host == "" || u.Scheme == "" || strings.ContainsAny(identifier, "?#") || strings.HasSuffix(identifier, "/") {
			return nil, fmt.Errorf("resource: %q must be an absolute URL without query, fragment and trailing slash", identifier)
		}
	}
	if cfg.ID == "" || cfg.Secret.IsZero() {
		return nil, errors.New("resource: ID and Secret are required")
	}
	if cfg.Fetch == nil {
		cfg.Fetch = fetch.New(fetch.Config{})
	}
	if cfg.Log == nil {
		cfg.Log = hclog.NewNullLogger()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Gate{
		cfg: cfg, issuer: newIssuer(cfg),
		verified: newCache[User](), refused: newCache[struct{}](), upstream: newCache[seal.Secret](),
	}, nil
}

// User is on whose behalf a request comes, and through which client.
type User struct {
	Subject string // the account's stable id at the upstream
	Name    string // of the account, for people; may be empty
	Client  string // the client's name in grants and audit lines, a hash of its id
	Scopes  []string
	Expires time.Time // of the access token

	gate  *Gate
	token seal.Secret
}

// Has tells whether the user granted the client all these scopes.
func (u *User) Has(scopes ...string) bool {
	return !slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(u.Scopes, s) })
}

type contextKey struct{}

// FromContext returns the user of a request that came through Middleware, or
// nil for one without a token, which only an Optional gate lets through.
func FromContext(ctx context.Context) *User {
	u, _ := ctx.Value(contextKey{}).(*User)
	return u
}

// Verify tells whose access token this is. Errors are *oauth.Error:
// invalid_token for one that counts for nothing here, and
// temporarily_unavailable when the issuer cannot say.
func (g *Gate) Verify(ctx context.Context, token string) (*User, error) {
	k := keyOf(token)
	u, err := g.verified.load(ctx, k, g.cfg.Now, func(ctx context.Context) (User, error) { return g.ask(ctx, k, token) })
	if err != nil {
		return nil, err
	}
	u.gate, u.token = g, seal.NewSecret(token)
	return &u, nil
}

// ask has the issuer say whose token it is, and remembers what it says.
func (g *Gate) ask(ctx context.Context, k key, token string) (User, error) {
	asked := g.cfg.Now() // Keep counts from here: a revocation may be as old as the question
	if _, ok := g.refused.get(k, asked); ok {
		return User{}, invalidToken()
	}
	u, err := g.issuer.introspect(ctx, token)
	if err == nil && !asked.Before(u.Expires) {
		err = invalidToken()
	}
	switch {
	case err == nil:
		g.verified.put(k, u, earlier(asked.Add(Keep), u.Expires))
	case isInvalid(err):
		g.refused.put(k, struct{}{}, asked.Add(keepRefusal))
	}
	return u, err
}

// UpstreamToken returns an access token of the upstream that is good for a
// while: the one from last time, or a new one shortly before that expires. Work
// that takes long asks again each time it needs the token, and is told then if
// the user has ended the login. Errors are those of Verify; invalid_token means
// that the user has to log in again.
func (u *User) UpstreamToken(ctx context.Context) (seal.Secret, error) {
	g, token := u.gate, u.token.Reveal()
	if _, err := g.Verify(ctx, token); err != nil {
		return seal.Secret{}, err
	}
	k := keyOf(token)
	return g.upstream.load(ctx, k, g.cfg.Now, func(ctx context.Context) (seal.Secret, error) {
		asked := g.cfg.Now()
		secret, life, err := g.issuer.exchange(ctx, token)
		switch {
		case err == nil:
			g.upstream.put(k, secret, asked.Add(life))
		case isInvalid(err):
			g.verified.drop(k) // it ended since it was verified
		}
		return secret, err
	})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func invalidToken() *oauth.Error {
	return oauth.Errorf(oauth.InvalidToken, "the access token is invalid or expired")
}

func isInvalid(err error) bool {
	fault, ok := errors.AsType[*oauth.Error](err)
	return ok && fault.Code == oauth.InvalidToken
}
