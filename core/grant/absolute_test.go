package grant

import (
	"testing"
	"time"
)

func TestNoRefreshMovesTheAbsoluteEnd(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t.Lifetimes.Absolute = 50 * 24 * time.Hour
	end := h.clock.now().Add(h.t.Lifetimes.Absolute)
	tokens := h.login(t)
	for range 2 { // 20 days, 40 days
		h.clock.advance(20 * 24 * time.Hour)
		var err error
		if tokens, err = h.Refresh(t.Context(), h.t, tokens.Refresh, right()); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.advance(10*24*time.Hour - time.Hour)
	tokens, err := h.Refresh(t.Context(), h.t, tokens.Refresh, right())
	if err != nil {
		t.Fatal(err)
	}
	if !tokens.Grant.Record.Expires.Equal(end) || tokens.ExpiresIn != time.Hour {
		t.Errorf("an hour before the end: the grant ends at %v and its access token in %v", tokens.Grant.Record.Expires, tokens.ExpiresIn)
	}
	for use, text := range map[Use]string{Access: tokens.Access, Refresh: tokens.Refresh} {
		if tok, err := h.open(use, h.t.Name, text); err != nil || tok.expires.After(end) {
			t.Errorf("%s token: ends at %v, %v", use, tok.expires, err)
		}
	}
	h.clock.advance(time.Hour)
	if _, err := h.Refresh(t.Context(), h.t, tokens.Refresh, right()); ReasonOf(err) != Expired {
		t.Errorf("refresh at the end: %v", err)
	}
	if _, err := h.driver.Get(t.Context(), "grant/music/"+tokens.Grant.ID); err == nil {
		t.Error("the record outlives the grant")
	}
}

func TestAbsoluteLifetimeMadeShorterCountsForTheGrantsThereAre(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t.Lifetimes.ReuseWindow = 2 * time.Minute
	code := h.code(t)
	tokens := h.login(t)
	before, err := h.Refresh(t.Context(), h.t, tokens.Refresh, right())
	if err != nil {
		t.Fatal(err)
	}
	live, err := h.Verify(t.Context(), h.t, before.Access)
	if err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Minute)

	h.t.Lifetimes.Absolute = 2 * time.Minute // another minute is left
	again, err := h.Refresh(t.Context(), h.t, tokens.Refresh, right())
	if err != nil || again.ExpiresIn != time.Minute {
		t.Errorf("the pair again: ends in %v, %v", again.ExpiresIn, err)
	}

	h.t.Lifetimes.Absolute = time.Minute
	for name, call := range map[string]func() error{
		"redeem":  func() error { _, err := h.Redeem(t.Context(), h.t, code, right()); return err },
		"refresh": func() error { _, err := h.Refresh(t.Context(), h.t, before.Refresh, right()); return err },
		"verify":  func() error { _, err := h.Verify(t.Context(), h.t, before.Access); return err },
		"lease":   func() error { _, err := h.Lease(t.Context(), h.t, live, "a", nil); return err },
	} {
		if err := call(); ReasonOf(err) != Gone {
			t.Errorf("%s of a grant that is over: %v", name, err)
		}
	}
}
