package grant

import (
	"errors"
	"testing"
	"time"
)

func TestRevoke(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		client string
		use    func(t *testing.T, h *harness, tokens *Tokens) string
		want   string
	}{
		"access token":  {clientID, func(_ *testing.T, _ *harness, k *Tokens) string { return k.Access }, "ok"},
		"refresh token": {clientID, func(_ *testing.T, _ *harness, k *Tokens) string { return k.Refresh }, "ok"},
		"refresh token that was replaced": {clientID, func(t *testing.T, h *harness, k *Tokens) string {
			if _, err := h.Store.Refresh(t.Context(), h.t, k.Refresh, right()); err != nil {
				t.Fatal(err)
			}
			return k.Refresh
		}, "ok"},
		"another client": {"another", func(_ *testing.T, _ *harness, k *Tokens) string { return k.Access }, string(WrongClient)},
		"expired": {clientID, func(_ *testing.T, h *harness, k *Tokens) string {
			h.clock.advance(25 * time.Hour)
			return k.Access
		}, string(Expired)},
		"gone": {clientID, func(t *testing.T, h *harness, k *Tokens) string {
			if _, err := h.Delete(t.Context(), h.t.Name, k.Grant.ID); err != nil {
				t.Fatal(err)
			}
			return k.Access
		}, string(Gone)},
		"changed":      {clientID, func(_ *testing.T, _ *harness, k *Tokens) string { return k.Access + "A" }, string(BadToken)},
		"none of ours": {clientID, func(*testing.T, *harness, *Tokens) string { return "x" }, string(BadToken)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			tokens := h.login(t)
			l, err := h.Revoke(t.Context(), h.t, c.use(t, h, tokens), c.client)
			if got := outcome(err); got != c.want || (l != nil) != (c.want == "ok") {
				t.Fatalf("%v %s, want %s", l, got, c.want)
			}
			if l != nil && (l.ID != tokens.Grant.ID || l.Credential.RefreshToken.Reveal() != "up-rt") {
				t.Errorf("what was revoked: %+v", l)
			}
			gone := c.want == "ok" || c.want == string(Gone) || c.want == string(Expired)
			if _, err := h.Verify(t.Context(), h.t, tokens.Access); (err != nil) != gone {
				t.Errorf("the access token afterwards: %v", err)
			}
		})
	}
}

func TestRevokeOfAPendingGrantEndsItsCode(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	code := h.code(t)
	if l, err := h.Revoke(t.Context(), h.t, code, clientID); err != nil || l.Credential == nil {
		t.Fatal(l, err)
	}
	if _, err := h.Redeem(t.Context(), h.t, code, right()); ReasonOf(err) != Gone {
		t.Errorf("the code afterwards: %v", err)
	}
}

func TestRevokeEndsAGrantWhoseCredentialCannotBeOpened(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	_, err := h.records.Update(t.Context(), h.t.Name, tokens.Grant.ID, func(r *Record) (time.Duration, error) {
		r.Credential = []byte("broken")
		return time.Hour, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := h.Revoke(t.Context(), h.t, tokens.Access, clientID)
	if err != nil || l.Credential != nil || l.Record.Subject != "42" {
		t.Fatal(l, err)
	}
	if n := h.driver.Keys("grant/"); n != 0 {
		t.Errorf("%d records left", n)
	}
}

func TestRevokeWithoutTheStoreIsNoRefusal(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	h.driver.Fail(func(string, string) error { return errors.New("engine down") })
	if _, err := h.Revoke(t.Context(), h.t, tokens.Access, clientID); outcome(err) != "engine down" {
		t.Errorf("got %v", err)
	}
}

func TestTimesOfAToken(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	began := h.clock.now()
	first := h.login(t)
	h.clock.advance(time.Hour)
	second, err := h.Store.Refresh(t.Context(), h.t, first.Refresh, right())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		token string
		want  Times
	}{
		"the newest":     {second.Access, Times{Issued: began.Add(time.Hour), Expires: began.Add(25 * time.Hour)}},
		"the one before": {first.Access, Times{Expires: began.Add(24 * time.Hour)}},
	} {
		l, err := h.Verify(t.Context(), h.t, c.token)
		if err != nil || !l.Token.Issued.Equal(c.want.Issued) || !l.Token.Expires.Equal(c.want.Expires) {
			t.Errorf("%s: %+v, %v, want %+v", name, l.Token, err, c.want)
		}
	}
}
