package core_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// code returns a fresh code for a freshly registered client.
func code(t *testing.T, s *coretest.Server) (code, clientID string) {
	t.Helper()
	id := s.Register(t, "music")
	return s.Code(t, s.Browser(), "music", s.AuthorizeQuery("music", id), "ada").Get("code"), id
}

// redeem posts a code with the given changes to an otherwise right request.
func redeem(t *testing.T, s *coretest.Server, tenant, code, clientID string, change url.Values) coretest.Answer {
	t.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {clientID},
		"redirect_uri": {coretest.ClientCallback}, "code_verifier": {coretest.Verifier}, "resource": {s.URL + "/music/mcp"},
	}
	for name, value := range change {
		form[name] = value
	}
	return s.PostForm(t, nil, "/"+tenant+"/token", form)
}

func wantError(t *testing.T, what string, a coretest.Answer, status int, code string) {
	t.Helper()
	if a.Status != status || a.JSON(t)["error"] != code {
		t.Errorf("%s: got %d %s, want %d %s", what, a.Status, a.Body, status, code)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: the answer may be cached", what)
	}
}

func TestWrongTokenRequestsAreRefusedAndBurnNoCode(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	good, id := code(t, s)
	other := s.Register(t, "music")
	for _, c := range []struct {
		what   string
		tenant string
		change url.Values
		status int
		code   string
	}{
		{"a wrong verifier", "music", url.Values{"code_verifier": {strings.Repeat("x", 43)}}, 400, "invalid_grant"},
		{"no verifier", "music", url.Values{"code_verifier": nil}, 400, "invalid_request"},
		{"another client", "music", url.Values{"client_id": {other}}, 400, "invalid_grant"},
		{"an unknown client", "music", url.Values{"client_id": {"nobody"}}, 401, "invalid_client"},
		{"a client of another tenant", "octo", nil, 401, "invalid_client"},
		{"another redirect URI", "music", url.Values{"redirect_uri": {"http://127.0.0.1:7777/other"}}, 400, "invalid_grant"},
		{"a foreign resource", "music", url.Values{"resource": {"https://elsewhere.example/mcp"}}, 400, "invalid_target"},
		{"a changed code", "music", url.Values{"code": {good[:len(good)-2] + "AA"}}, 400, "invalid_grant"},
		{"an unknown grant type", "music", url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
		{"a repeated parameter", "music", url.Values{"code": {good, good}}, 400, "invalid_request"},
	} {
		wantError(t, c.what, redeem(t, s, c.tenant, good, id, c.change), c.status, c.code)
	}
	if a := redeem(t, s, "music", good, id, nil); a.Status != http.StatusOK {
		t.Fatalf("the code was burnt by a refused request: %d %s", a.Status, a.Body)
	}
}

func TestReusedCodeEndsTheGrant(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	good, id := code(t, s)
	first := redeem(t, s, "music", good, id, nil)
	if first.Status != http.StatusOK {
		t.Fatalf("%d %s", first.Status, first.Body)
	}
	wantError(t, "the code again", redeem(t, s, "music", good, id, nil), 400, "invalid_grant")
	if a := s.Call(t, "music", first.JSON(t)["access_token"].(string)); a.Status != http.StatusUnauthorized {
		t.Errorf("a token issued from a reused code still works: %d", a.Status)
	}
}

func TestExpiredCodeIsRefused(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	good, id := code(t, s)
	s.Advance(5*time.Minute + time.Second)
	wantError(t, "an expired code", redeem(t, s, "music", good, id, nil), 400, "invalid_grant")
}

func TestTokensCountForOneUseAtOneTenant(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")
	fresh, _ := code(t, s)
	for what, call := range map[string]struct{ tenant, token string }{
		"a refresh token as bearer":    {"music", tokens.Refresh},
		"a code as bearer":             {"music", fresh},
		"a token of the other tenant":  {"octo", tokens.Access},
		"a refresh token, prefix aped": {"music", "sp_at_" + strings.TrimPrefix(tokens.Refresh, "sp_rt_")},
		"a made-up token":              {"music", "sp_at_" + strings.Repeat("A", 112)},
		"no token of ours":             {"music", "gho_0123456789"},
	} {
		a := s.Call(t, call.tenant, call.token)
		challenge := a.Header.Get("WWW-Authenticate")
		if a.Status != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_token"`) ||
			!strings.HasPrefix(challenge, "Bearer resource_metadata=") {
			t.Errorf("%s: %d %s", what, a.Status, challenge)
		}
	}
	if a := s.Call(t, "music", ""); a.Status != http.StatusUnauthorized || strings.Contains(a.Header.Get("WWW-Authenticate"), "error") {
		t.Errorf("no token: %d %s; RFC 6750 §3.1 wants no error", a.Status, a.Header.Get("WWW-Authenticate"))
	}
	if a := s.Get(t, nil, "/music/mcp?access_token="+tokens.Access); a.Status != http.StatusBadRequest {
		t.Errorf("token in the query: %d", a.Status)
	}
	s.Advance(24*time.Hour + time.Second)
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("expired access token: %d", a.Status)
	}
	wantError(t, "an access token as refresh token", s.PostForm(t, nil, "/music/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {tokens.Access}, "client_id": {tokens.ClientID},
	}), 400, "invalid_grant")
}

func TestNothingRedirectsBeforeClientAndRedirectURIAreKnown(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	foreign := s.Register(t, "octo")
	for what, change := range map[string]url.Values{
		"an unregistered redirect URI":  {"redirect_uri": {"http://127.0.0.1:7777/other"}},
		"another host":                  {"redirect_uri": {"https://evil.example/callback"}},
		"a host that looks alike":       {"redirect_uri": {"http://127.0.0.1.evil.example:7777/callback"}},
		"user information":              {"redirect_uri": {"http://127.0.0.1:7777@evil.example/callback"}},
		"localhost for 127.0.0.1":       {"redirect_uri": {"http://localhost:7777/callback"}},
		"script":                        {"redirect_uri": {"javascript:alert(1)"}},
		"an unknown client":             {"client_id": {"nobody"}},
		"a client of the other tenant":  {"client_id": {foreign}},
		"two redirect URIs":             {"redirect_uri": {coretest.ClientCallback, "https://evil.example/"}},
		"two clients":                   {"client_id": {id, foreign}},
		"no client":                     {"client_id": nil},
		"bad redirect and bad response": {"redirect_uri": {"https://evil.example/"}, "response_type": {"token"}},
	} {
		q := s.AuthorizeQuery("music", id)
		for name, value := range change {
			q[name] = value
		}
		a := s.Get(t, nil, "/music/authorize?"+q.Encode())
		if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || strings.Contains(a.Body, "http-equiv=\"refresh\"") {
			t.Errorf("%s: %d, Location %q", what, a.Status, a.Header.Get("Location"))
		}
		if !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: the error is no page", what)
		}
	}
}

// faulty are authorization requests whose client and redirect URI are right,
// by what is wrong with the rest, and the error they get.
func faulty(s *coretest.Server) map[string]struct {
	change url.Values
	code   string
} {
	return map[string]struct {
		change url.Values
		code   string
	}{
		"a foreign resource":        {url.Values{"resource": {"https://elsewhere.example/mcp"}}, "invalid_target"},
		"one foreign resource":      {url.Values{"resource": {s.URL + "/music/mcp", s.URL + "/octo/mcp"}}, "invalid_target"},
		"no PKCE":                   {url.Values{"code_challenge": nil, "code_challenge_method": nil}, "invalid_request"},
		"PKCE without method":       {url.Values{"code_challenge_method": nil}, "invalid_request"},
		"plain PKCE":                {url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		"the implicit grant":        {url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		"an answer by form":         {url.Values{"response_mode": {"form_post"}}, "invalid_request"},
		"a request object":          {url.Values{"request": {"eyJhbGciOiJub25lIn0.e30."}}, "request_not_supported"},
		"no prompt and a prompt":    {url.Values{"prompt": {"none login"}}, "invalid_request"},
		"a repeated code_challenge": {url.Values{"code_challenge": {"a", "b"}}, "invalid_request"},
	}
}

func TestFaultyAuthorizationRequestsGoBackToTheClient(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	for what, c := range faulty(s) {
		q := s.AuthorizeQuery("music", id)
		maps.Copy(q, c.change)
		to, answer := s.Get(t, nil, "/music/authorize?"+q.Encode()).Location(t)
		if to != coretest.ClientCallback || answer.Get("error") != c.code {
			t.Errorf("%s: sent to %s with %v, want %s", what, to, answer, c.code)
		}
	}
}

func TestRegistrationFollowsTheRedirectPolicy(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for uri, ok := range map[string]bool{
		"http://127.0.0.1/callback":                    true,
		"http://localhost:1234/callback":               true,
		"http://[::1]:1234/callback":                   true,
		"https://claude.ai/api/mcp/auth_callback":      true,
		"cursor://anysphere.cursor-mcp/oauth/callback": true,
		"https://evil.example/callback":                false,
		"http://claude.ai/api/mcp/auth_callback":       false,
		"cursor://elsewhere/callback":                  false,
		"javascript:alert(1)":                          false,
		"data:text/html,x":                             false,
		"https://claude.ai/cb#fragment":                false,
		"https://user@claude.ai/cb":                    false,
		"http://127.0.0.1:99999999/callback":           false,
		"":                                             false,
	} {
		a := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+uri+`"],"token_endpoint_auth_method":"none"}`)
		if got := a.Status == http.StatusCreated; got != ok {
			t.Errorf("%q: %d %s", uri, a.Status, a.Body)
		}
		if !ok && a.JSON(t)["error"] != "invalid_redirect_uri" {
			t.Errorf("%q: %s", uri, a.Body)
		}
	}
}

func TestConfidentialClientNeedsItsSecret(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	a := s.PostJSON(t, "/music/register", `{"client_name":"Web","redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"client_secret_post"}`)
	m := a.JSON(t)
	id, secret := m["client_id"].(string), m["client_secret"].(string)
	if m["client_secret_expires_at"] != float64(0) {
		t.Errorf("RFC 7591 §3.2.1 requires client_secret_expires_at: %s", a.Body)
	}
	good := s.Code(t, s.Browser(), "music", s.AuthorizeQuery("music", id), "ada").Get("code")
	wantError(t, "no secret", redeem(t, s, "music", good, id, nil), 401, "invalid_client")
	wantError(t, "a wrong secret", redeem(t, s, "music", good, id, url.Values{"client_secret": {"wrong"}}), 401, "invalid_client")
	if a := redeem(t, s, "music", good, id, url.Values{"client_secret": {secret}}); a.Status != http.StatusOK {
		t.Errorf("with its secret: %d %s", a.Status, a.Body)
	}
}

// knownClient is registered at both tenants by knownToBoth.
const knownClient = "known-to-both-tenants"

func knownToBoth(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
	for _, each := range tenants {
		each.Clients = []tenant.Client{{ID: knownClient, Name: "Known", RedirectURIs: []string{coretest.ClientCallback}}}
	}
}

func TestCallbackBelongsToTheBrowserThatConsented(t *testing.T) {
	t.Parallel()
	const id = knownClient
	s := coretest.New(t, knownToBoth)
	user, thief := s.Browser(), s.Browser()
	state := s.Consent(t, user, "music", s.AuthorizeQuery("music", id), "approve").Query().Get("state")
	callback := "/music/callback?code=ada&state=" + state

	if a := s.Get(t, thief, callback); a.Status != http.StatusBadRequest {
		t.Errorf("another browser: %d", a.Status)
	}
	if a := s.Get(t, user, "/octo/callback?code=ada&state="+state); a.Header.Get("Location") != "" {
		t.Errorf("callback at the other tenant: sent to %s", a.Header.Get("Location"))
	}
	state = s.Consent(t, user, "music", s.AuthorizeQuery("music", id), "approve").Query().Get("state")
	callback = "/music/callback?code=ada&state=" + state
	if a := s.Get(t, user, callback); a.Status != http.StatusFound {
		t.Fatalf("the same browser: %d %s", a.Status, a.Body)
	}
	if a := s.Get(t, user, callback); a.Status != http.StatusBadRequest {
		t.Errorf("the callback twice: %d", a.Status)
	}
	if log := s.Audit(); strings.Count(log, `"action":"login_failed"`) != 3 || !strings.Contains(log, "another browser") {
		t.Errorf("audit:\n%s", log)
	}
}

func TestConsentFormBelongsToTheBrowserThatSawIt(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	page := s.Get(t, s.Browser(), "/music/authorize?"+s.AuthorizeQuery("music", id).Encode())
	victim := s.Browser()
	s.Get(t, victim, "/music/authorize?"+s.AuthorizeQuery("music", id).Encode())
	a := s.PostForm(t, victim, "/music/consent", url.Values{"request": {s.Form(t, page)}, "decision": {"approve"}})
	if a.Status != http.StatusBadRequest || strings.Contains(a.Body, "upstream-login") {
		t.Errorf("a form from another browser: %d %s", a.Status, a.Body)
	}
	if log := s.Audit(); !strings.Contains(log, `"action":"authorize_refused"`) || !strings.Contains(log, "another browser") {
		t.Errorf("audit:\n%s", log)
	}
}
