package core_test

import (
	"errors"
	"net/http"
	"net/url"
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

// inside is what no answer may hold: our own words for what went wrong, the
// store's keys, and the upstream's details.
var inside = []string{
	"sealed", ".go:", "goroutine", "runtime error", "redis", "bolt", "grant/", "session/", "json:", "unexpected end", "dial tcp",
	"seal:", "store:", "grant:", "client:", "credential:", "upstream:", "gateway:", "engine-detail", "upstream-detail", "upstream-access", "upstream-refresh",
}

func wantNoLeak(t *testing.T, what string, a coretest.Answer) {
	t.Helper()
	text := a.Body
	for name, values := range a.Header {
		if name != "Set-Cookie" {
			text += "\n" + name + ": " + strings.Join(values, ", ")
		}
	}
	if location, err := url.QueryUnescape(a.Header.Get("Location")); err == nil {
		text += "\n" + location
	}
	for _, word := range inside {
		if strings.Contains(strings.ToLower(text), word) {
			t.Errorf("%s: the answer holds %q: %d %s", what, word, a.Status, text)
		}
	}
	if a.Status < 300 {
		t.Errorf("%s: %d, want an error", what, a.Status)
	}
}

func TestNoErrorTellsOfTheInside(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	user := s.Browser()
	tokens := s.Login(t, user, "ada")
	q := s.AuthorizeQuery("music", tokens.ClientID)
	with := func(name, value string) string {
		changed, _ := url.ParseQuery(q.Encode())
		changed.Set(name, value)
		return "/music/authorize?" + changed.Encode()
	}
	for _, target := range []string{
		"/", "/nobody/token", "/music/none", "/music/callback", "/music/callback?state=x", "/music/callback?state=" + strings.Repeat("x", 4000),
		"/music/callback?state=%00%0a", "/music/authorize", "/music/authorize?%zz", "/music/token", "/music/register", "/music/consent",
		"/music/mcp?access_token=" + tokens.Access, "/.well-known/none/music",
		with("client_id", "sp_cl_AAAA"), with("client_id", tokens.ClientID+"A"), with("client_id", "%00"), with("redirect_uri", "javascript:alert(1)"),
		with("redirect_uri", "http://127.0.0.1:1\\@x"), with("code_challenge", "x"), with("resource", "://"), with("response_type", "x"),
		with("request_uri", "urn:ietf:params:oauth:request_uri:AAAA"), with("request_uri", "https://127.0.0.1/x"),
	} {
		wantNoLeak(t, "GET "+target, s.Get(t, user, target))
	}
	for _, c := range []struct {
		target string
		form   url.Values
	}{
		{"/music/token", nil},
		{"/music/token", url.Values{"grant_type": {"x"}}},
		{"/music/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"sp_cl_AAAA"}}},
		{"/music/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {tokens.ClientID}, "code": {"sp_ac_AAAA"}}},
		{"/music/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Access}}},
		{"/music/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Refresh}, "scope": {"admin"}}},
		{"/music/token", url.Values{"grant_type": {strings.Repeat("x", 70<<10)}}},
		{"/music/revoke", nil},
		{"/music/revoke", url.Values{"client_id": {"sp_cl_AAAA"}, "token": {tokens.Access}}},
		{"/music/revoke", url.Values{"client_id": {s.Register(t, "music")}, "token": {tokens.Access}}},
		{"/music/revoke", url.Values{"client_id": {tokens.ClientID}, "token": {strings.Repeat("x", 70<<10)}}},
		{"/music/introspect", nil},
		{"/music/introspect", url.Values{"client_id": {tokens.ClientID}, "token": {tokens.Access}}},
		{"/music/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {tokens.Access}}},
		{"/music/par", nil},
		{"/music/par", url.Values{"client_id": {"sp_cl_AAAA"}}},
		{"/music/par", url.Values{"client_id": {tokens.ClientID}, "request_uri": {"urn:ietf:params:oauth:request_uri:AAAA"}}},
		{"/music/consent", nil},
		{"/music/consent", url.Values{"request": {"%%%"}}},
		{"/music/consent", url.Values{"request": {strings.Repeat("A", 300)}, "decision": {"approve"}}},
	} {
		wantNoLeak(t, "POST "+c.target, s.PostForm(t, user, c.target, c.form))
	}
	for _, body := range []string{
		"", "{", "[]", "null", `{"redirect_uris":"x"}`, `{"redirect_uris":[1]}`, `{"redirect_uris":["x"]}`,
		`{"redirect_uris":["` + coretest.ClientCallback + strings.Repeat("x", 1200) + `"]}`,
		`{"redirect_uris":["` + coretest.ClientCallback + `"],"token_endpoint_auth_method":"private_key_jwt"}`,
	} {
		wantNoLeak(t, "register "+body[:min(len(body), 40)], s.PostJSON(t, "/music/register", body))
		wantNoLeak(t, "token as JSON", s.PostJSON(t, "/music/token", body))
	}
	for _, token := range []string{"", "x", "sp_at_", tokens.Refresh, tokens.Access + "A", strings.Repeat("x", 5000)} {
		wantNoLeak(t, "call", s.Call(t, "music", token))
	}
	s.Backend.Close()
	wantNoLeak(t, "backend down", s.Call(t, "music", tokens.Access))
}

func TestNoStoreFailureTellsOfTheInside(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, withServers, onMemory(driver))
	user := s.Browser()
	tokens := s.Login(t, user, "ada")
	fresh, id := code(t, s)
	state := s.Consent(t, user, "music", s.AuthorizeQuery("music", tokens.ClientID), "approve").Query().Get("state")
	s.Forget()
	driver.Fail(func(op, key string) error {
		return errors.New("redis: engine-detail " + op + " " + key + " at bolt.go:12")
	})
	again := url.Values{"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Refresh}}
	for what, a := range map[string]coretest.Answer{
		"redeem":   redeem(t, s, "music", fresh, id, nil),
		"refresh":  s.PostForm(t, nil, "/music/token", again),
		"call":     s.Call(t, "music", tokens.Access),
		"revoke":   revoke(t, s, tokens.Access, tokens.ClientID, nil),
		"inspect":  introspect(t, s, tokens.Access),
		"exchange": exchange(t, s, tokens.Access, nil),
		"callback": s.Get(t, user, "/music/callback?code=ada&state="+state),
	} {
		wantNoLeak(t, what, a)
		if a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503: %s", what, a.Status, a.Body)
		}
		if strings.Contains(a.Body, "invalid_grant") || a.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: the client would throw its token away: %s", what, a.Body)
		}
	}
	driver.Fail(nil)
	if m := introspect(t, s, tokens.Access).JSON(t); m["active"] != true || len(s.Fake.Revoked()) > 0 {
		t.Errorf("after the failure: %v, revoked at the upstream %v", m, s.Fake.Revoked())
	}
	if a := s.PostForm(t, nil, "/music/token", again); a.Status != http.StatusOK {
		t.Errorf("refresh after the failure: %d %s", a.Status, a.Body)
	}
}

func TestNoUpstreamFailureTellsOfTheInside(t *testing.T) {
	t.Parallel()
	for _, kind := range []upstream.Kind{
		upstream.AccessDenied, upstream.InvalidGrant, upstream.InvalidScope, upstream.InteractionRequired,
		upstream.RateLimited, upstream.Unavailable, upstream.Misconfigured, upstream.Bug,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			fault := &upstream.Error{Kind: kind, Detail: "upstream-detail at x.go:1", Err: errors.New("dial tcp 10.0.0.1:443")}
			var broken *upstreamtest.Fake
			s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
				f.Life = 10 * time.Minute
				f.Fail = func() error { return fault }
				broken = f
			})
			user := s.Browser()
			tokens := s.Login(t, user, "ada")
			s.Advance(time.Hour)
			wantNoLeak(t, "call", s.Call(t, "music", tokens.Access))
			state := s.Consent(t, user, "music", s.AuthorizeQuery("music", tokens.ClientID), "approve").Query().Get("state")
			broken.Exchange = fault
			wantNoLeak(t, "callback", s.Get(t, user, "/music/callback?code=ada&state="+state))
		})
	}
}
