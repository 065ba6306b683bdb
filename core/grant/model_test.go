package grant

import (
	"math/rand/v2"
	"testing"
	"time"
)

// model is the state machine of design, written down a second time in plain
// values: a grant is a state, a generation and two instants.
type model struct {
	state      string // pending, active, gone
	generation uint32
	rotated    time.Time
	expires    time.Time
}

func (m *model) lapse(now time.Time) {
	if !now.Before(m.expires) {
		m.state = "gone"
	}
}

func (m *model) redeem(now time.Time, refresh time.Duration) string {
	m.lapse(now)
	switch {
	case m.state == "gone":
		return "gone"
	case m.state == "active":
		m.state = "gone"
		return "code_reuse"
	}
	m.state, m.generation, m.expires = "active", 1, now.Add(refresh)
	return "ok"
}

func (m *model) refresh(now time.Time, tok issued, window, refresh time.Duration) string {
	m.lapse(now)
	switch {
	case !now.Before(tok.refreshEnds):
		return "expired"
	case m.state == "gone":
		return "gone"
	case tok.generation == m.generation:
		m.generation++
		m.rotated, m.expires = now, now.Add(refresh)
		return "ok"
	case tok.generation+1 == m.generation && now.Sub(m.rotated) <= window:
		return "ok"
	}
	m.state = "gone"
	return "refresh_reuse"
}

func (m *model) verify(now time.Time, tok issued) string {
	m.lapse(now)
	switch {
	case !now.Before(tok.accessEnds):
		return "expired"
	case m.state == "gone":
		return "gone"
	}
	return "ok"
}

// issued is a pair some actor holds.
type issued struct {
	tokens                  *Tokens
	generation              uint32
	accessEnds, refreshEnds time.Time
}

// TestGrantFollowsItsModel lets actors that hold old and new tokens of one
// grant act in random order and compares every answer with the model's.
func TestGrantFollowsItsModel(t *testing.T) {
	t.Parallel()
	first := rand.Uint64()
	seen := map[string]int{}
	for run := range uint64(2000) {
		if !follow(t, first+run, seen) {
			t.Fatalf("seed %d (run follow with it alone to see it again)", first+run)
		}
	}
	for _, outcome := range []string{
		"redeem ok", "redeem gone", "redeem code_reuse", "refresh ok", "refresh gone", "refresh expired", "refresh refresh_reuse",
		"verify ok", "verify gone", "verify expired",
	} {
		if seen[outcome] == 0 {
			t.Errorf("seed %d: no run reached %q: %v", first, outcome, seen)
		}
	}
}

func follow(t *testing.T, seed uint64, seen map[string]int) bool {
	h := newHarness(t)
	r := rand.New(rand.NewPCG(seed, 0))
	life := h.t.Lifetimes
	code := h.code(t)
	m := &model{state: "pending", expires: h.clock.now().Add(life.Code)}
	var held []issued
	var id string

	hold := func(tokens *Tokens) {
		now := h.clock.now()
		access := now.Add(life.Access)
		if access.After(m.expires) {
			access = m.expires
		}
		held, id = append(held, issued{tokens, m.generation, access, m.expires}), tokens.Grant.ID
	}
	pick := func() issued { // mostly new ones
		return held[max(0, len(held)-1-int(r.ExpFloat64()*1.2))]
	}
	for step := range 24 {
		var what, got, want string
		switch n := r.IntN(20); {
		case len(held) == 0 || n == 0:
			tokens, err := h.Redeem(t.Context(), h.t, code, right())
			what, got, want = "redeem", outcome(err), m.redeem(h.clock.now(), life.Refresh)
			if err == nil {
				hold(tokens)
			}
		case n < 9:
			tok := pick()
			tokens, err := h.Refresh(t.Context(), h.t, tok.tokens.Refresh, Presented{ClientID: clientID})
			what, got, want = "refresh", outcome(err), m.refresh(h.clock.now(), tok, life.ReuseWindow, life.Refresh)
			if err == nil {
				hold(tokens)
			}
		case n < 14:
			tok := pick()
			live, err := h.Verify(t.Context(), h.t, tok.tokens.Access)
			what, got, want = "verify", outcome(err), m.verify(h.clock.now(), tok)
			if err == nil && live.Credential.AccessToken.Reveal() != "up-at" {
				t.Errorf("seed %d: the credential did not survive", seed)
			}
		case n < 19:
			h.clock.advance([]time.Duration{time.Second, time.Minute, 3 * time.Minute, 7 * time.Hour, 8 * 24 * time.Hour}[r.IntN(5)])
			continue
		default:
			if _, err := h.Delete(t.Context(), h.t.Name, id); err != nil && ReasonOf(err) != Gone {
				t.Errorf("delete: %v", err)
			}
			m.state = "gone"
			continue
		}
		seen[what+" "+got]++
		if got != want {
			t.Errorf("step %d, %s: got %s, want %s (model %+v)", step, what, got, want, *m)
			return false
		}
	}
	return true
}
