package seal

import (
	"crypto/ed25519"
	"fmt"
)

// SigningKey is an Ed25519 key (RFC 8032) that is derived and stored nowhere.
type SigningKey struct {
	ID      string // of the server key it comes from
	Private ed25519.PrivateKey
}

// SigningKeys derives the purpose's signing key from each server key, newest
// first. Sign with the first and publish them all: what was signed before a
// rotation verifies as long as the old key is in the ring.
func (r *Keyring) SigningKeys(p Purpose) []SigningKey {
	keys := make([]SigningKey, len(r.keys))
	for i, k := range r.keys {
		keys[i] = SigningKey{ID: fmt.Sprintf("%08x", k.id), Private: ed25519.NewKeyFromSeed(p.key(k))}
	}
	return keys
}
