package grant

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// of returns the harness's tenant at another upstream.
func (h *harness) of(id upstream.Identity) *tenant.Tenant {
	t := *h.t
	t.Upstream = tenant.Upstream{Identity: id}
	return &t
}

func TestGrantOfAnotherUpstreamIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var told []upstream.Identity
	h.OnOtherUpstream(func(_ *tenant.Tenant, owner upstream.Identity) { told = append(told, owner) })
	h.t = h.of("up_a")
	code := h.code(t)
	tokens := h.login(t)
	live, err := h.Verify(t.Context(), h.t, tokens.Access)
	if err != nil || live.Record.Upstream != "up_a" {
		t.Fatalf("%+v, %v", live, err)
	}

	changed := h.of("up_b")
	changed.Upstream.WaitUntil = h.clock.now().Add(15 * time.Minute)
	acts := map[string]func() error{
		"redeem":  func() error { _, err := h.Redeem(t.Context(), changed, code, right()); return err },
		"refresh": func() error { _, err := h.Refresh(t.Context(), changed, tokens.Refresh, right()); return err },
		"verify":  func() error { _, err := h.Verify(t.Context(), changed, tokens.Access); return err },
		"stands":  func() error { return h.Stands(t.Context(), changed, live) },
		"lease":   func() error { _, err := h.Lease(t.Context(), changed, live, "a", nil); return err },
	}
	for name, act := range acts {
		err := act()
		fault, ok := errors.AsType[*oauth.Error](err)
		if !ok || fault.StatusCode() != http.StatusServiceUnavailable || fault.RetryAfter <= 0 || ReasonOf(err) != "" {
			t.Errorf("%s while the change may be undone: %v", name, err)
		}
	}
	if len(told) == 0 || told[0] != "up_a" {
		t.Errorf("the operator is told of %v", told)
	}
	h.clock.advance(4 * time.Minute) // the code is good for five
	changed.Upstream.WaitUntil = h.clock.now()
	for name, act := range acts {
		if err := act(); ReasonOf(err) != OtherUpstream {
			t.Errorf("%s later: %v", name, err)
		}
	}
	if list, whole, err := h.OfAccount(t.Context(), changed, changed.Account("42")); err != nil || !whole || len(list) != 0 {
		t.Errorf("42 of the other upstream sees %v, %v, %v", list, whole, err)
	}
	if _, err := h.EndOfAccount(t.Context(), changed, changed.Account("42"), live.ID); ReasonOf(err) != Gone {
		t.Errorf("42 of the other upstream ends it: %v", err)
	}

	// Undoing the change makes all of it work again.
	if _, err := h.Redeem(t.Context(), h.t, code, right()); err != nil {
		t.Errorf("the code: %v", err)
	}
	again, err := h.Refresh(t.Context(), h.t, tokens.Refresh, right())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Verify(t.Context(), h.t, again.Access); err != nil {
		t.Error(err)
	}
}

func TestRevokingAtAnotherUpstreamGivesNoCredentialAway(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t = h.of("up_a")
	tokens := h.login(t)
	live, err := h.Revoke(t.Context(), h.of("up_b"), tokens.Access, clientID)
	if err != nil || live.Credential != nil {
		t.Errorf("%+v, %v; want the grant without its credential", live, err)
	}
	if _, err := h.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) != Gone {
		t.Errorf("after its client revoked it: %v", err)
	}
}

func TestIdentityThatMeansTheSameIsAcceptedAndRewritten(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t = h.of("up_a")
	tokens := h.login(t)
	renamed := h.of("up_b")
	renamed.Upstream.Same = []upstream.Identity{"up_a"}
	if list, _, err := h.OfAccount(t.Context(), renamed, renamed.Account("42")); err != nil || len(list) != 1 {
		t.Errorf("the account sees %v, %v", list, err)
	}
	again, err := h.Refresh(t.Context(), renamed, tokens.Refresh, right())
	if err != nil || again.Grant.Record.Upstream != "up_b" {
		t.Fatalf("%+v, %v; want it rewritten", again, err)
	}
	if _, err := h.Verify(t.Context(), h.of("up_b"), again.Access); err != nil {
		t.Errorf("without the old name: %v", err)
	}
}

// A replica of the release before drops members that it does not know, so a
// record may lose its identity at any time.
func TestRecordWithoutIdentityIsOfThePeriodItWasMadeIn(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t = h.of("")
	first := h.login(t)
	h.clock.advance(time.Hour)
	since := h.clock.now()
	h.clock.advance(time.Hour)
	second := h.login(t)
	periods := []tenant.Period{{Identity: "up_a"}, {Since: since, Identity: "up_b"}}
	for id, works := range map[upstream.Identity]*Tokens{"up_a": first, "up_b": second} {
		at := h.of(id)
		at.Upstream.Periods = periods
		for name, tokens := range map[string]*Tokens{"first": first, "second": second} {
			live, err := h.Verify(t.Context(), at, tokens.Access)
			switch {
			case tokens == works && (err != nil || live.Record.Upstream != id):
				t.Errorf("%s at %s: %+v, %v", name, id, live, err)
			case tokens != works && ReasonOf(err) != OtherUpstream:
				t.Errorf("%s at %s: %v", name, id, err)
			}
		}
	}
}

func TestIndexOfTheReleaseBeforeIsFound(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t = h.of("up_a")
	live := h.login(t).Grant
	own := h.t.Account("42").Hash()
	if err := h.accounts.Delete(t.Context(), h.t.Name, own); err != nil { // as that release leaves it
		t.Fatal(err)
	}
	list, whole, err := h.OfAccount(t.Context(), h.t, h.t.Account("42"))
	if err != nil || !whole || len(list) != 1 || list[0].ID != live.ID {
		t.Errorf("%v %v %v, want %s", list, whole, err, live.ID)
	}
	h.login(t)
	if list, _, err := h.OfAccount(t.Context(), h.t, h.t.Account("42")); err != nil || len(list) != 2 {
		t.Errorf("%v %v, want each grant once", list, err)
	}
	if _, err := h.accounts.Get(t.Context(), h.t.Name, shortHash("42")); err != nil {
		t.Errorf("a replica of the release before finds no index: %v", err)
	}
}

// module is a provider by its description.
type module struct {
	upstream.Provider
	described upstream.Description
}

func (m module) Describe() upstream.Description { return m.described }

// moduleAt returns the harness's tenant with a module, as after its start.
func (h *harness) moduleAt(t *testing.T, id upstream.Identity, former ...upstream.Identity) *tenant.Tenant {
	t.Helper()
	at := *h.t
	at.Provider = module{described: upstream.Description{Identity: id, Former: former}}
	at.Upstream = tenant.Upstream{}
	var err error
	if at.Upstream.Periods, err = h.EnterPeriod(t.Context(), &at, false); err != nil {
		t.Fatal(err)
	}
	return &at
}

// A module of before ABI 1.2 names no upstream. One that does may come beside it
// at another replica, or be taken back: both serve the same users.
func TestModuleThatNamesNoUpstreamServesWhatItsSuccessorMarked(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	before := h.moduleAt(t, "up_settings")
	h.t = before
	old := h.login(t)
	named := h.moduleAt(t, "up_named", "up_settings")
	h.t = named
	marked, unmarked := h.login(t), h.login(t)
	if _, err := h.Verify(t.Context(), named, old.Access); err != nil {
		t.Fatal(err)
	}
	// As a replica of a release without identities leaves the record.
	if _, err := h.records.Update(t.Context(), h.t.Name, unmarked.Grant.ID, func(r *Record) (time.Duration, error) {
		r.Mark = upstream.Mark{}
		return time.Hour, nil
	}); err != nil {
		t.Fatal(err)
	}

	back := h.moduleAt(t, "up_settings")
	if last := back.Upstream.Periods[len(back.Upstream.Periods)-1]; !last.Accepted {
		t.Errorf("taking the module back counts as another upstream: %+v", back.Upstream.Periods)
	}
	for name, tokens := range map[string]*Tokens{"of before": old, "marked": marked, "unmarked": unmarked} {
		for _, at := range []*tenant.Tenant{before, back, named, back} { // before: a replica that still runs
			if live, err := h.Verify(t.Context(), at, tokens.Access); err != nil || live.Record.Mark != at.Mark() {
				t.Fatalf("%s at %s: %+v, %v", name, at.UpstreamIdentity(), live, err)
			}
			var err error
			if tokens, err = h.Refresh(t.Context(), at, tokens.Refresh, right()); err != nil || tokens.Grant.Record.Mark != at.Mark() {
				t.Fatalf("%s at %s: %+v, %v", name, at.UpstreamIdentity(), tokens, err)
			}
		}
	}
	if list, whole, err := h.OfAccount(t.Context(), back, back.Account("42")); err != nil || !whole || len(list) != 3 {
		t.Errorf("the account sees %d grants, %v, %v", len(list), whole, err)
	}
	if n, err := h.CountStranded(t.Context(), back); err != nil || n.Count != 0 {
		t.Errorf("%+v stranded, %v", n, err)
	}
	// Settings that lead elsewhere are another upstream, whichever module reads them.
	if _, err := h.Verify(t.Context(), h.moduleAt(t, "up_others"), marked.Access); ReasonOf(err) != OtherUpstream {
		t.Errorf("with other settings: %v", err)
	}
}
