package grant

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// requireLogin puts the grant of tokens into the state.
func (h *harness) requireLogin(t *testing.T, tokens *Tokens, detail string) {
	t.Helper()
	l, err := h.Lease(t.Context(), h.t, h.mustVerify(t, tokens.Access), "me", nil)
	if err == nil {
		err = h.RequireLogin(t.Context(), h.t, l, "me", upstream.InteractionRequired, detail)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Tokens of a grant that needs a login are refused, in every process, and the
// record says why until its end.
func TestGrantThatNeedsALoginKeepsItsReason(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	other := h.replica(t)
	other.follow(t)
	other.mustVerify(t, tokens.Access)
	h.requireLogin(t, tokens, "upstream says interaction_required"+strings.Repeat("!", 2*maxDetail))

	for _, process := range []*harness{h, h.replica(t)} {
		if _, err := process.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) != LoginRequired {
			t.Errorf("verify: %v", err)
		}
		if _, err := process.Refresh(t.Context(), h.t, tokens.Refresh, Presented{ClientID: clientID}); ReasonOf(err) != LoginRequired {
			t.Errorf("refresh: %v", err)
		}
		if err := process.Stands(t.Context(), h.t, &Live{ID: tokens.Grant.ID}); ReasonOf(err) != LoginRequired {
			t.Errorf("stands: %v", err)
		}
		if _, err := process.Lease(t.Context(), h.t, tokens.Grant, "other", nil); ReasonOf(err) != LoginRequired {
			t.Errorf("lease: %v", err)
		}
	}
	grants, _, err := h.OfAccount(t.Context(), h.t, h.t.Account("42"))
	if err != nil || len(grants) != 1 || grants[0].State != NeedsLogin {
		t.Fatalf("of the account: %+v, %v", grants, err)
	}
	why := grants[0].LoginReason
	if why.Kind != upstream.InteractionRequired || len(why.Detail) != maxDetail || !why.Since.Equal(h.stamp()) {
		t.Errorf("reason %+v", why)
	}
	h.clock.advance(h.t.Lifetimes.Refresh + time.Second)
	if _, err := h.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) == "" {
		t.Errorf("after its end: %v", err)
	}
	if grants, _, err := h.OfAccount(t.Context(), h.t, h.t.Account("42")); err != nil || len(grants) != 0 {
		t.Errorf("after its end: %+v, %v", grants, err)
	}
}

// The next login of the account with the same client replaces the grant that
// needs one, and no other.
func TestNextLoginReplacesTheGrantThatNeedsIt(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	active, stopped := h.login(t), h.login(t)
	h.requireLogin(t, stopped, "")
	if _, err := h.Create(t.Context(), h.t, New{
		ClientID: "another client", Credential: &upstream.Credential{Account: upstream.Account{ID: "42"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Verify(t.Context(), h.t, stopped.Access); ReasonOf(err) != LoginRequired {
		t.Errorf("after a login with another client: %v", err)
	}
	h.login(t)
	if _, err := h.Verify(t.Context(), h.t, stopped.Access); ReasonOf(err) != Gone {
		t.Errorf("after the next login: %v", err)
	}
	h.mustVerify(t, active.Access)
}

// TestReleaseBeforeRefusesAGrantThatNeedsALogin holds the record to what the
// release of commit bd5c0ba reads: it refuses tokens of every state but active
// and pending, and deletes nothing for it.
func TestReleaseBeforeRefusesAGrantThatNeedsALogin(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	h.requireLogin(t, tokens, "x")
	rec, err := h.records.Get(t.Context(), h.t.Name, tokens.Grant.ID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := rec.MarshalBinary()
	if err != nil || !strings.HasPrefix(string(text), `{"state":"needs_login",`) || !strings.Contains(string(text), `"login_reason":{"kind":"interaction_required"`) {
		t.Errorf("stored as %s, %v", text, err)
	}
	if rec.State == Active || rec.State == Pending || rec.Lease != nil || rec.Journal != nil {
		t.Errorf("record %+v", rec)
	}
}
