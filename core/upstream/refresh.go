package upstream

import "time"

// RefreshRules say what a refresh does to the refresh token that it was made
// with. The zero value is an upstream whose refresh tokens go on, whether or
// not it issues new ones.
type RefreshRules struct {
	Rotates   bool          // each refresh answers with a new one
	SingleUse bool          // the old one is spent; sent again it may end all that was issued with it
	Grace     time.Duration // for so long after that it may be sent again all the same
	// EndsAccessToken says that a refresh ends the access token of before at
	// once, so that a call must not go on with it meanwhile.
	EndsAccessToken bool
	// None says that the upstream issues no refresh tokens to this tenant: a
	// login without one is as expected.
	None bool
}

// Resend tells whether a refresh token that may have been spent some time ago
// can be sent again without harm.
func (r RefreshRules) Resend(ago time.Duration) bool { return !r.SingleUse || ago < r.Grace }
