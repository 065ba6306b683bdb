package sdk

import (
	"io"
	"math/rand/v2"
)

// Random returns the random bytes of the conversation, for nonces and the like:
// one stream that only the conversation's seed decides. It begins anew in every
// call of the operation and gives the same bytes under go test and in the
// sandbox. Most signatures of package crypto ignore the reader they are given.
// Sign with ECDSA and a nil reader (RFC 6979), RSA and PKCS #1 v1.5, or Ed25519:
// these need no random bytes.
func (c *Conversation) Random() io.Reader {
	if c.random == nil {
		c.random = newRandom(c.seed)
	}
	return c.random
}

// newRandom returns the stream of a seed in hexadecimal. It is not the stream
// that crypto/rand reads in the sandbox, so that no bytes come twice.
func newRandom(seed string) io.Reader {
	const other = 0x5a
	var key [32]byte
	for i := range key {
		key[i] = other
		if 2*i+1 < len(seed) {
			key[i] ^= nibble(seed[2*i])<<4 | nibble(seed[2*i+1])
		}
	}
	return rand.NewChaCha8(key)
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0
}
