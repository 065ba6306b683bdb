package grant

import (
	"time"

	"github.com/sallyport/sallyport/core/oauth"
)

const (
	// codeProof is for how long after the login a used code can end its grant.
	codeProof = 10 * time.Minute
	// maxRepeatedRun is how many generations in a row may have their refresh
	// token repeated from another network than the rotation's: a thief who lives
	// beside the client does so at every rotation. Repeats from the same network
	// end nothing, because two processes of one program that share a token file
	// may repeat each other's at every rotation too.
	maxRepeatedRun = 5
	// suspectRepeats is how many repeats of one refresh token are worth a warning.
	suspectRepeats = 3
)

// Repeats counts how often the refresh token before the current one came again
// within the reuse window.
type Repeats struct {
	Count int `json:"n,omitempty"`   // for this generation
	Run   int `json:"run,omitempty"` // generations in a row with repeats from elsewhere, this one included
	// Network is the hash of the network that the rotation came from, and
	// Elsewhere whether a repeat came from another.
	Network   string `json:"from,omitempty"`
	Elsewhere bool   `json:"elsewhere,omitempty"`
}

// Suspect reports whether the repeats look like a second holder of the token.
func (r *Repeats) Suspect() bool { return r.Count >= suspectRepeats || r.Elsewhere }

// provesReplay reports whether a token request for a used code shows that it is
// this client's, and in time. The verifier is the proof: it was never in a URL.
func (s *Store) provesReplay(r *Record, p Presented) bool {
	return s.now().Sub(r.Created) <= codeProof && r.CodeProof != "" && r.CodeProof == shortProof(oauth.ChallengeOf(p.Verifier))
}

// shortProof is 48 bits of a challenge. A record has it for each login, and
// whoever has no verifier has one try in 2^48 to end a grant.
func shortProof(challenge oauth.CodeChallenge) string { return shortHash(string(challenge))[:8] }

// rotate makes the next refresh token the current one.
func (s *Store) rotate(r *Record, network string) {
	next := &Repeats{}
	if before := r.Repeats; before != nil && before.Elsewhere {
		next.Run = before.Run
	}
	if network != "" {
		next.Network = shortHash(network)[:8]
	}
	if r.Repeats = next; *next == (Repeats{}) {
		r.Repeats = nil
	}
	r.Generation++
	r.Rotated = s.stamp()
	if r.Rotated.Sub(r.Created) > codeProof {
		r.CodeProof = ""
	}
}

// repeat counts a repeat of the refresh token before the current one, and
// reports whether it is one too many.
func (r *Record) repeat(network string) (tooMany bool) {
	n := Repeats{}
	if r.Repeats != nil {
		n = *r.Repeats
	}
	n.Count++
	if elsewhere := network != "" && n.Network != "" && shortHash(network)[:8] != n.Network; elsewhere && !n.Elsewhere {
		n.Elsewhere = true
		n.Run++
	}
	r.Repeats = &n
	return n.Run > maxRepeatedRun
}
