// Package assertion tells a backend who calls: a short JWT, signed for one
// backend, with what the grant knows of the user. It owns the claims, the
// tenant's signing keys and the key set that verifies them; it leaves who is
// admitted to package gateway and publishing the set to package metadata.
package assertion

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	// Type is the typ of the header: a backend that checks it takes no other
	// JWT for an assertion (RFC 8725 §3.11).
	Type = "sallyport-assertion+jwt"
	// Life is how long an assertion is good for, counted from its iat.
	Life = 5 * time.Minute
	// reuse is how long one is handed out. What a backend gets is good for
	// Life - reuse at least.
	reuse = Life / 2
)

// Claims are what an assertion says. The audience is the backend's origin.
type Claims struct {
	jwt.Claims
	Tenant   string `json:"tenant"`
	Account  string `json:"account,omitempty"` // the user's name for people; sub is the stable id
	ClientID string `json:"client_id"`         // the client's hash, as in audit lines: a client id is long
	Scope    string `json:"scope,omitempty"`
	Grant    string `json:"grant"` // names the login in audit lines
	// Upstream is whose account sub is: the same sub of another upstream is
	// another user.
	Upstream upstream.Identity `json:"upstream_identity,omitempty"`
}

// Issuer signs assertions. It keeps those of the last minutes, because every
// call of a user carries the same one.
type Issuer struct {
	keys *seal.Keyring
	now  func() time.Time

	mu          sync.Mutex
	young, old  map[subject]signed // old is what was young a while ago
	generations time.Time          // when young began
}

// subject is whom an assertion is about, and to whom it speaks.
type subject struct {
	issuer, grant, audience string
	upstream                upstream.Identity
}

type signed struct {
	text string
	at   time.Time
}

// maxYoung bounds each of the two generations that are kept.
const maxYoung = 4096

// NewIssuer returns an Issuer. A nil now means time.Now.
func NewIssuer(keys *seal.Keyring, now func() time.Time) *Issuer {
	if now == nil {
		now = time.Now
	}
	return &Issuer{keys: keys, now: now, young: map[subject]signed{}}
}

// Issue returns an assertion about the user of a grant for the backend at
// audience.
func (i *Issuer) Issue(t *tenant.Tenant, l *grant.Live, audience string) (string, error) {
	about, now := subject{t.Issuer, l.ID, audience, l.Record.Upstream}, i.now()
	if text, ok := i.kept(about, now); ok {
		return text, nil
	}
	text, err := i.sign(t, l, audience, now)
	if err != nil {
		return "", fmt.Errorf("assertion: %w", err)
	}
	i.keep(about, signed{text, now})
	return text, nil
}

func (i *Issuer) sign(t *tenant.Tenant, l *grant.Live, audience string, now time.Time) (string, error) {
	key := i.keys.SigningKeys(purpose(t))[0]
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key.Private, KeyID: key.ID}},
		(&jose.SignerOptions{}).WithType(Type))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(Claims{
		Claims: jwt.Claims{
			Issuer: t.Issuer, Subject: l.Record.Subject, Audience: jwt.Audience{audience},
			IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(Life)),
		},
		Tenant: t.Name, Account: l.Record.AccountName, ClientID: l.Record.ClientHash,
		Scope: strings.Join(l.Record.Scopes, " "), Grant: l.ID, Upstream: l.Record.Upstream,
	}).Serialize()
}

func (i *Issuer) kept(about subject, now time.Time) (string, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, ok := i.young[about]
	if !ok {
		s, ok = i.old[about]
	}
	return s.text, ok && now.Sub(s.at) < reuse
}

// keep makes room by whole generations: what is in the old one is past reuse,
// or one of too many.
func (i *Issuer) keep(about subject, s signed) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.young) >= maxYoung || s.at.Sub(i.generations) >= reuse {
		i.young, i.old, i.generations = map[subject]signed{}, i.young, s.at
	}
	i.young[about] = s
}

// Keys is the set that verifies a tenant's assertions (RFC 7517 §5): a key for
// every server key, so that a rotation of those is none a backend has to know
// of.
func Keys(keys *seal.Keyring, t *tenant.Tenant) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, key := range keys.SigningKeys(purpose(t)) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.Private.Public(), KeyID: key.ID, Algorithm: string(jose.EdDSA), Use: "sig"})
	}
	return set
}

func purpose(t *tenant.Tenant) seal.Purpose {
	return seal.Purpose{Use: "assertion", Tenant: t.Name}
}
