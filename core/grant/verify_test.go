package grant

import (
	"testing"
	"time"
)

func TestRememberedTokenAsksNoStore(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	var first, again *Live
	if n := h.operations(func() { first, again = h.mustVerify(t, tokens.Access), h.mustVerify(t, tokens.Access) }); n != 0 {
		t.Errorf("right after the login: %d operations, want 0", n)
	}
	if first != again || again.Credential.AccessToken.Reveal() != "up-at" || !again.Token.Expires.Equal(h.clock.now().Add(24*time.Hour)) {
		t.Errorf("remembered: %+v", again)
	}
	h.clock.advance(cacheTTL - time.Second)
	if n := h.operations(func() { h.mustVerify(t, tokens.Access) }); n != 0 {
		t.Errorf("within the time to remember: %d operations, want 0", n)
	}
	h.clock.advance(time.Second)
	if n := h.operations(func() { h.mustVerify(t, tokens.Access) }); n != 2 {
		t.Errorf("after the time to remember: %d operations, want 2, of the grant and of the times of RevokeBefore", n)
	}
	other := h.replica(t)
	if n := other.operations(func() { other.mustVerify(t, tokens.Access); other.mustVerify(t, tokens.Access) }); n != 2 {
		t.Errorf("two calls at another process: %d operations, want 2", n)
	}
}

// mustVerify verifies a token that has to count.
func (h *harness) mustVerify(t testing.TB, access string) *Live {
	t.Helper()
	l, err := h.Verify(t.Context(), h.t, access)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestRememberedTokenCountsNoLongerThanItsTime(t *testing.T) {
	t.Parallel()
	for name, shorten := range map[string]func(*harness){
		"token":         func(h *harness) { h.t.Lifetimes.Access = 3 * time.Second },
		"grant":         func(h *harness) { h.t.Lifetimes.Refresh = 3 * time.Second },
		"absolute life": func(h *harness) { h.t.Lifetimes.Absolute = 3 * time.Second },
	} {
		h := newHarness(t)
		shorten(h)
		tokens := h.login(t)
		h.clock.advance(2 * time.Second)
		h.mustVerify(t, tokens.Access)
		h.clock.advance(time.Second)
		if _, err := h.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) != Expired {
			t.Errorf("%s: at its end: %v", name, err)
		}
	}
}

func TestRememberedTokenCountsAtItsTenantAsItIsNow(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	h.mustVerify(t, tokens.Access)
	other := *h.t
	other.Name, other.Issuer = "octo", "https://octo.example"
	if _, err := h.Verify(t.Context(), &other, tokens.Access); ReasonOf(err) != BadToken {
		t.Errorf("at another tenant: %v", err)
	}
	moved := *h.t // the same tenant after a reload
	moved.Issuer = "https://moved.example"
	if _, err := h.Verify(t.Context(), &moved, tokens.Access); ReasonOf(err) != WrongResource {
		t.Errorf("at another URL: %v", err)
	}
	short := *h.t
	short.Lifetimes.Absolute = time.Second
	h.clock.advance(time.Second)
	if _, err := h.Verify(t.Context(), &short, tokens.Access); ReasonOf(err) != Gone {
		t.Errorf("after its absolute life was made shorter: %v", err)
	}
	h.mustVerify(t, tokens.Access)
}

func TestNothingLikeARememberedTokenCounts(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	h.mustVerify(t, tokens.Access)
	for i := range tokens.Access {
		changed := []byte(tokens.Access)
		if changed[i]++; changed[i] > 'z' {
			changed[i] = '0'
		}
		if _, err := h.Verify(t.Context(), h.t, string(changed)); ReasonOf(err) != BadToken {
			t.Errorf("character %d changed: %v", i, err)
		}
	}
	for name, text := range map[string]string{"its refresh token": tokens.Refresh, "cut": tokens.Access[:117], "longer": tokens.Access + "A", "empty": ""} {
		if _, err := h.Verify(t.Context(), h.t, text); ReasonOf(err) != BadToken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatThisProcessChangesIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*harness, *Tokens) error{
		"revoke": func(h *harness, k *Tokens) error {
			_, err := h.Revoke(t.Context(), h.t, k.Refresh, clientID)
			return err
		},
		"delete":     func(h *harness, k *Tokens) error { _, err := h.Delete(t.Context(), h.t.Name, k.Grant.ID); return err },
		"delete all": func(h *harness, _ *Tokens) error { _, err := h.DeleteAll(t.Context(), h.t.Name); return err },
		"client": func(h *harness, _ *Tokens) error {
			_, err := h.DeleteClient(t.Context(), h.t.Name, clientID)
			return err
		},
	} {
		h := newHarness(t)
		tokens := h.login(t)
		h.mustVerify(t, tokens.Access)
		if err := end(h, tokens); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := h.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) != Gone {
			t.Errorf("after %s: %v", name, err)
		}
	}
	h := newHarness(t)
	tokens := h.login(t)
	l := h.mustVerify(t, tokens.Access)
	renewed := *l.Credential
	renewed.TokenType = "renewed"
	if _, err := h.Lease(t.Context(), h.t, l, "me", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Renew(t.Context(), h.t, l, "me", &renewed); err != nil {
		t.Fatal(err)
	}
	if got := h.mustVerify(t, tokens.Access).Credential.TokenType; got != "renewed" {
		t.Errorf("after a renewal the credential is %q", got)
	}
}

func TestGrantThatAnotherProcessEndsIsGoneAtOnceOrWithinTheTimeToRemember(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		a := newHarness(t)
		b := a.replica(t)
		b.follow(t)
		tokens := a.login(t)
		b.mustVerify(t, tokens.Access)
		a.driver.Cut(cut)
		if _, err := a.Revoke(t.Context(), a.t, tokens.Access, clientID); err != nil {
			t.Fatal(err)
		}
		_, err := b.Verify(t.Context(), b.t, tokens.Access)
		if cut {
			if err != nil {
				t.Errorf("nothing was announced, and b asked the store: %v", err)
			}
			b.clock.advance(cacheTTL)
			_, err = b.Verify(t.Context(), b.t, tokens.Access)
		}
		if ReasonOf(err) != Gone {
			t.Errorf("announcements cut: %v; b says %v", cut, err)
		}
	}
}

// The command line has no cache, and its deletions are heard all the same.
func TestProcessThatRemembersNothingAnnounces(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.follow(t)
	tokens := h.login(t)
	h.mustVerify(t, tokens.Access)
	command := NewStore(h.driver, h.keys, h.clock.now)
	if ended, err := command.DeleteClient(t.Context(), h.t.Name, clientID); len(ended) != 1 || err != nil {
		t.Fatal(ended, err)
	}
	if _, err := h.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) != Gone {
		t.Errorf("afterwards: %v", err)
	}
}

// A renewal is announced too: the upstream may have ended the credential that
// others remember.
func TestCredentialRenewedElsewhereIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	a := newHarness(t)
	b := a.replica(t)
	b.follow(t)
	tokens := a.login(t)
	l := b.mustVerify(t, tokens.Access)
	renewed := *l.Credential
	renewed.TokenType = "renewed"
	if _, err := a.Lease(t.Context(), a.t, l, "a", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Renew(t.Context(), a.t, l, "a", &renewed); err != nil {
		t.Fatal(err)
	}
	if got := b.mustVerify(t, tokens.Access).Credential.TokenType; got != "renewed" {
		t.Errorf("b has the credential %q", got)
	}
}

// What another process changed without announcing it is found out by the swap,
// and a refusal is never made up from what is remembered.
func TestChangeStartsFromWhatIsRememberedAndDecidesNothingOnIt(t *testing.T) {
	t.Parallel()
	a := newHarness(t)
	b := a.replica(t)
	tokens := a.login(t)
	b.mustVerify(t, tokens.Access) // b remembers generation 1
	next, err := a.Refresh(t.Context(), a.t, tokens.Refresh, right())
	if err != nil {
		t.Fatal(err)
	}
	// Remembered, this is a token of the future and would be refused.
	if _, err := b.Refresh(t.Context(), b.t, next.Refresh, right()); err != nil {
		t.Errorf("refresh at b: %v", err)
	}
	// a remembers generation 2 as the newest; its own answer would be generation 3.
	third, err := a.Refresh(t.Context(), a.t, next.Refresh, right())
	if err != nil || third.Grant.Record.Generation != 3 {
		t.Errorf("the pair again at a: %+v, %v", third, err)
	}
	code := a.code(t)
	if _, err := b.Redeem(t.Context(), b.t, code, right()); err != nil {
		t.Fatal(err)
	}
	// a remembers the grant as pending; the code is used all the same.
	if _, err := a.Redeem(t.Context(), a.t, code, right()); ReasonOf(err) != CodeReuse {
		t.Errorf("a used code at a: %v", err)
	}
}

// The callback comes to one process, the code to another, and the first call to
// the first again, which remembers that the code was never used.
func TestTokenIsNotRefusedForWhatIsRemembered(t *testing.T) {
	t.Parallel()
	a := newHarness(t)
	b := a.replica(t)
	tokens, err := b.Redeem(t.Context(), b.t, a.code(t), right())
	if err != nil {
		t.Fatal(err)
	}
	a.mustVerify(t, tokens.Access)
}

func TestOperationsOfARefresh(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	refresh := func() {
		var err error
		if tokens, err = h.Refresh(t.Context(), h.t, tokens.Refresh, right()); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.operations(refresh); n != 1 {
		t.Errorf("of a grant that is remembered: %d, want 1", n)
	}
	h.clock.advance(time.Hour)
	if n := h.operations(refresh); n != 3 {
		t.Errorf("of a grant that is not: %d, want 3", n)
	}
}

func BenchmarkVerify(b *testing.B) {
	for name, forget := range map[string]bool{"remembered": false, "read": true} {
		b.Run(name, func(b *testing.B) {
			h := newHarness(b)
			tokens := h.login(b)
			if forget {
				h.forget()
			}
			h.mustVerify(b, tokens.Access)
			b.ReportAllocs()
			asked := h.operations(func() {
				for b.Loop() {
					if _, err := h.Verify(b.Context(), h.t, tokens.Access); err != nil {
						b.Fatal(err)
					}
				}
			})
			if !forget && asked > 0 {
				b.Errorf("%d calls asked the store %d times, want never", b.N, asked)
			}
		})
	}
}
