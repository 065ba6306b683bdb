package grant

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/upstream"
)

// loginAs creates and redeems a grant of an account and returns its id.
func (h *harness) loginAs(t testing.TB, subject, client string) *Tokens {
	t.Helper()
	code, err := h.Create(t.Context(), h.t, New{
		ClientID: client, ClientName: "Name of " + client, RedirectURI: callback, Challenge: oauth.ChallengeOf(verifier),
		Resource: h.t.Resource(), Scopes: []string{"read"},
		Credential: &upstream.Credential{AccessToken: seal.NewSecret("up-at"), Account: upstream.Account{ID: subject}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := h.Redeem(t.Context(), h.t, code, Presented{ClientID: client, Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// ofAccount returns the ids OfAccount lists.
func (h *harness) ofAccount(t testing.TB, subject string) (ids []string, whole bool) {
	t.Helper()
	list, whole, err := h.OfAccount(t.Context(), h.t, h.t.Account(subject))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		ids = append(ids, g.ID)
	}
	return ids, whole
}

// index is the ids in the stored index, dangling ones included.
func (h *harness) index(t testing.TB, subject string) (ids []string) {
	t.Helper()
	a, err := h.accounts.Get(t.Context(), h.t.Name, shortHash(subject))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	for _, g := range a.Grants {
		ids = append(ids, g.ID)
	}
	return ids
}

func TestAccountSeesItsGrantsAndNobodyElses(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	began := h.clock.now()
	one := h.loginAs(t, "ada", "client-a")
	h.clock.advance(time.Hour)
	two := h.loginAs(t, "ada", "client-b")
	h.loginAs(t, "bob", "client-a")
	h.clock.advance(time.Hour)
	if _, err := h.Refresh(t.Context(), h.t, one.Refresh, Presented{ClientID: "client-a"}); err != nil {
		t.Fatal(err)
	}

	list, whole, err := h.OfAccount(t.Context(), h.t, h.t.Account("ada"))
	if err != nil || !whole || len(list) != 2 || list[0].ID != two.Grant.ID {
		t.Fatalf("%+v %v %v, want the newer grant first and then the other", list, whole, err)
	}
	want := Summary{
		ID: one.Grant.ID, State: Active, ClientHash: HashClient("client-a"), ClientName: "Name of client-a", RedirectURI: callback,
		Scopes: []string{"read"}, Created: began, LastUsed: began.Add(2 * time.Hour), Expires: began.Add(2*time.Hour + h.t.Lifetimes.Refresh),
	}
	for _, d := range []*time.Time{&list[1].Created, &list[1].LastUsed, &list[1].Expires} {
		*d = d.Local()
	}
	if got := fmt.Sprintf("%+v", list[1]); got != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %s\nwant %+v", got, want)
	}
	if ids, whole := h.ofAccount(t, "nobody"); len(ids) != 0 || !whole {
		t.Errorf("somebody without grants has %v %v", ids, whole)
	}
	other := *h.t
	other.Name = "octo"
	if list, _, err := h.OfAccount(t.Context(), &other, other.Account("ada")); err != nil || len(list) != 0 {
		t.Errorf("another tenant shows %v %v", list, err)
	}
}

func TestGrantRefreshedForYearsStaysInItsAccount(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.t.Lifetimes.Refresh, h.t.Lifetimes.Absolute = 365*24*time.Hour, 10*365*24*time.Hour // the most a config allows
	tokens := h.loginAs(t, "ada", clientID)
	for range 10 {
		h.clock.advance(364 * 24 * time.Hour)
		var err error
		if tokens, err = h.Refresh(t.Context(), h.t, tokens.Refresh, right()); err != nil {
			t.Fatal(err)
		}
	}
	if ids, whole := h.ofAccount(t, "ada"); len(ids) != 1 || !whole {
		t.Errorf("after ten years of refreshes: %v %v", ids, whole)
	}
}

func TestIndexCostsALoginAndNoRefresh(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.loginAs(t, "ada", clientID)
	var ops []string
	h.driver.Fail(func(op, key string) error {
		kind, _, _ := strings.Cut(key, "/")
		ops = append(ops, op+" "+kind)
		return nil
	})
	tokens := h.loginAs(t, "ada", clientID)
	if want := []string{"swap account", "swap account", "swap account", "swap account", "swap grant", "swap grant"}; !slices.Equal(ops, want) {
		t.Errorf("a login: %v, want %v", ops, want)
	}
	ops = nil
	if _, err := h.Refresh(t.Context(), h.t, tokens.Refresh, right()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"swap grant"}; !slices.Equal(ops, want) {
		t.Errorf("a refresh: %v, want %v", ops, want)
	}
}

func TestCrashBetweenIndexAndGrantLeavesNoInvisibleGrant(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	down := errors.New("engine down")
	failing := ""
	h.driver.Fail(func(_, key string) error {
		if failing != "" && strings.HasPrefix(key, failing) {
			return down
		}
		return nil
	})
	login := func() error {
		_, err := h.Create(t.Context(), h.t, New{ClientID: clientID, Credential: &upstream.Credential{Account: upstream.Account{ID: "ada"}}})
		return err
	}
	for _, failing = range []string{"account/", "grant/"} {
		if err := login(); !errors.Is(err, down) {
			t.Errorf("%s fails: %v", failing, err)
		}
		if n := h.driver.Keys("grant/"); n != 0 {
			t.Errorf("%s fails: there are %d grants", failing, n)
		}
	}
	failing = ""
	// Whoever stopped may only be slow: the id stays while its code counts.
	for _, step := range []struct {
		wait time.Duration
		ids  int
	}{{0, 1}, {h.t.Lifetimes.Code - time.Second, 1}, {time.Second, 0}} {
		h.clock.advance(step.wait)
		if ids, whole := h.ofAccount(t, "ada"); len(ids) != 0 || !whole {
			t.Errorf("the account shows %v %v", ids, whole)
		}
		if ids := h.index(t, "ada"); len(ids) != step.ids {
			t.Errorf("%v later the index holds %d ids, want %d", step.wait, len(ids), step.ids)
		}
	}
	if n := h.driver.Keys(""); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// TestGrantStoredLateIsNeverRedeemed is the other half of the argument for
// dropping ids: a grant that comes after that is of no use to anybody.
func TestGrantStoredLateIsNeverRedeemed(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.driver.Fail(func(op, key string) error {
		if op == "swap" && strings.HasPrefix(key, "grant/") {
			h.clock.advance(h.t.Lifetimes.Code) // the process was stopped right here
		}
		return nil
	})
	code := h.code(t)
	h.driver.Fail(nil)
	if _, err := h.Redeem(t.Context(), h.t, code, right()); ReasonOf(err) != Expired {
		t.Errorf("its code: %v", err)
	}
}

func TestManyLoginsAtOnceAreAllInTheIndex(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	var logins atomic.Int32
	crowd(12, func() {
		h.loginAs(t, "ada", fmt.Sprint("client-", logins.Add(1)))
	})
	if ids, whole := h.ofAccount(t, "ada"); len(ids) != 12 || !whole {
		t.Errorf("%d grants are listed, whole %v", len(ids), whole)
	}
}

func TestFullIndexDropsEndedGrantsFirst(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	first := h.loginAs(t, "ada", clientID)
	for range maxListed - 1 {
		h.clock.advance(time.Second)
		g := h.loginAs(t, "ada", clientID)
		if _, err := h.Delete(t.Context(), h.t.Name, g.Grant.ID); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.advance(h.t.Lifetimes.Code)
	last := h.loginAs(t, "ada", clientID)
	if ids := h.index(t, "ada"); !slices.Equal(ids, []string{first.Grant.ID, last.Grant.ID}) {
		t.Errorf("the index holds %d ids, want the two of living grants", len(ids))
	}

	var newest string
	for range maxListed - 1 { // all alive
		h.clock.advance(time.Second)
		newest = h.loginAs(t, "ada", clientID).Grant.ID
	}
	ids, whole := h.ofAccount(t, "ada")
	if len(ids) != maxListed*3/4+1 || whole || ids[0] != newest || slices.Contains(ids, first.Grant.ID) {
		t.Errorf("%d grants, whole %v: want the newest, and to be told that there are more", len(ids), whole)
	}
}

func TestEndOfAccountEndsItsOwnGrantOnly(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ada, bob := h.loginAs(t, "ada", clientID), h.loginAs(t, "bob", clientID)
	for name, c := range map[string]struct{ subject, id string }{
		"of somebody else": {"bob", ada.Grant.ID},
		"of nobody":        {"", ada.Grant.ID},
		"not there":        {"ada", "x"},
		"no id at all":     {"ada", "../ada"},
	} {
		if _, err := h.EndOfAccount(t.Context(), h.t, h.t.Account(c.subject), c.id); ReasonOf(err) != Gone {
			t.Errorf("a grant %s: %v", name, err)
		}
	}
	was, err := h.EndOfAccount(t.Context(), h.t, h.t.Account("ada"), ada.Grant.ID)
	if err != nil || was.ClientName != "Name of "+clientID {
		t.Fatal(was, err)
	}
	if _, err := h.Verify(t.Context(), h.t, ada.Access); ReasonOf(err) != Gone {
		t.Errorf("its token: %v", err)
	}
	if _, err := h.Verify(t.Context(), h.t, bob.Access); err != nil {
		t.Errorf("bob's token: %v", err)
	}
	if ids, _ := h.ofAccount(t, "ada"); len(ids) != 0 {
		t.Errorf("ada still has %v", ids)
	}
}

func TestLifetimeMadeShorterCountsInTheList(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	began := h.clock.now()
	h.loginAs(t, "ada", clientID)
	h.t.Lifetimes.Absolute = time.Hour
	list, _, err := h.OfAccount(t.Context(), h.t, h.t.Account("ada"))
	if err != nil || len(list) != 1 || !list[0].Expires.Equal(began.Add(time.Hour)) {
		t.Fatal(list, err)
	}
	h.clock.advance(time.Hour)
	if ids, whole := h.ofAccount(t, "ada"); len(ids) != 0 || !whole {
		t.Errorf("a grant that is over: %v %v", ids, whole)
	}
}

func TestIdInTheWrongIndexShowsNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	bob := h.loginAs(t, "bob", clientID)
	err := h.accounts.Create(t.Context(), h.t.Name, shortHash("ada"), account{Grants: []listed{{ID: bob.Grant.ID}}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if ids, _ := h.ofAccount(t, "ada"); len(ids) != 0 {
		t.Errorf("ada sees %v", ids)
	}
}

func TestIndexOfALostKeyStopsNoLogin(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.loginAs(t, "ada", clientID)
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	h.Store = NewStore(h.driver, keys, h.clock.now)
	if ids, whole := h.ofAccount(t, "ada"); len(ids) != 0 || whole {
		t.Errorf("an index that cannot be read: %v, whole %v", ids, whole)
	}
	now := h.loginAs(t, "ada", clientID)
	if ids, whole := h.ofAccount(t, "ada"); !slices.Equal(ids, []string{now.Grant.ID}) || whole {
		t.Errorf("after the next login: %v, whole %v", ids, whole)
	}
	if _, err := h.EndOfAccount(t.Context(), h.t, h.t.Account("ada"), now.Grant.ID); err != nil {
		t.Error(err)
	}
	if _, whole := h.ofAccount(t, "ada"); whole {
		t.Error("it was forgotten that there may be more")
	}
}

func TestAccountWithoutTheStoreIsNoRefusal(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.loginAs(t, "ada", clientID)
	h.forget()
	down := errors.New("engine down")
	for _, kind := range []string{"account/", "grant/"} {
		h.driver.Fail(func(_, key string) error {
			if strings.HasPrefix(key, kind) {
				return down
			}
			return nil
		})
		if _, _, err := h.OfAccount(t.Context(), h.t, h.t.Account("ada")); !errors.Is(err, down) || ReasonOf(err) != "" {
			t.Errorf("%s does not answer: %v", kind, err)
		}
	}
	if _, err := h.EndOfAccount(t.Context(), h.t, h.t.Account("ada"), tokens.Grant.ID); !errors.Is(err, down) || ReasonOf(err) != "" {
		t.Errorf("ending: %v", err)
	}
}
