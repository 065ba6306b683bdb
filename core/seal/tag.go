package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// TagSize is the length of a tag in bytes: four that name the key, and half of
// an HMAC-SHA256 (RFC 2104 §5).
const TagSize = 4 + sha256.Size/2

// Tag returns a tag that proves that this ring has seen message for the purpose.
// The same message has the same tag until the ring has a newer key.
func (r *Keyring) Tag(p Purpose, message []byte) []byte { return tag(r.keys[0], p, message) }

// CheckTag reports whether Tag of this ring made the tag, with its newest key or
// an older one, for the same purpose and message.
func (r *Keyring) CheckTag(p Purpose, message, given []byte) bool {
	k, ok := r.keyFor(given)
	return ok && hmac.Equal(tag(k, p, message), given)
}

func tag(k Key, p Purpose, message []byte) []byte {
	m := hmac.New(sha256.New, p.key(k))
	m.Write(message)
	return append(binary.BigEndian.AppendUint32(nil, k.id), m.Sum(nil)[:TagSize-4]...)
}
