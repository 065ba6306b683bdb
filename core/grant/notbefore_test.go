package grant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// reaches are the scopes of RevokeBefore and whether the grant of the fixture,
// client the-client and account 42 at tenant music, is in them.
func reaches(h *harness) map[string]struct {
	scope Scope
	ends  bool
} {
	octo := &tenant.Tenant{Name: "octo"}
	type reach = struct {
		scope Scope
		ends  bool
	}
	return map[string]reach{
		"deployment":              {Scope{}, true},
		"tenant":                  {Scope{Tenant: h.t}, true},
		"client":                  {Scope{Tenant: h.t, ClientHash: HashClient(clientID)}, true},
		"account":                 {Scope{Tenant: h.t, Account: h.t.Account("42")}, true},
		"other tenant":            {Scope{Tenant: octo}, false},
		"other client":            {Scope{Tenant: h.t, ClientHash: HashClient("another")}, false},
		"client, other tenant":    {Scope{Tenant: octo, ClientHash: HashClient(clientID)}, false},
		"other account":           {Scope{Tenant: h.t, Account: h.t.Account("43")}, false},
		"account, other tenant":   {Scope{Tenant: octo, Account: h.t.Account("42")}, false},
		"account, other upstream": {Scope{Tenant: h.t, Account: upstream.AccountKey{Issuer: "up_other", ID: "42"}}, false},
	}
}

func TestRevokeBeforeEndsTheGrantsOfItsScope(t *testing.T) {
	t.Parallel()
	for name, reach := range reaches(newHarness(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			tokens, code := h.login(t), h.code(t)
			l := h.mustVerify(t, tokens.Access)
			h.clock.advance(time.Second)
			if err := h.RevokeBefore(t.Context(), reach.scope, h.clock.now()); err != nil {
				t.Fatal(err)
			}
			later := h.login(t)
			want, listed := "ok", 3
			if reach.ends {
				want, listed = string(NotBefore), 1
			}
			_, verify := h.Verify(t.Context(), h.t, tokens.Access)
			_, refresh := h.Refresh(t.Context(), h.t, tokens.Refresh, right())
			_, redeem := h.Redeem(t.Context(), h.t, code, right())
			for what, err := range map[string]error{"verify": verify, "stands": h.Stands(t.Context(), h.t, l), "refresh": refresh, "redeem": redeem} {
				if got := outcome(err); got != want {
					t.Errorf("%s: %s, want %s", what, got, want)
				}
			}
			if grants, _, err := h.OfAccount(t.Context(), h.t, h.t.Account("42")); len(grants) != listed || err != nil {
				t.Errorf("the user sees %d grants, want %d (%v)", len(grants), listed, err)
			}
			h.mustVerify(t, later.Access)
		})
	}
}

func TestRevokeBeforeAtAnotherProcess(t *testing.T) {
	t.Parallel()
	for name, reach := range reaches(newHarness(t)) {
		for _, cut := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, announcements cut %v", name, cut), func(t *testing.T) {
				t.Parallel()
				a := newHarness(t)
				b := a.replica(t)
				b.follow(t)
				tokens := a.login(t)
				b.mustVerify(t, tokens.Access)
				a.clock.advance(time.Second)
				a.driver.Cut(cut)
				command := NewStore(a.driver, a.keys, a.clock.now)
				if err := command.RevokeBefore(t.Context(), reach.scope, a.clock.now()); err != nil {
					t.Fatal(err)
				}
				want := "ok"
				if reach.ends {
					want = string(NotBefore)
				}
				_, err := b.Verify(t.Context(), b.t, tokens.Access)
				if cut {
					if err != nil {
						t.Errorf("without an announcement b asked the store: %v", err)
					}
					b.clock.advance(cacheTTL - time.Second) // since b read it
					_, err = b.Verify(t.Context(), b.t, tokens.Access)
				}
				if got := outcome(err); got != want {
					t.Errorf("at b: %s, want %s", got, want)
				}
			})
		}
	}
}

// A store that does not answer refuses no login, and what was read before
// counts for cache_ttl at most.
func TestRevocationTimesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens, code := h.login(t), h.code(t)
	l := h.mustVerify(t, tokens.Access)
	down := errors.New("the store is down")
	h.driver.Fail(func(_, key string) error {
		if key == notBeforeKey {
			return down
		}
		return nil
	})
	h.clock.advance(cacheTTL - time.Second)
	h.mustVerify(t, tokens.Access)
	h.clock.advance(time.Second)
	_, verify := h.Verify(t.Context(), h.t, tokens.Access)
	_, refresh := h.Refresh(t.Context(), h.t, tokens.Refresh, right())
	_, redeem := h.Redeem(t.Context(), h.t, code, right())
	_, _, list := h.OfAccount(t.Context(), h.t, h.t.Account("42"))
	for what, err := range map[string]error{"verify": verify, "stands": h.Stands(t.Context(), h.t, l), "refresh": refresh, "redeem": redeem, "list": list} {
		if !errors.Is(err, down) || ReasonOf(err) != "" {
			t.Errorf("%s: %v, want the store's error", what, err)
		}
	}
	h.driver.Fail(nil)
	h.mustVerify(t, tokens.Access)
	if _, err := h.Redeem(t.Context(), h.t, code, right()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestVerifyFromCacheMakesNoStoreCall(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if err := h.RevokeBefore(t.Context(), Scope{Tenant: h.t, Account: h.t.Account("43")}, h.clock.now()); err != nil {
		t.Fatal(err)
	}
	tokens := h.login(t)
	h.mustVerify(t, tokens.Access)
	if n := h.operations(func() {
		for range 1000 {
			h.mustVerify(t, tokens.Access)
		}
	}); n != 0 {
		t.Errorf("%d operations, want 0", n)
	}
}

// One caller that leaves does not end the read that others wait for.
func TestCallerThatLeavesFailsNoOther(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	tokens := h.login(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	h.clock.advance(cacheTTL)
	if _, err := h.Verify(gone, h.t, tokens.Access); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left: %v", err)
	}
	h.mustVerify(t, tokens.Access)
}

func TestRevokeBeforeOnlyMovesForward(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	start := h.clock.now()
	h.clock.advance(time.Minute)
	tokens := h.login(t)
	h.clock.advance(time.Minute)
	for _, at := range []time.Time{h.clock.now(), start} {
		if err := h.RevokeBefore(t.Context(), Scope{Tenant: h.t}, at); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Verify(t.Context(), h.t, tokens.Access); ReasonOf(err) != NotBefore {
		t.Errorf("after an earlier time: %v", err)
	}
}

// A record holds whole seconds: a grant of the same second may be older.
func TestGrantOfTheSecondOfRevocationHasEnded(t *testing.T) {
	t.Parallel()
	b := &notBefore{}
	at := time.Unix(1_800_000_000, 1)
	b.raise(Scope{}, at.Add(time.Second-1).Unix())
	for created, want := range map[int64]string{1_799_999_999: "not_before", 1_800_000_000: "not_before", 1_800_000_001: "ok"} {
		if got := outcome(b.check(&tenant.Tenant{}, &Record{Created: time.Unix(created, 0)})); got != want {
			t.Errorf("created at %d: %s, want %s", created, got, want)
		}
	}
}

// An account is the same under an identity that means the tenant's upstream,
// whichever of the two was in force when it was revoked.
func TestRevokedAccountStaysRevokedUnderItsOtherIdentity(t *testing.T) {
	t.Parallel()
	one, two := upstream.Identity("up_one"), upstream.Identity("up_two")
	before := &tenant.Tenant{Name: "music", Upstream: tenant.Upstream{Identity: one}}
	after := &tenant.Tenant{Name: "music", Upstream: tenant.Upstream{Identity: two, Same: []upstream.Identity{one}}}
	for name, step := range map[string]struct{ revoked, checked *tenant.Tenant }{"accepted since": {before, after}, "undone since": {after, before}} {
		b := &notBefore{}
		b.raise(Scope{Tenant: step.revoked, Account: step.revoked.Account("42")}, 100)
		if got := outcome(b.check(step.checked, &Record{Created: time.Unix(99, 0), Subject: "42", Mark: upstream.Mark{Upstream: one}})); got != "not_before" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestRevokeBeforeRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	now := h.clock.now()
	for want, call := range map[string]func() error{
		"has not come yet": func() error { return h.RevokeBefore(t.Context(), Scope{}, now.Add(time.Second)) },
		"name the tenant":  func() error { return h.RevokeBefore(t.Context(), Scope{ClientHash: "c"}, now) },
		"name one of the two": func() error {
			return h.RevokeBefore(t.Context(), Scope{Tenant: h.t, ClientHash: "c", Account: h.t.Account("42")}, now)
		},
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	full := &notBefore{Tenants: map[string]tenantNotBefore{"music": {Clients: map[string]int64{}}}}
	for i := range maxNotBefore {
		full.Tenants["music"].Clients[fmt.Sprint(i)] = 1
	}
	if _, err := h.before.records.Upsert(t.Context(), "", notBeforeID, func(b *notBefore) (time.Duration, error) { *b = *full; return time.Hour, nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.RevokeBefore(t.Context(), Scope{Tenant: h.t, ClientHash: "c"}, now); err == nil || !strings.Contains(err.Error(), "revoke the whole tenant") {
		t.Errorf("a full record: %v", err)
	}
	if err := h.RevokeBefore(t.Context(), Scope{Tenant: h.t}, now); err != nil {
		t.Fatal(err)
	}
	if err := h.RevokeBefore(t.Context(), Scope{Tenant: h.t, ClientHash: "c"}, now); err != nil {
		t.Errorf("after the tenant was revoked: %v", err)
	}
}

// The record outlives the keys that it was sealed with, and one of a key that
// is gone is an outage that revoking everything ends.
func TestRevocationTimesOutliveTheirKey(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.clock.advance(time.Second)
	if err := h.RevokeBefore(t.Context(), Scope{Tenant: h.t}, h.clock.now()); err != nil {
		t.Fatal(err)
	}
	old, fresh := seal.NewKey(), seal.NewKey()
	ring := func(keys ...seal.Key) *seal.Keyring {
		r, err := seal.NewKeyring(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	at := func(r *seal.Keyring) *Store { return NewStore(h.driver, r, h.clock.now).Remember(cacheTTL) }
	if _, err := at(ring(fresh)).before.get(t.Context()); !errors.Is(err, store.ErrUnreadable) || !strings.Contains(err.Error(), "back into keys") {
		t.Errorf("with no key that opens it: %v", err)
	}
	if err := at(ring(fresh)).RevokeBefore(t.Context(), Scope{Tenant: h.t}, h.clock.now()); !errors.Is(err, store.ErrUnreadable) {
		t.Errorf("a tenant: %v", err)
	}
	if err := at(ring(old)).RevokeBefore(t.Context(), Scope{}, h.clock.now()); err != nil {
		t.Errorf("all: %v", err)
	}
	if _, err := at(ring(fresh, old)).before.get(t.Context()); err != nil {
		t.Errorf("with both keys: %v", err)
	}
	b, err := at(ring(fresh)).before.get(t.Context())
	if err != nil || b.All != h.clock.now().Unix() {
		t.Errorf("with the newer key only: %+v, %v", b, err)
	}
}

func TestRevocationTimesOfANewerReleaseAreAnOutage(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	newer := h.keys.Seal(seal.Purpose{Use: notBeforeKind, Record: notBeforeID}, []byte(`{"format":2}`))
	if err := h.driver.Swap(t.Context(), notBeforeKey, nil, newer, time.Hour); err != nil {
		t.Fatal(err)
	}
	_, err := h.Redeem(t.Context(), h.t, h.code(t), right())
	if wire := oauth.AsError(err); ReasonOf(err) != "" || wire.Status != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
}
