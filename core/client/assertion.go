package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// assertionType is the only client_assertion_type (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const (
	maxAssertion = 8 << 10          // characters
	maxLife      = 10 * time.Minute // how far ahead exp may be
	leeway       = 30 * time.Second // between the client's clock and ours
	maxJTI       = 256              // characters

)

// SigningAlgs lists the algorithms for assertions, for the metadata. All are
// asymmetric: a public key cannot be mistaken for a shared secret.
func SigningAlgs() []string {
	var names []string
	for _, alg := range signatureAlgorithms() {
		names = append(names, string(alg))
	}
	return names
}

func signatureAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}
}

// usedAssertion is the record of an assertion that was used,
// jti/<tenant>/<hash of client and jti>.
type usedAssertion struct{}

// assertion is a client assertion that was read and not verified yet.
type assertion struct {
	token *jwt.JSONWebToken
	alg   jose.SignatureAlgorithm
	kid   string
	// subject is whom the assertion claims to be from.
	subject string
}

// refuseAssertion says to the client what is wrong. That is no help for a
// forger: everything told is in the assertion or in our metadata.
func refuseAssertion(why string) error {
	return oauth.Errorf(oauth.InvalidClient, "the client assertion %s", why)
}

// readAssertion parses the client assertion in p. It is nil if there is none.
func readAssertion(p oauth.Params) (*assertion, error) {
	text, kind := p.Get("client_assertion"), p.Get("client_assertion_type")
	switch {
	case text == "" && kind == "":
		return nil, nil
	case kind != assertionType:
		return nil, oauth.Errorf(oauth.InvalidClient, "client_assertion_type must be %s", assertionType)
	case text == "" || len(text) > maxAssertion:
		return nil, refuseAssertion("is missing or too large")
	}
	// The list keeps out none, HMACs and whatever is invented later.
	token, err := jwt.ParseSigned(text, signatureAlgorithms())
	if err != nil {
		return nil, &oauth.Error{Code: oauth.InvalidClient, Description: "the client assertion is no JWT signed with RS256, PS256, ES256 or EdDSA", Cause: err}
	}
	var claims jwt.Claims
	if err := token.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return nil, &oauth.Error{Code: oauth.InvalidClient, Description: "the client assertion has claims of another shape", Cause: err}
	}
	if claims.Issuer == "" || claims.Issuer != claims.Subject { // RFC 7523 §3, 1 and 2
		return nil, refuseAssertion("must have the client_id as iss and as sub")
	}
	header := token.Headers[0]
	return &assertion{token: token, alg: jose.SignatureAlgorithm(header.Algorithm), kid: header.KeyID, subject: claims.Subject}, nil
}

// verify checks an assertion of c (RFC 7523 §3) and uses it up.
func (g *Registry) verify(ctx context.Context, t *tenant.Tenant, c *Client, a *assertion) error {
	if !c.Allows(PrivateKeyJWT) {
		return oauth.Errorf(oauth.InvalidClient, "this client does not authenticate by private_key_jwt")
	}
	if c.keys.alg != "" && c.keys.alg != string(a.alg) { // OpenID Connect Registration §2
		return refuseAssertion("must be signed with " + c.keys.alg)
	}
	keys, err := g.keysFor(ctx, t, c.keys, a.kid, a.alg)
	if err != nil {
		return err
	}
	if len(keys) > maxTried {
		return refuseAssertion("must name its key in kid: this client publishes more than " + strconv.Itoa(maxTried) + " that fit")
	}
	var claims jwt.Claims
	verified := slices.ContainsFunc(keys, func(key jose.JSONWebKey) bool {
		return a.token.Claims(key.Key, &claims) == nil
	})
	if !verified {
		return refuseAssertion("is not signed with a key that this client publishes")
	}
	if err := g.checkClaims(t, claims); err != nil {
		return err
	}
	if !g.known(t, c) {
		// Each leaves a record of its jti until it expires.
		if ok, wait := g.limits.assertions.Allow(t.Name + " " + c.ID); !ok {
			return oauth.TooMany("too many assertions of this client", wait)
		}
	}
	return g.useUp(ctx, t, claims)
}

// known reports whether the operator knows a client: it is in the configuration,
// or is published on a host that logins of the tenant may be redirected to.
func (g *Registry) known(t *tenant.Tenant, c *Client) bool {
	return c.Verified || slices.Contains(t.Redirects.Hosts, c.Host)
}

// audiences are what an assertion may be for, first what it should be: clients
// of before RFC 7523bis name the endpoint they ask, and RFC 9126 §2 wants every
// one of these accepted. It counts once, wherever it is shown.
func audiences(t *tenant.Tenant) []string {
	return []string{t.Issuer, t.Issuer + "/token", t.Issuer + "/par"}
}

// checkClaims checks what a verified assertion says beside whom it is from.
func (g *Registry) checkClaims(t *tenant.Tenant, c jwt.Claims) error {
	now := g.now()
	switch {
	case len(c.Audience) != 1 || !slices.Contains(audiences(t), c.Audience[0]):
		// One value: an assertion for two servers can be replayed by either at
		// the other (RFC 7523bis §4).
		return refuseAssertion("must have one aud: " + t.Issuer)
	case c.Expiry == nil:
		return refuseAssertion("has no exp")
	case !now.Before(c.Expiry.Time().Add(leeway)):
		return refuseAssertion("has expired")
	case c.Expiry.Time().After(now.Add(maxLife + leeway)):
		return refuseAssertion("must expire within 10 minutes")
	case c.NotBefore != nil && c.NotBefore.Time().After(now.Add(leeway)):
		return refuseAssertion("is not valid yet")
	case c.IssuedAt != nil && c.IssuedAt.Time().After(now.Add(leeway)):
		return refuseAssertion("was issued in the future")
	case c.ID == "" || len(c.ID) > maxJTI:
		return refuseAssertion("needs a jti of at most 256 characters")
	}
	return nil
}

// useUp remembers the assertion's jti until nobody would take the assertion
// any more (RFC 7523 §3, 7). The store decides between two that come at once.
func (g *Registry) useUp(ctx context.Context, t *tenant.Tenant, c jwt.Claims) error {
	sum := sha256.Sum256([]byte(c.Issuer + "\x00" + c.ID))
	left := c.Expiry.Time().Add(leeway).Sub(g.now())
	err := g.used.Create(ctx, t.Name, base64.RawURLEncoding.EncodeToString(sum[:]), usedAssertion{}, left)
	switch {
	case errors.Is(err, store.ErrConflict):
		return refuseAssertion("was used before")
	case err != nil:
		return oauth.Unavailable(err)
	}
	return nil
}
