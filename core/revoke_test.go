package core_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

func revoke(t *testing.T, s *coretest.Server, token, clientID string, change url.Values) coretest.Answer {
	t.Helper()
	form := url.Values{"token": {token}, "client_id": {clientID}}
	for name, value := range change {
		form[name] = value
	}
	return s.PostForm(t, nil, "/music/revoke", form)
}

func refresh(t *testing.T, s *coretest.Server, tokens coretest.Tokens) coretest.Answer {
	t.Helper()
	return s.PostForm(t, nil, "/music/token", url.Values{
		"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Refresh},
	})
}

func TestRevokedTokenEndsTheGrantOnBothLegs(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		token func(coretest.Tokens) string
		hint  []string
	}{
		"an access token":               {func(g coretest.Tokens) string { return g.Access }, nil},
		"a refresh token":               {func(g coretest.Tokens) string { return g.Refresh }, []string{"refresh_token"}},
		"an access token, a wrong hint": {func(g coretest.Tokens) string { return g.Access }, []string{"refresh_token"}},
		"a refresh token, another hint": {func(g coretest.Tokens) string { return g.Refresh }, []string{"saml2_assertion"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := coretest.New(t)
			ada, bob := s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "bob")
			for range 2 { // the second time it is unknown, which is as good
				a := revoke(t, s, c.token(ada), ada.ClientID, url.Values{"token_type_hint": c.hint})
				if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%d %s %v", a.Status, a.Body, a.Header)
				}
			}
			if a := s.Call(t, "music", ada.Access); a.Status != http.StatusUnauthorized {
				t.Errorf("the access token afterwards: %d", a.Status)
			}
			wantError(t, "the refresh token afterwards", refresh(t, s, ada), 400, "invalid_grant")
			if got := s.Fake.Revoked(); !slices.Equal(got, []string{"upstream-access-ada-0"}) {
				t.Errorf("revoked at the upstream: %v, want ada's token once", got)
			}
			if a := s.Call(t, "music", bob.Access); a.Status != http.StatusOK {
				t.Errorf("another grant: %d", a.Status)
			}
			if log := s.Audit(); strings.Count(log, `"action":"token_revoked"`) != 1 || strings.Contains(log, c.token(ada)) || strings.Contains(log, "upstream-access") {
				t.Errorf("audit:\n%s", log)
			}
		})
	}
}

func TestRevokedCodeIsWorthNothing(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	fresh, id := code(t, s)
	if a := revoke(t, s, fresh, id, nil); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	wantError(t, "the code afterwards", redeem(t, s, "music", fresh, id, nil), 400, "invalid_grant")
	if len(s.Fake.Revoked()) != 1 {
		t.Errorf("revoked at the upstream: %v", s.Fake.Revoked())
	}
}

func TestRefreshTokenThatWasReplacedStillRevokes(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")
	next := refresh(t, s, tokens).JSON(t)["access_token"].(string)
	if a := revoke(t, s, tokens.Refresh, tokens.ClientID, nil); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := s.Call(t, "music", next); a.Status != http.StatusUnauthorized {
		t.Errorf("the newer access token: %d", a.Status)
	}
}

func TestOnlyItsClientRevokesAToken(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")
	web := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"client_secret_post"}`).JSON(t)
	atOcto := s.Register(t, "octo")

	wantError(t, "another client", revoke(t, s, tokens.Access, s.Register(t, "music"), nil), 400, "invalid_grant")
	wantError(t, "an unknown client", revoke(t, s, tokens.Access, "nobody", nil), 401, "invalid_client")
	wantError(t, "a client of another tenant", revoke(t, s, tokens.Access, atOcto, nil), 401, "invalid_client")
	wantError(t, "no client", revoke(t, s, tokens.Access, "", nil), 401, "invalid_client")
	wantError(t, "a client without its secret", revoke(t, s, tokens.Access, web["client_id"].(string), nil), 401, "invalid_client")
	wantError(t, "no token", revoke(t, s, "", tokens.ClientID, nil), 400, "invalid_request")
	for what, a := range map[string]coretest.Answer{
		"at another tenant": s.PostForm(t, nil, "/octo/revoke", url.Values{"token": {tokens.Access}, "client_id": {atOcto}}),
		"a made-up token":   revoke(t, s, "sp_at_"+strings.Repeat("A", 112), tokens.ClientID, nil),
		"no token of ours":  revoke(t, s, "gho_0123456789", tokens.ClientID, nil),
	} {
		if a.Status != http.StatusOK {
			t.Errorf("%s: %d %s; RFC 7009 §2.2 wants 200", what, a.Status, a.Body)
		}
	}
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK || len(s.Fake.Revoked()) > 0 {
		t.Errorf("somebody else ended the grant: %d, upstream %v", a.Status, s.Fake.Revoked())
	}
	s.Advance(24*time.Hour + time.Second)
	if a := revoke(t, s, tokens.Access, tokens.ClientID, nil); a.Status != http.StatusOK {
		t.Errorf("an expired token: %d %s", a.Status, a.Body)
	}
	if a := refresh(t, s, tokens); a.Status != http.StatusOK {
		t.Errorf("an expired token ended the grant: %d %s", a.Status, a.Body)
	}
}

func TestUpstreamThatDoesNotRevokeKeepsNothingAlive(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
		f.NoRevoke = &upstream.Error{Kind: upstream.Unavailable, Detail: "upstream-detail"}
	})
	tokens := s.Login(t, s.Browser(), "ada")
	if a := revoke(t, s, tokens.Refresh, tokens.ClientID, nil); a.Status != http.StatusOK || a.Body != "" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("the access token afterwards: %d", a.Status)
	}
	log := s.Audit()
	if strings.Count(log, `"action":"upstream_revoke_failed"`) != 1 || !strings.Contains(log, `"reason":"unavailable: upstream-detail"`) {
		t.Errorf("audit:\n%s", log)
	}
}

func TestRevocationThatTheStoreDidNotTakeIsToBeTriedAgain(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, onMemory(driver))
	tokens := s.Login(t, s.Browser(), "ada")
	s.Forget()
	for _, broken := range []string{"get", "swap"} {
		driver.Fail(func(op, key string) error {
			if op == broken && strings.HasPrefix(key, "grant/") { // clients are found all the same
				return errors.New("engine-detail")
			}
			return nil
		})
		a := revoke(t, s, tokens.Access, tokens.ClientID, nil)
		wantError(t, broken, a, 503, "temporarily_unavailable")
		wantNoLeak(t, broken, a)
		if a.Header.Get("Retry-After") == "" || len(s.Fake.Revoked()) > 0 {
			t.Errorf("%s: Retry-After %q, revoked at the upstream %v", broken, a.Header.Get("Retry-After"), s.Fake.Revoked())
		}
	}
	driver.Fail(nil)
	if a := revoke(t, s, tokens.Access, tokens.ClientID, nil); a.Status != http.StatusOK || len(s.Fake.Revoked()) != 1 {
		t.Errorf("afterwards: %d %s, revoked at the upstream %v", a.Status, a.Body, s.Fake.Revoked())
	}
}
