package grant

import (
	"testing"
	"time"
)

func TestUsedCodeWithoutProofEndsNothing(t *testing.T) {
	t.Parallel()
	wrong := right()
	wrong.Verifier = "another-verifier-of-the-right-length-0123456789"
	none := right()
	none.Verifier = ""
	for name, c := range map[string]struct {
		after time.Duration
		p     Presented
		want  Reason
	}{
		"without the verifier":       {time.Minute, none, CodeUsed},
		"with another verifier":      {time.Minute, wrong, CodeUsed},
		"twenty days later":          {20 * 24 * time.Hour, right(), CodeUsed},
		"later, without verifier":    {20 * 24 * time.Hour, none, CodeUsed},
		"eleven minutes later":       {11 * time.Minute, right(), CodeUsed},
		"with the verifier, at once": {time.Second, right(), CodeReuse},
		"nine minutes later":         {9 * time.Minute, right(), CodeReuse},
	} {
		h := newHarness(t)
		code := h.code(t)
		tokens, err := h.Redeem(t.Context(), h.t, code, right())
		if err != nil {
			t.Fatal(err)
		}
		h.clock.advance(c.after)
		if _, err := h.Redeem(t.Context(), h.t, code, c.p); ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		_, err = h.Refresh(t.Context(), h.t, tokens.Refresh, right())
		if ended := ReasonOf(err) == Gone; ended != (c.want == CodeReuse) {
			t.Errorf("%s: the grant after that: %v", name, err)
		}
	}
}

// from is a token request from a network.
func from(network string) Presented {
	p := right()
	p.Network = network
	return p
}

func TestRepeatedRefreshTokensAreCounted(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	first := h.login(t)
	refresh := func(token, network string) *Tokens {
		t.Helper()
		tokens, err := h.Refresh(t.Context(), h.t, token, from(network))
		if err != nil {
			t.Fatal(err)
		}
		return tokens
	}
	second := refresh(first.Refresh, "192.0.2.0/24")
	if second.Repeated != nil {
		t.Errorf("a rotation is a repeat: %+v", second.Repeated)
	}
	for n := 1; n <= 3; n++ {
		got := refresh(first.Refresh, "192.0.2.0/24")
		if got.Repeated == nil || got.Repeated.Count != n || got.Repeated.Suspect() != (n >= suspectRepeats) {
			t.Errorf("repeat %d: %+v", n, got.Repeated)
		}
	}
	if got := refresh(first.Refresh, "198.51.100.0/24"); !got.Repeated.Elsewhere {
		t.Errorf("a repeat from another network: %+v", got.Repeated)
	}
	if got := refresh(second.Refresh, ""); got.Repeated != nil {
		t.Errorf("the next rotation: %+v", got.Repeated)
	}
}

func TestRepeatsFromElsewhereInManyGenerationsEndTheGrant(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t.Lifetimes.ReuseWindow = 2 * time.Minute
	tokens := h.login(t)
	thief := func() error { // repeats what the client has just rotated away, 90 s later
		before := tokens.Refresh
		var err error
		if tokens, err = h.Refresh(t.Context(), h.t, before, from("192.0.2.0/24")); err != nil {
			t.Fatal(err)
		}
		h.clock.advance(90 * time.Second)
		_, err = h.Refresh(t.Context(), h.t, before, from("198.51.100.0/24"))
		return err
	}
	for generation := range maxRepeatedRun {
		if err := thief(); err != nil {
			t.Fatalf("generation %d: %v", generation, err)
		}
	}
	if err := thief(); ReasonOf(err) != RefreshReuse {
		t.Errorf("repeats in %d generations: %v", maxRepeatedRun+1, err)
	}
	if h.driver.Keys("grant/") != 0 {
		t.Error("the grant lives on")
	}
}

func TestRunOfRepeatsEndsWithAGenerationAtHome(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	for n := range 4 * maxRepeatedRun {
		before := tokens.Refresh
		var err error
		if tokens, err = h.Refresh(t.Context(), h.t, before, from("192.0.2.0/24")); err != nil {
			t.Fatalf("generation %d: %v", n, err)
		}
		network := "198.51.100.0/24"
		if n%maxRepeatedRun == 0 {
			network = "192.0.2.0/24" // this one is repeated at home
		}
		if _, err := h.Refresh(t.Context(), h.t, before, from(network)); err != nil {
			t.Fatalf("repeat of generation %d: %v", n, err)
		}
	}
}

// TestTwoProcessesOfOneProgramMayRepeatAlways: they share a token file, and each
// refreshes with what was in it.
func TestTwoProcessesOfOneProgramMayRepeatAlways(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	for n := range 4 * maxRepeatedRun {
		before := tokens.Refresh
		var err error
		for process := range 2 {
			if tokens, err = h.Refresh(t.Context(), h.t, before, from("192.0.2.0/24")); err != nil {
				t.Fatalf("generation %d, process %d: %v", n, process, err)
			}
		}
	}
}
