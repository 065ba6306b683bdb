package upstream

import "time"

// RefreshRules say what a refresh does to the refresh token that it was made
// with. The zero value is an upstream whose refresh tokens go on, whether or
// not it issues new ones.
type RefreshRules struct {
	Rotates   bool          // each refresh answers with a new one
	SingleUse bool          // the old one is spent; sent again it may end all that was issued with it
	Grace     time.Duration // for so long after that it may be sent again all the same
}

// Resend tells whether a refresh token that may have been spent some time ago
// can be sent again without harm.
func (r RefreshRules) Resend(ago time.Duration) bool { return !r.SingleUse || ago < r.Grace }
