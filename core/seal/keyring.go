// Package seal encrypts and authenticates everything Sallyport stores or hands
// out. It owns the key ring, the derivation of a key for each purpose, and the
// Secret type; it leaves what is sealed, and for how long it counts, to its
// callers. Nothing else in the tree opens stored bytes.
package seal

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeySize is the size of a server key in bytes.
const KeySize = 32

// ErrOpen says that bytes were not sealed by this ring for this purpose, or
// were changed since. It never says which.
var ErrOpen = errors.New("seal: cannot open")

// Key is one server key.
type Key struct {
	id     uint32
	secret Secret
}

// NewKey returns a random key.
func NewKey() Key {
	for {
		k := keyOf(random(KeySize))
		if _, err := ParseKey(k.Reveal()); err == nil { // chance could write a word
			return k
		}
	}
}

// ParseKey reads a key as `sallyport key new` prints it: 32 random bytes in
// base64url or standard base64, padded or not. It refuses anything shorter or
// longer and whatever was plainly not drawn at random: zeros and repetitions,
// words, and text made to look like a key.
func ParseKey(text string) (Key, error) {
	s := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(strings.TrimSpace(text))
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Key{}, errors.New("a key is 32 random bytes in base64; make one with: sallyport key new")
	}
	if len(b) != KeySize {
		return Key{}, fmt.Errorf("a key is 32 bytes, this one has %d; make one with: sallyport key new", len(b))
	}
	if distinct(b) < 16 || periodic(b) || periodic([]byte(s)) || written(b) || words(s) {
		// Random bytes are one of these less than once in 10^8 keys, and
		// practically always because of a word.
		return Key{}, errors.New("this key is not random; make one with: sallyport key new")
	}
	return keyOf(b), nil
}

// Reveal returns the key's text form.
func (k Key) Reveal() string {
	return base64.RawURLEncoding.EncodeToString([]byte(k.secret.Reveal()))
}

// String names the key by its id, which may be logged.
func (k Key) String() string { return fmt.Sprintf("key %08x", k.id) }

func keyOf(b []byte) Key {
	id := must(hkdf.Key(sha256.New, b, nil, "sallyport/v1/key-id", 4))
	return Key{id: binary.BigEndian.Uint32(id), secret: NewSecret(string(b))}
}

// Keyring seals with its newest key and opens with any. It is immutable and
// safe for concurrent use.
type Keyring struct {
	keys []Key // newest first
}

// NewKeyring takes the keys newest first. It refuses none at all and two
// with the same id.
func NewKeyring(keys ...Key) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("seal: a key ring needs at least one key; make one with: sallyport key new")
	}
	seen := map[uint32]bool{}
	for _, k := range keys {
		if seen[k.id] {
			return nil, fmt.Errorf("seal: %v is listed twice", k)
		}
		seen[k.id] = true
	}
	return &Keyring{keys: keys}, nil
}

// Purpose says what sealed bytes are for. Each distinct purpose has a key of
// its own, so bytes sealed for one do not open for another: a refresh token is
// no access token, a token of one tenant is none of the next.
type Purpose struct {
	Use    string // what the bytes are: access, code, grant, session, client …
	Tenant string
	Record string // the record they belong to, if any
	Secret Secret // a second half of the key that the server does not keep, if any
}

// info encodes the purpose without ambiguity for HKDF. The length of Secret is
// part of it, because HKDF pads its salt with zeros and hashes a long one.
func (p Purpose) info() string {
	var b []byte
	b = append(b, "sallyport/v1"...)
	for _, s := range []string{p.Use, p.Tenant, p.Record} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Secret.Reveal())))
	return string(b)
}

// key derives the purpose's key from a server key (RFC 5869).
func (p Purpose) key(k Key) []byte {
	return must(hkdf.Key(sha256.New, []byte(k.secret.Reveal()), []byte(p.Secret.Reveal()), p.info(), KeySize))
}

const headerSize = 4 + chacha20poly1305.NonceSizeX

// Overhead is how many bytes longer sealed bytes are than the plain ones.
const Overhead = headerSize + chacha20poly1305.Overhead

// Seal encrypts plain with the newest key: keyid ‖ nonce ‖ XChaCha20-Poly1305.
// The nonce has 192 bits, so random ones never repeat, however many tokens a
// tenant hands out.
func (r *Keyring) Seal(p Purpose, plain []byte) []byte {
	k := r.keys[0]
	out := make([]byte, headerSize, len(plain)+Overhead)
	binary.BigEndian.PutUint32(out, k.id)
	rand.Read(out[4:])
	aead := must(chacha20poly1305.NewX(p.key(k)))
	return aead.Seal(out, out[4:headerSize], plain, out[:4])
}

// Open decrypts what Seal returned for the same purpose, or ErrOpen.
func (r *Keyring) Open(p Purpose, sealed []byte) ([]byte, error) {
	k, ok := r.keyFor(sealed)
	if !ok || len(sealed) < Overhead {
		return nil, ErrOpen
	}
	aead := must(chacha20poly1305.NewX(p.key(k)))
	plain, err := aead.Open(nil, sealed[4:headerSize], sealed[headerSize:], sealed[:4])
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Newest tells whether sealed was sealed with the newest key: if not, it is to be
// sealed again when its record is written, so that the older keys can go.
func (r *Keyring) Newest(sealed []byte) bool {
	k, ok := r.keyFor(sealed)
	return ok && k.id == r.keys[0].id
}

// MAC returns an HMAC-SHA256 over sealed under the key that sealed it, or
// ErrOpen if the ring has lost that key. With it a secret can belong to a
// sealed value without being kept anywhere.
func (r *Keyring) MAC(p Purpose, sealed []byte) ([]byte, error) {
	k, ok := r.keyFor(sealed)
	if !ok {
		return nil, ErrOpen
	}
	m := hmac.New(sha256.New, p.key(k))
	m.Write(sealed)
	return m.Sum(nil), nil
}

func (r *Keyring) keyFor(sealed []byte) (Key, bool) {
	if len(sealed) < 4 {
		return Key{}, false
	}
	id := binary.BigEndian.Uint32(sealed)
	for _, k := range r.keys {
		if k.id == id {
			return k, true
		}
	}
	return Key{}, false
}

// RandomID returns n random bytes in base64url, for ids, states and nonces.
func RandomID(n int) string {
	return base64.RawURLEncoding.EncodeToString(random(n))
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}

func distinct(b []byte) int {
	var seen [256]bool
	n := 0
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}

// written tells whether b is text: a passphrase, a UUID, hex or base64 once more.
func written(b []byte) bool {
	return !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r > '~' })
}

// words tells whether the text of a key is words and no digits, all in one case,
// or has a word in it that stands for a key still to be made.
func words(s string) bool {
	lower := strings.ToLower(s)
	if !strings.ContainsAny(s, "0123456789") && (s == lower || s == strings.ToUpper(s)) {
		return true
	}
	return slices.ContainsFunc([]string{
		"changeme", "change-me", "change_me", "placeholder", "example", "insecure", "password", "sallyport", "secret-", "secret_", "secretkey",
		"your-key", "your_key", "yourkey", "replaceme", "replace-", "replace_", "testkey", "test-key", "test_key", "default-", "default_",
	}, func(word string) bool { return strings.Contains(lower, word) })
}

// periodic tells whether b repeats a beginning of at most half its length.
func periodic(b []byte) bool {
	for period := 1; period <= len(b)/2; period++ {
		if bytes.Equal(b[period:], b[:len(b)-period]) {
			return true
		}
	}
	return false
}

// must unwraps results whose errors depend on constants alone.
func must[T any](v T, err error) T {
	if err != nil {
		panic("seal: " + err.Error())
	}
	return v
}
