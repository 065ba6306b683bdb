package grant

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

// all is what Each shows, as "account client", in order.
func (h *harness) all(t testing.TB) (shown []string) {
	t.Helper()
	unreadable, err := h.Each(t.Context(), h.t, func(e Entry) error {
		shown = append(shown, e.Subject+" "+e.ClientName)
		return nil
	})
	if err != nil || unreadable != 0 {
		t.Fatalf("%d unreadable, %v", unreadable, err)
	}
	slices.Sort(shown)
	return shown
}

func TestOperatorSeesAndEndsGrants(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	one := h.loginAs(t, "ada", "a")
	for _, login := range [][2]string{{"ada", "b"}, {"grace", "a"}, {"grace", "b"}, {"alan", "c"}} {
		h.loginAs(t, login[0], login[1])
	}
	other := *h.t
	other.Name = "octo"
	aside := &harness{Store: h.Store, t: &other, clock: h.clock, driver: h.driver}
	aside.loginAs(t, "ada", "a")

	wantAll := func(what string, want ...string) {
		t.Helper()
		if got := h.all(t); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	wantAll("at first", "ada Name of a", "ada Name of b", "alan Name of c", "grace Name of a", "grace Name of b")
	e, err := h.Delete(t.Context(), h.t.Name, one.Grant.ID)
	if err != nil || e.ID != one.Grant.ID || e.Subject != "ada" || e.ClientHash != HashClient("a") {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := h.Verify(t.Context(), h.t, one.Access); ReasonOf(err) != Gone {
		t.Errorf("a token of an ended grant: %v", err)
	}
	for _, id := range []string{one.Grant.ID, "", "../octo", "x"} {
		if _, err := h.Delete(t.Context(), h.t.Name, id); ReasonOf(err) != Gone {
			t.Errorf("%q: %v", id, err)
		}
	}
	if ended, err := h.DeleteAccount(t.Context(), h.t.Name, "grace"); len(ended) != 2 || err != nil {
		t.Errorf("%v, %v", ended, err)
	}
	wantAll("without grace", "ada Name of b", "alan Name of c")
	if ended, err := h.DeleteClient(t.Context(), h.t.Name, "b"); len(ended) != 1 || ended[0].Subject != "ada" || err != nil {
		t.Errorf("%v, %v", ended, err)
	}
	if n, err := h.DeleteAll(t.Context(), h.t.Name); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	wantAll("in the end")
	if got := aside.all(t); !slices.Equal(got, []string{"ada Name of a"}) {
		t.Errorf("another tenant's: %q", got)
	}
}

func TestGrantsOfAnotherKeyAreCountedAndLeft(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	mine := h.loginAs(t, "ada", "a")
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	stranger := NewStore(h.driver, keys, h.clock.now)
	n, err := stranger.Each(t.Context(), h.t, func(Entry) error { t.Error("shown"); return nil })
	if n != 1 || err != nil {
		t.Errorf("%d unreadable, %v", n, err)
	}
	if ended, err := stranger.DeleteAccount(t.Context(), h.t.Name, "ada"); len(ended) != 0 || err != nil {
		t.Errorf("%v, %v", ended, err)
	}
	if _, err := stranger.Delete(t.Context(), h.t.Name, mine.Grant.ID); ReasonOf(err) != Gone {
		t.Error(err)
	}
	if _, err := h.Verify(t.Context(), h.t, mine.Access); err != nil {
		t.Errorf("the grant did not stay: %v", err)
	}
}

func TestScanEndsWithItsFirstError(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for range 50 {
		h.loginAs(t, "ada", "a")
	}
	h.forget()
	enough, calls := errors.New("enough"), 0
	if _, err := h.Each(t.Context(), h.t, func(Entry) error { calls++; return enough }); !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	down := errors.New("down")
	h.driver.Fail(func(op, _ string) error {
		if op == "get" {
			return down
		}
		return nil
	})
	if _, err := h.Each(t.Context(), h.t, func(Entry) error { return nil }); !errors.Is(err, down) {
		t.Error(err)
	}
	if _, err := h.DeleteAccount(t.Context(), h.t.Name, "ada"); !errors.Is(err, down) {
		t.Error(err)
	}
	h.driver.Fail(nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.DeleteAccount(gone, h.t.Name, "ada"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(h.all(t)) != 50 {
		t.Error("something ended")
	}
}

// An operator hands ids to commands.
func TestNoGrantIsNamedLikeAFlag(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for range 500 {
		if id := h.loginAs(t, "ada", "a").Grant.ID; id[0] == '-' {
			t.Fatalf("a grant's id is %s", id)
		}
	}
}

// TestOperatorSeesWhichGrantsAreRefused: a record that is there is not shown as a
// login that works.
func TestOperatorSeesWhichGrantsAreRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t = h.of("up_a")
	h.loginAs(t, "ada", "a")
	h.clock.advance(time.Hour)
	if err := h.RevokeBefore(t.Context(), Scope{Tenant: h.t}, h.clock.now()); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Minute)
	h.loginAs(t, "grace", "a")
	shorter, down := *h.t, *h.of("up_other")
	shorter.Lifetimes.Absolute, down.Down = time.Second, "its plugin is missing"
	h.clock.advance(time.Minute)
	for what, c := range map[string]struct {
		t    *tenant.Tenant
		want map[string]Reason
	}{
		"revoked by time":             {h.t, map[string]Reason{"ada": NotBefore, "grace": ""}},
		"a shorter absolute lifetime": {&shorter, map[string]Reason{"ada": Gone, "grace": Gone}},
		"another upstream":            {h.of("up_other"), map[string]Reason{"ada": NotBefore, "grace": OtherUpstream}},
		"down":                        {&down, map[string]Reason{"ada": NotBefore, "grace": ""}},
	} {
		got := map[string]Reason{}
		if _, err := h.Each(t.Context(), c.t, func(e Entry) error {
			got[e.Subject] = e.Refused
			if want := e.Created.Add(c.t.Lifetimes.Absolute); e.Expires.After(want) {
				t.Errorf("%s: shown to end at %v, ends at %v", what, e.Expires, want)
			}
			return nil
		}); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v (%v)", what, got, c.want, err)
		}
	}
}
