package upstream

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Identity names one app at one upstream: the hash of the provider's name, our
// client id there, and what the provider's check calls the upstream. A
// credential, a code, a verifier and a secret belong to one Identity and are
// never sent to another. The zero value is an identity that is not known.
type Identity string

// identityPrefix makes an Identity recognizable in a configuration and a log.
const identityPrefix = "up_"

// NewIdentity returns the identity of the app clientID at the upstream that
// the provider calls name.
func NewIdentity(provider, clientID, name string) Identity {
	return Identity(identityPrefix + hashOf("upstream identity", provider, clientID, name))
}

// Mark says of a stored record whose it is.
type Mark struct {
	// Upstream is the app that the user granted access to. Zero: a release
	// without identities wrote the record.
	Upstream Identity `json:"upstream,omitempty"`
	// Former is what the same app is known by where the provider's module does
	// not name its upstream: a replica with an older module, or this one when the
	// operator goes back to it. Zero: the module named none either.
	Former Identity `json:"upstream_former,omitempty"`
}

// IsIdentity reports whether text is written as an Identity is.
func IsIdentity(text string) bool {
	hash, ok := strings.CutPrefix(text, identityPrefix)
	b, err := base64.RawURLEncoding.DecodeString(hash)
	return ok && err == nil && len(b) == hashSize
}

// AccountKey names one account at one upstream: the {issuer, id} that is
// compared, indexed and audited everywhere. The same id at another upstream is
// another account. It is comparable; the zero value is no account.
type AccountKey struct {
	Issuer Identity `json:"issuer,omitempty"` // whose account it is
	ID     string   `json:"id"`               // stable and unique at the issuer
}

// Hash returns a short name of the account that holds neither of its parts:
// letters, digits, '-' and '_'.
func (k AccountKey) Hash() string { return hashOf("account", string(k.Issuer), k.ID) }

const hashSize = 16 // bytes of SHA-256 that are kept

// hashOf hashes parts, each with its length so that no two lists of parts are
// written alike.
func hashOf(use string, parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{use}, parts...) {
		n := len(part)
		h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		h.Write([]byte(part))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:hashSize])
}
