package grant

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/seal"
)

// Use is what a token is good for.
type Use string

// The uses.
const (
	Code    Use = "code"
	Access  Use = "access"
	Refresh Use = "refresh"
)

// prefix of a token, so that secret scanners can find leaked ones.
func (u Use) prefix() string {
	switch u {
	case Code:
		return "sp_ac_"
	case Access:
		return "sp_at_"
	default:
		return "sp_rt_"
	}
}

// token is what a code, an access token or a refresh token says once it is
// open: which grant, which generation of it, until when, and the half of the
// credential's key that the server does not keep.
type token struct {
	grant      [16]byte
	generation uint32
	expires    time.Time // whole seconds; a code or refresh token expires with its record
	secret     [16]byte
}

const (
	tokenSize   = 16 + 4 + 4 + 16                               // bytes
	tokenLength = len("sp_at_") + (tokenSize+seal.Overhead)*4/3 // characters of its text
)

// id is the record's id.
func (t token) id() string { return base64.RawURLEncoding.EncodeToString(t.grant[:]) }

// grantSecret is the client's half of the key.
func (t token) grantSecret() seal.Secret { return seal.NewSecret(string(t.secret[:])) }

// mint seals t for one use at one tenant. The token is a pointer, tokenLength
// characters long; nothing in it can be read or changed without a server key.
func (s *Store) mint(use Use, tenant string, t token) string {
	b := make([]byte, 0, tokenSize)
	b = append(b, t.grant[:]...)
	b = binary.BigEndian.AppendUint32(b, t.generation)
	b = binary.BigEndian.AppendUint32(b, uint32(t.expires.Unix())) // until 2106
	b = append(b, t.secret[:]...)
	sealed := s.keys.Seal(seal.Purpose{Use: string(use), Tenant: tenant}, b)
	return use.prefix() + base64.RawURLEncoding.EncodeToString(sealed)
}

// open is the reverse of mint. It asks no store: a forged token, one of
// another tenant or one made for another use costs a single failed decryption.
func (s *Store) open(use Use, tenant, text string) (token, error) {
	encoded, ok := strings.CutPrefix(text, use.prefix())
	if !ok || len(encoded) > 256 || strings.ContainsAny(encoded, "\r\n") { // which base64 would skip
		return token{}, refuse(BadToken)
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return token{}, refuse(BadToken)
	}
	b, err := s.keys.Open(seal.Purpose{Use: string(use), Tenant: tenant}, sealed)
	if err != nil || len(b) != tokenSize {
		return token{}, refuse(BadToken)
	}
	var t token
	copy(t.grant[:], b)
	t.generation = binary.BigEndian.Uint32(b[16:])
	t.expires = time.Unix(int64(binary.BigEndian.Uint32(b[20:])), 0)
	copy(t.secret[:], b[24:])
	if !s.now().Before(t.expires) {
		return t, refuse(Expired)
	}
	return t, nil
}

// HashClient is how a record names its client.
func HashClient(clientID string) string { return shortHash(clientID) }

// shortHash is 128 bits of SHA-256 in characters that a key may have.
func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
