package core_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

const accessTokenType = "urn:ietf:params:oauth:token-type:access_token"

// exchangeForm is a right exchange of a token, with changes.
func exchangeForm(token string, change url.Values) url.Values {
	form := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token},
		"subject_token_type": {accessTokenType},
	}
	for name, value := range change {
		form[name] = value
	}
	return form
}

func exchange(t *testing.T, s *coretest.Server, token string, change url.Values) coretest.Answer {
	t.Helper()
	return ask(t, s, "/music/token", "api", serverSecret, exchangeForm(token, change))
}

func TestResourceServerExchangesATokenForTheUpstreams(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) { f.Life = 10 * time.Minute })
	tokens := s.Login(t, s.Browser(), "ada")
	for what, change := range map[string]url.Values{
		"the least":  nil,
		"everything": {"requested_token_type": {accessTokenType}, "audience": {"fake"}, "scope": {"read"}},
	} {
		a := exchange(t, s, tokens.Access, change)
		m := a.JSON(t)
		life, _ := m["expires_in"].(float64)
		if a.Status != http.StatusOK || m["access_token"] != "upstream-access-ada-0" || m["issued_token_type"] != accessTokenType ||
			m["token_type"] != "Bearer" || m["scope"] != "read" || life < 590 || life > 600 || len(m) != 5 {
			t.Errorf("%s: %d %s", what, a.Status, a.Body)
		}
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: the answer may be cached", what)
		}
	}
	s.Advance(9*time.Minute + 57*time.Second)
	if m := exchange(t, s, tokens.Access, nil).JSON(t); m["access_token"] != "upstream-access-ada-1" || s.Fake.Refreshes() != 1 {
		t.Errorf("near expiry: %v after %d refreshes", m, s.Fake.Refreshes())
	}
	log := s.Audit()
	if strings.Count(log, `"action":"token_exchanged"`) != 3 || !strings.Contains(log, `"server":"api","sub":"ada"`) || strings.Contains(log, "upstream-access") {
		t.Errorf("audit:\n%s", log)
	}
}

func TestUpstreamTokenWithoutEndHasNoExpiresIn(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	m := exchange(t, s, s.Login(t, s.Browser(), "ada").Access, nil).JSON(t)
	if _, there := m["expires_in"]; there || m["access_token"] != "upstream-access-ada-0" {
		t.Errorf("%v", m)
	}
}

func TestOnlyResourceServersExchange(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	tokens := s.Login(t, s.Browser(), "ada")
	for what, as := range strangers(t, s, tokens) {
		a := as("/music/token", exchangeForm(tokens.Access, nil))
		wantError(t, what, a, 401, "invalid_client")
		wantNoLeak(t, what, a)
	}
	fresh, id := code(t, s)
	wantError(t, "a resource server with a code", ask(t, s, "/music/token", "api", serverSecret, url.Values{
		"grant_type": {"authorization_code"}, "code": {fresh}, "code_verifier": {coretest.Verifier},
	}), 401, "invalid_client")
	if a := redeem(t, s, "music", fresh, id, nil); a.Status != http.StatusOK {
		t.Errorf("the code was spent: %d %s", a.Status, a.Body)
	}
}

func TestWrongExchangesAreRefused(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	tokens, revoked := s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "bob")
	revoke(t, s, revoked.Access, revoked.ClientID, nil)
	for _, c := range []struct {
		what, token string
		change      url.Values
		code        string
	}{
		// RFC 8693 §2.2.2: invalid_request for a bad subject token, not invalid_grant.
		{"a revoked token", revoked.Access, nil, "invalid_request"},
		{"a refresh token", tokens.Refresh, nil, "invalid_request"},
		{"a made-up token", "sp_at_" + strings.Repeat("A", 112), nil, "invalid_request"},
		{"the upstream's own token", "upstream-access-ada-0", nil, "invalid_request"},
		{"no token", "", nil, "invalid_request"},
		{"no type", tokens.Access, url.Values{"subject_token_type": nil}, "invalid_request"},
		{"another type", tokens.Access, url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"}}, "invalid_request"},
		{"another type wanted", tokens.Access, url.Values{"requested_token_type": {"urn:ietf:params:oauth:token-type:refresh_token"}}, "invalid_request"},
		{"an actor", tokens.Access, url.Values{"actor_token": {tokens.Access}, "actor_token_type": {accessTokenType}}, "invalid_request"},
		{"two tokens", tokens.Access, url.Values{"subject_token": {tokens.Access, tokens.Access}}, "invalid_request"},
		{"another audience", tokens.Access, url.Values{"audience": {"elsewhere"}}, "invalid_target"},
		{"a resource", tokens.Access, url.Values{"resource": {"https://elsewhere.example/"}}, "invalid_target"},
		{"more scope", tokens.Access, url.Values{"scope": {"read write"}}, "invalid_scope"},
	} {
		a := exchange(t, s, c.token, c.change)
		wantError(t, c.what, a, 400, c.code)
		wantNoLeak(t, c.what, a)
	}
	a := ask(t, s, "/octo/token", "octo-api", "octo-secret", exchangeForm(tokens.Access, nil))
	wantError(t, "at another tenant", a, 400, "invalid_request")
	if strings.Contains(s.Audit(), "token_exchanged") || !strings.Contains(s.Audit(), `"action":"token_refused","tenant":"octo","server":"octo-api","reason":"bad_token"`) {
		t.Errorf("audit:\n%s", s.Audit())
	}
	s.Advance(24*time.Hour + time.Second)
	wantError(t, "an expired token", exchange(t, s, tokens.Access, nil), 400, "invalid_request")
}

func TestExchangeWhenTheUpstreamCannotRenew(t *testing.T) {
	t.Parallel()
	var fault error
	s := coretest.New(t, withServers, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
		f.Life = 10 * time.Minute
		f.Fail = func() error { return fault }
	})
	tokens := s.Login(t, s.Browser(), "ada")
	s.Advance(time.Hour)
	for kind, want := range map[upstream.Kind]int{upstream.Unavailable: 503, upstream.RateLimited: 503, upstream.Bug: 502} {
		fault = &upstream.Error{Kind: kind, Detail: "upstream-detail"}
		a := exchange(t, s, tokens.Access, nil)
		wantNoLeak(t, string(kind), a)
		if a.Status != want {
			t.Errorf("%s: %d %s, want %d", kind, a.Status, a.Body, want)
		}
		s.Advance(time.Minute) // the upstream rests a while
	}
	fault = &upstream.Error{Kind: upstream.InvalidGrant, Detail: "upstream-detail"}
	a := exchange(t, s, tokens.Access, nil)
	wantError(t, "dead at the upstream", a, 400, "invalid_request")
	wantNoLeak(t, "dead at the upstream", a)
	wantInactive(t, "dead at the upstream", introspect(t, s, tokens.Access))
}

// A token that is about to end leaves the server by no token exchange, whatever the
// upstream is doing; a call of the gateway goes on with it.
func TestTokenAboutToEndIsNotExchanged(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
		f.Life, f.Fail = 10*time.Minute, func() error { return &upstream.Error{Kind: upstream.Unavailable} }
	})
	tokens := s.Login(t, s.Browser(), "ada")
	s.Advance(10*time.Minute - 10*time.Second)
	if a := exchange(t, s, tokens.Access, nil); a.Status != http.StatusOK {
		t.Errorf("ten seconds left: %d %s", a.Status, a.Body)
	}
	s.Advance(7 * time.Second)
	if a := exchange(t, s, tokens.Access, nil); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("three seconds left: %d %s", a.Status, a.Body)
	}
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("a call with three seconds left: %d %s", a.Status, a.Body)
	}
}
