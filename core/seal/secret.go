package seal

import "crypto/subtle"

// Secret is a string that cannot print itself: fmt, JSON, text encoders and
// loggers show a placeholder. Reveal is the one way to the value, easy to find
// in a review.
//
// The value sits behind a pointer because fmt does not call methods on
// unexported fields: a struct that hides a Secret prints an address.
type Secret struct{ value *string }

const redacted = "[redacted]"

// NewSecret wraps value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{&value}
}

// Reveal returns the value.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero tells whether there is no value.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal compares with other in time that depends on the lengths alone.
func (s Secret) Equal(other string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other)) == 1
}

// String returns a placeholder.
func (Secret) String() string { return redacted }

// GoString returns a placeholder, for %#v.
func (Secret) GoString() string { return redacted }

// MarshalText returns a placeholder, for JSON and other encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
