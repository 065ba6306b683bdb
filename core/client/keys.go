package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

const (
	maxKeySet = 32 << 10 // bytes
	maxKeys   = 16       // that are looked at
	maxTried  = 4        // that an assertion without a key id is checked with
	minRSA    = 2048     // bits, RFC 7518 §3.3
	// A signature costs more the larger these are, and the client chooses them.
	maxRSA      = 4096 // bits
	maxExponent = 65537
)

// keySource is where a client's public keys are: in its own metadata or at an
// address.
type keySource struct {
	inline  keySet
	uri     string
	alg     string // the only algorithm the client uses, if it says so
	trusted bool   // the operator wrote uri down
}

func (k keySource) isZero() bool { return len(k.inline) == 0 && k.uri == "" }

// keySet holds the public signature keys of one client.
type keySet []jose.JSONWebKey

// parseKeySet reads a JWK Set (RFC 7517 §5). Keys that are unknown to us,
// symmetric, private or meant for encryption are left out.
func parseKeySet(_ string, body []byte) (keySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, errors.New("is no JSON object with keys")
	}
	var set keySet
	for _, text := range raw.Keys[:min(len(raw.Keys), maxKeys)] {
		var key jose.JSONWebKey
		if json.Unmarshal(text, &key) == nil && key.Valid() && key.IsPublic() && (key.Use == "" || key.Use == "sig") {
			set = append(set, key)
		}
	}
	if len(set) == 0 {
		return nil, errors.New("has no public signature key")
	}
	return set, nil
}

// fitting returns the keys that may have signed with that key id and
// algorithm: the key decides what it is used for, not the token's header.
func (s keySet) fitting(kid string, alg jose.SignatureAlgorithm) keySet {
	var fit keySet
	for _, key := range s {
		if (kid == "" || key.KeyID == kid) && (key.Algorithm == "" || key.Algorithm == string(alg)) && fits(key.Key, alg) {
			fit = append(fit, key)
		}
	}
	return fit
}

func fits(key any, alg jose.SignatureAlgorithm) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return (alg == jose.RS256 || alg == jose.PS256) && key.N.BitLen() >= minRSA && key.N.BitLen() <= maxRSA && key.E <= maxExponent
	case *ecdsa.PublicKey:
		return alg == jose.ES256 && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	}
	return false
}

// keysFor returns the client's keys for a key id and algorithm. A key id that
// is not in the set as we know it may be new: the set is fetched again, but
// not more than once a minute for each address.
func (g *Registry) keysFor(ctx context.Context, t *tenant.Tenant, k keySource, kid string, alg jose.SignatureAlgorithm) (keySet, error) {
	if k.uri == "" {
		return k.inline.fitting(kid, alg), nil
	}
	u, err := documentURL(k.uri) // the same rules as for a document's address
	if err != nil {
		return nil, &oauth.Error{Code: oauth.InvalidClient, Description: "the client's jwks_uri is no usable https URL", Cause: err}
	}
	if !k.trusted && !reachable(t, u) {
		return nil, oauth.Errorf(oauth.InvalidClient, "this server takes no client keys from %s", u.Host)
	}
	at := address{id: k.uri, URL: u, named: k.trusted || hostNamed(t, u), written: k.trusted}
	set, err := g.keySets.get(ctx, t, at, time.Time{})
	if err != nil {
		return nil, err
	}
	if fit := set.fitting(kid, alg); len(fit) > 0 {
		return fit, nil
	}
	if set, err = g.keySets.get(ctx, t, at, g.now().Add(-retryAfter)); err != nil {
		return nil, err
	}
	return set.fitting(kid, alg), nil
}
