package grant

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/upstream"
)

func TestRefusedRedeemBurnsNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	code := h.code(t)
	for name, c := range map[string]struct {
		change func(*Presented)
		want   Reason
	}{
		"another client":       {func(p *Presented) { p.ClientID = "other" }, WrongClient},
		"another redirect URI": {func(p *Presented) { p.RedirectURI += "x" }, WrongRedirect},
		"no verifier":          {func(p *Presented) { p.Verifier = "" }, WrongVerifier},
		"another verifier":     {func(p *Presented) { p.Verifier = strings.Repeat("x", 43) }, WrongVerifier},
		"another resource":     {func(p *Presented) { p.Resources = []string{"https://elsewhere.example"} }, WrongResource},
		"one wrong resource":   {func(p *Presented) { p.Resources = []string{h.t.Resource(), h.t.Issuer} }, WrongResource},
	} {
		p := right()
		c.change(&p)
		if _, err := h.Redeem(t.Context(), h.t, code, p); ReasonOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	p := right()
	p.RedirectURI, p.Resources = "", []string{h.t.Resource() + "/"} // OAuth 2.1 sends no redirect URI; one slash is forgiven
	if _, err := h.Redeem(t.Context(), h.t, code, p); err != nil {
		t.Errorf("the right request after wrong ones: %v", err)
	}
}

func TestStrangerEndsNobodysGrant(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	code := h.code(t)
	first, err := h.Redeem(t.Context(), h.t, code, right())
	if err != nil {
		t.Fatal(err)
	}
	stranger := right()
	stranger.ClientID = "other"
	if _, err := h.Redeem(t.Context(), h.t, code, stranger); ReasonOf(err) != WrongClient {
		t.Errorf("used code from another client: %v", err)
	}
	if _, err := h.Refresh(t.Context(), h.t, first.Refresh, stranger); ReasonOf(err) != WrongClient {
		t.Errorf("refresh from another client: %v", err)
	}
	if _, err := h.Verify(t.Context(), h.t, first.Access); err != nil {
		t.Errorf("the grant ended: %v", err)
	}
}

func TestUsedCodeEndsTheGrantEvenAfterItExpired(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	code := h.code(t)
	first, err := h.Redeem(t.Context(), h.t, code, right())
	if err != nil {
		t.Fatal(err)
	}
	h.clock.advance(codeProof - time.Minute) // longer than a code lives
	if _, err := h.Redeem(t.Context(), h.t, code, right()); ReasonOf(err) != CodeReuse {
		t.Errorf("used code: %v", err)
	}
	if _, err := h.Verify(t.Context(), h.t, first.Access); ReasonOf(err) != Gone {
		t.Errorf("a token of the grant: %v", err)
	}
	if h.driver.Keys("grant/") != 0 {
		t.Error("the record is still there")
	}
}

func TestRefreshHoldsToWhatWasGranted(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	p := Presented{ClientID: clientID, Scopes: []string{"read", "admin"}}
	_, err := h.Refresh(t.Context(), h.t, tokens.Refresh, p)
	if ReasonOf(err) != WrongScope || oauth.AsError(err).Code != oauth.InvalidScope {
		t.Errorf("more scopes: %v", err)
	}
	p = Presented{ClientID: clientID, Resources: []string{"https://elsewhere.example"}}
	_, err = h.Refresh(t.Context(), h.t, tokens.Refresh, p)
	if ReasonOf(err) != WrongResource || oauth.AsError(err).Code != oauth.InvalidTarget {
		t.Errorf("another resource: %v", err)
	}
	p = Presented{ClientID: clientID, Scopes: []string{"read"}, Resources: []string{h.t.Resource()}}
	if _, err := h.Refresh(t.Context(), h.t, tokens.Refresh, p); err != nil {
		t.Errorf("fewer scopes, same resource: %v", err)
	}
}

// A store that lost its last seconds has an older record than its clients have
// tokens. That is nobody's theft.
func TestTokenNewerThanItsRecordEndsNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.forget()
	first := h.login(t)
	key := "grant/music/" + first.Grant.ID
	before, err := h.driver.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	second, err := h.Refresh(t.Context(), h.t, first.Refresh, right())
	if err != nil {
		t.Fatal(err)
	}
	now, err := h.driver.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.driver.Swap(t.Context(), key, now, before, time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Refresh(t.Context(), h.t, second.Refresh, right()); ReasonOf(err) != Gone {
		t.Errorf("the newer token: %v", err)
	}
	if _, err := h.Refresh(t.Context(), h.t, first.Refresh, right()); err != nil {
		t.Errorf("the token that the record knows, afterwards: %v", err)
	}
}

func TestOnlyOneRedeemOfManyWins(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	code := h.code(t)
	outcomes := map[string]int{}
	var access string
	var mu sync.Mutex
	crowd(50, func() {
		tokens, err := h.Redeem(t.Context(), h.t, code, right())
		mu.Lock()
		defer mu.Unlock()
		outcomes[outcome(err)]++
		if err == nil {
			access = tokens.Access
		}
	})
	if outcomes["ok"] != 1 || outcomes["code_reuse"] != 1 || outcomes["gone"] != 48 {
		t.Errorf("%v, want one winner, one reuse that ends the grant, and the rest gone", outcomes)
	}
	if _, err := h.Verify(t.Context(), h.t, access); ReasonOf(err) != Gone {
		t.Errorf("the winner's token after the reuse: %v", err)
	}
}

func TestManyRefreshesOfOneTokenShareAGeneration(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	var mu sync.Mutex
	generations := map[uint32]int{}
	crowd(50, func() {
		got, err := h.Refresh(t.Context(), h.t, tokens.Refresh, Presented{ClientID: clientID})
		if err != nil {
			t.Errorf("refresh: %v", err)
			return
		}
		tok, err := h.open(Refresh, h.t.Name, got.Refresh)
		if err != nil {
			t.Errorf("its token: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		generations[tok.generation]++
	})
	if generations[2] != 50 {
		t.Errorf("generations %v, want 50 of generation 2", generations)
	}
}

// crowd runs f n times at once.
func crowd(n int, f func()) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range n {
		wg.Go(func() { <-start; f() })
	}
	close(start)
	wg.Wait()
}

func TestStoreFailureIsNoRefusal(t *testing.T) {
	t.Parallel()
	down := errors.New("engine down")
	for _, op := range []string{"get", "swap"} {
		h := newHarness(t)
		code, tokens := h.code(t), h.login(t)
		h.forget()
		h.driver.Fail(func(o, _ string) error {
			if o == op {
				return down
			}
			return nil
		})
		calls := map[string]func() error{
			"redeem":  func() error { _, err := h.Redeem(t.Context(), h.t, code, right()); return err },
			"refresh": func() error { _, err := h.Refresh(t.Context(), h.t, tokens.Refresh, right()); return err },
		}
		if op == "get" {
			calls["verify"] = func() error { _, err := h.Verify(t.Context(), h.t, tokens.Access); return err }
		}
		for name, call := range calls {
			err := call()
			if _, wire := errors.AsType[*oauth.Error](err); !errors.Is(err, down) || ReasonOf(err) != "" || wire {
				t.Errorf("%s with a failing %s: %v", name, op, err)
			}
		}
		h.driver.Fail(nil)
		for name, call := range calls {
			if err := call(); err != nil {
				t.Errorf("%s after the failure: %v", name, err)
			}
		}
	}
}

func TestRecordOfALostKeyIsNoRefusal(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	key := "grant/music/" + tokens.Grant.ID
	old, err := h.driver.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.driver.Swap(t.Context(), key, old, append([]byte{1}, old...), time.Hour); err != nil {
		t.Fatal(err)
	}
	h.forget()
	_, err = h.Verify(t.Context(), h.t, tokens.Access)
	if !errors.Is(err, store.ErrUnreadable) || ReasonOf(err) != "" {
		t.Errorf("unreadable record: %v", err)
	}
}

func TestLeaseHasOneHolder(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	live, err := h.Verify(t.Context(), h.t, tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	lease := func(holder string, dead *Lease) error {
		_, err := h.Lease(t.Context(), h.t, live, holder, dead)
		return err
	}
	// seen is the lease that another holder meets.
	seen := func() Lease {
		t.Helper()
		err, ok := errors.AsType[*LeasedError](lease("b", nil))
		if !ok {
			t.Fatalf("a second holder: %v", err)
		}
		return err.Lease
	}
	if err := lease("a", nil); err != nil {
		t.Fatal(err)
	}
	still := seen()
	if err := lease("a", nil); err != nil {
		t.Errorf("its holder once more: %v", err)
	}
	if err := h.Beat(t.Context(), h.t, live, "a"); err != nil || seen() == still {
		t.Errorf("a beat does not show: %v", err)
	}
	if err := lease("b", &still); err == nil {
		t.Error("a lease that was beaten since is taken over")
	}
	h.clock.advance(time.Hour) // proves nothing
	still = seen()
	if err := lease("b", &still); err != nil {
		t.Errorf("taking over: %v", err)
	}
	for name, f := range map[string]func() error{
		"renew": func() error { _, err := h.Renew(t.Context(), h.t, live, "a", live.Credential); return err },
		"keep":  func() error { return h.KeepJournal(t.Context(), h.t, live, "a", []byte("x")) },
		"stop":  func() error { return h.RequireLogin(t.Context(), h.t, live, "a", upstream.InvalidGrant, "") },
		"free":  func() error { return h.Release(t.Context(), h.t, live, "a", nil) },
		"beat":  func() error { return h.Beat(t.Context(), h.t, live, "a") },
	} {
		if err := f(); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("%s by the one who lost the lease: %v", name, err)
		}
	}
	if err := h.RequireLogin(t.Context(), h.t, live, "b", upstream.InvalidGrant, ""); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := h.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) != LoginRequired {
		t.Errorf("after that: %v", err)
	}
}
