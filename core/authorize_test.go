package core_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

func TestPromptReachesTheUpstreamAfterConsent(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id, user := s.Register(t, "music"), s.Browser()
	for prompt, want := range map[string]string{
		"": "", "consent": "", "login": "login", "select_account consent": "select_account", "login select_account": "login select_account",
		"of-the-future login": "login",
	} {
		q := s.AuthorizeQuery("music", id)
		q.Set("prompt", prompt)
		if got := s.Consent(t, user, "music", q, "approve").Query().Get("prompt"); got != want {
			t.Errorf("prompt=%s: the upstream is asked for %q, want %q", prompt, got, want)
		}
	}
	if got := s.Consent(t, user, "music", pushed(t, s, id, url.Values{"prompt": {"login"}}), "approve").Query().Get("prompt"); got != "login" {
		t.Errorf("pushed: the upstream is asked for %q", got)
	}
}

// granted logs a client in and returns the scopes that the upstream was asked
// for, and the scopes the client is told it was granted.
func granted(t *testing.T, s *coretest.Server, clientID string, scope url.Values) (asked, told string, tokens map[string]any) {
	t.Helper()
	q := s.AuthorizeQuery("music", clientID)
	delete(q, "scope")
	maps.Copy(q, scope)
	user := s.Browser()
	at := s.Consent(t, user, "music", q, "approve").Query()
	_, answer := s.Get(t, user, "/music/callback?code=ada&state="+at.Get("state")).Location(t)
	a := redeem(t, s, "music", answer.Get("code"), clientID, nil)
	if a.Status != http.StatusOK {
		t.Fatalf("%v: %d %s", scope, a.Status, a.Body)
	}
	told, _ = a.JSON(t)["scope"].(string)
	return at.Get("scope"), told, a.JSON(t)
}

func TestScopesAskedForAreGrantedAsFarAsTheyAreOffered(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	for what, c := range map[string]struct {
		scope url.Values
		want  string
	}{
		"a subset":                       {url.Values{"scope": {"write"}}, "write"},
		"all, in another order":          {url.Values{"scope": {"write read"}}, "write read"},
		"none: the default":              {nil, "read write"},
		"an empty one: the default":      {url.Values{"scope": {""}}, "read write"},
		"an unknown one beside":          {url.Values{"scope": {"read admin"}}, "read"},
		"only unknown ones: the default": {url.Values{"scope": {"claudeai"}}, "read write"},
		"stray spaces, repeated":         {url.Values{"scope": {"  read  read "}}, "read"},
		"offline_access beside":          {url.Values{"scope": {"read offline_access"}}, "read"},
		"offline_access alone":           {url.Values{"scope": {" offline_access"}}, "read write"},
	} {
		asked, told, tokens := granted(t, s, id, c.scope)
		if asked != c.want || told != c.want {
			t.Errorf("%s: the upstream is asked for %q, the client is told %q, want %q", what, asked, told, c.want)
		}
		if tokens["refresh_token"] == nil {
			t.Errorf("%s: no refresh token", what)
		}
	}
}

func TestClientIsToldWhatTheUpstreamDidNotGrant(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) { f.Grants = []string{"read"} })
	if asked, told, _ := granted(t, s, s.Register(t, "music"), url.Values{"scope": {"read write"}}); asked != "read write" || told != "read" {
		t.Errorf("asked for %q, told %q", asked, told)
	}
}

func TestStepUpGrantsTheUnion(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Tools = map[string][]string{"change": {"write"}}
	})
	id := s.Register(t, "music")
	call := func(token any) coretest.Answer {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/music/mcp",
			strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"change"}}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token.(string))
		return s.Do(t, nil, req)
	}
	_, told, little := granted(t, s, id, url.Values{"scope": {"read"}})
	a := call(little["access_token"])
	challenge := a.Header.Get("WWW-Authenticate")
	if told != "read" || a.Status != http.StatusForbidden || !strings.Contains(challenge, `error="insufficient_scope"`) || !strings.Contains(challenge, "write") {
		t.Fatalf("with %s: %d %s", told, a.Status, challenge)
	}
	// The client asks for what it has and what the challenge names.
	asked, told, more := granted(t, s, id, url.Values{"scope": {"read write"}})
	if asked != "read write" || told != "read write" {
		t.Errorf("asked for %q, told %q", asked, told)
	}
	if a := call(more["access_token"]); a.Status != http.StatusOK {
		t.Errorf("stepped up: %d %s", a.Status, a.Body)
	}
	if a := call(little["access_token"]); a.Status != http.StatusForbidden {
		t.Errorf("the token of before: %d", a.Status)
	}
	// A refresh does not step up (RFC 6749 §6), nor fails over offline_access.
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {little["refresh_token"].(string)}, "client_id": {id}, "scope": {"read write"}}
	wantError(t, "a refresh that asks for more", s.PostForm(t, nil, "/music/token", form), 400, "invalid_scope")
	form.Set("scope", "read offline_access")
	if a := s.PostForm(t, nil, "/music/token", form); a.Status != http.StatusOK || a.JSON(t)["scope"] != "read" {
		t.Errorf("refresh: %d %s", a.Status, a.Body)
	}
}

func TestOfflineAccessIsBetweenUsAndTheUpstream(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Scopes = []string{"read", "offline_access", "write"}
	})
	for _, path := range []string{
		"/.well-known/oauth-protected-resource/music/mcp", "/.well-known/oauth-protected-resource/music",
		"/.well-known/oauth-authorization-server/music", "/.well-known/openid-configuration/music",
	} {
		if scopes := s.Get(t, nil, path).JSON(t)["scopes_supported"]; fmt.Sprint(scopes) != "[read write]" {
			t.Errorf("%s: %v", path, scopes)
		}
	}
	if challenge := s.Call(t, "music", "").Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `scope="read write"`) {
		t.Errorf("challenge: %s", challenge)
	}
	id := s.Register(t, "music")
	for scope, want := range map[string]string{"": "read write", "read": "read", "offline_access read": "read", "offline_access": "read write"} {
		asked, told, tokens := granted(t, s, id, url.Values{"scope": {scope}})
		if asked != want+" offline_access" || told != want {
			t.Errorf("scope %q: the upstream is asked for %q, the client is told %q", scope, asked, told)
		}
		if got := exchange(t, s, tokens["access_token"].(string), nil).JSON(t)["scope"]; got != asked {
			t.Errorf("scope %q: the upstream's token has %q, want %q", scope, got, asked)
		}
	}
	page := s.Get(t, nil, "/music/authorize?"+s.AuthorizeQuery("music", id).Encode())
	if !strings.Contains(page.Body, "offline_access") {
		t.Errorf("the consent page does not show all that the upstream is asked for: %s", page.Body)
	}
}
