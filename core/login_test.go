package core_test

import (
	"encoding/json"
	"errors"
	"maps"
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

// seen is what the echoing backend reports of a call.
func seen(t *testing.T, a coretest.Answer) http.Header {
	t.Helper()
	var m struct{ Header http.Header }
	if err := json.Unmarshal([]byte(a.Body), &m); err != nil || a.Status != http.StatusOK {
		t.Fatalf("backend: %d %s", a.Status, a.Body)
	}
	return m.Header
}

func TestLoginEndsInACallWithTheUsersUpstreamToken(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")

	got := seen(t, s.Call(t, "music", tokens.Access))
	if got.Get("Authorization") != "Bearer upstream-access-ada-0" {
		t.Errorf("backend got Authorization %q", got.Get("Authorization"))
	}
	for _, action := range []string{"client_registered", "consent_given", "code_issued", "token_issued"} {
		if !strings.Contains(s.Audit(), `"action":"`+action+`"`) {
			t.Errorf("no audit line for %s in\n%s", action, s.Audit())
		}
	}
	for _, secret := range []string{tokens.Access, tokens.Refresh, "upstream-access", "upstream-refresh", coretest.Verifier} {
		if strings.Contains(s.Audit(), secret) {
			t.Errorf("the audit log holds a secret: %s", secret)
		}
	}
}

func TestEveryAuthorizationResponseCarriesIssAndState(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	var up *upstreamtest.Fake
	s := coretest.New(t, withAccounts, onMemory(driver), func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) { up = f })
	id, user := s.Register(t, "music"), s.Browser()

	check := func(name string, q url.Values, wantError string) {
		t.Helper()
		if q.Get("iss") != s.URL+"/music" || len(q["iss"]) != 1 || q.Get("state") != "client+state/==" || len(q["state"]) != 1 ||
			q.Get("error") != wantError || q.Has("code") != (wantError == "") {
			t.Errorf("%s: got %v, want error %q", name, q, wantError)
		}
	}
	query := s.AuthorizeQuery("music", id)
	check("success", s.Code(t, user, "music", query, "ada"), "")
	check("denied here", s.Consent(t, user, "music", query, "deny").Query(), "access_denied")

	for name, c := range faulty(s) {
		q := s.AuthorizeQuery("music", id)
		maps.Copy(q, c.change)
		_, answer := s.Get(t, user, "/music/authorize?"+q.Encode()).Location(t)
		check(name, answer, c.code)
	}
	silent := url.Values{"prompt": {"none"}}
	_, answer := s.Get(t, user, "/music/authorize?"+pushed(t, s, id, silent).Encode()).Location(t)
	check("prompt=none, pushed", answer, "interaction_required")
	maps.Copy(silent, query)
	_, answer = s.Get(t, user, "/music/authorize?"+silent.Encode()).Location(t)
	check("prompt=none", answer, "interaction_required")

	broken := func(kind string) func(string, string) error {
		return func(op, key string) error {
			if op == "swap" && strings.HasPrefix(key, kind+"/") {
				return errors.New("engine-detail")
			}
			return nil
		}
	}
	driver.Fail(broken("session"))
	check("the session is not stored", s.Consent(t, user, "music", query, "approve").Query(), "temporarily_unavailable")
	driver.Fail(broken("grant"))
	check("the grant is not stored", s.Code(t, user, "music", query, "ada"), "temporarily_unavailable")
	driver.Fail(nil)

	up.NoAuthorize = &upstream.Error{Kind: upstream.Misconfigured, Detail: "upstream-detail"}
	check("no way to the upstream", s.Consent(t, user, "music", query, "approve").Query(), "server_error")
	up.NoAuthorize = nil
	at := s.Consent(t, user, "music", query, "approve").Query()
	_, answer = s.Get(t, user, "/music/callback?error=access_denied&iss=https://upstream.example&state="+at.Get("state")).Location(t)
	check("denied upstream", answer, "access_denied")
	check("account not admitted", s.Code(t, user, "music", query, "bob"), "access_denied")
	for kind, code := range map[upstream.Kind]string{
		upstream.AccessDenied: "access_denied", upstream.InvalidGrant: "access_denied", upstream.InvalidScope: "invalid_scope",
		upstream.InteractionRequired: "access_denied", upstream.RateLimited: "temporarily_unavailable",
		upstream.Unavailable: "temporarily_unavailable", upstream.Misconfigured: "server_error", upstream.Bug: "server_error",
	} {
		up.Exchange = &upstream.Error{Kind: kind, Detail: "upstream-detail"}
		check("upstream: "+string(kind), s.Code(t, user, "music", query, "ada"), code)
	}
}

func TestRefreshRotatesAndAnswersARepeatedRefreshAgain(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	first := s.Login(t, s.Browser(), "ada")
	refresh := func(token string) coretest.Answer {
		return s.PostForm(t, nil, "/music/token", url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {first.ClientID},
		})
	}
	second := refresh(first.Refresh)
	if second.Status != http.StatusOK {
		t.Fatalf("refresh: %d %s", second.Status, second.Body)
	}
	rotated := second.JSON(t)["refresh_token"].(string)

	// A client that lost the answer asks again and gets a pair that works.
	again := refresh(first.Refresh)
	if again.Status != http.StatusOK {
		t.Fatalf("repeated refresh inside the window: %d %s", again.Status, again.Body)
	}
	third := refresh(again.JSON(t)["refresh_token"].(string))
	if third.Status != http.StatusOK {
		t.Fatalf("refresh with the pair of the repeated answer: %d %s", third.Status, third.Body)
	}
	if a := refresh(rotated); a.Status != http.StatusOK { // sibling of the same generation, inside the window
		t.Fatalf("sibling: %d %s", a.Status, a.Body)
	}

	// Two generations old is theft: the grant ends, and with it every token.
	if a := refresh(first.Refresh); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
		t.Errorf("old refresh token: %d %s", a.Status, a.Body)
	}
	if a := s.Call(t, "music", third.JSON(t)["access_token"].(string)); a.Status != http.StatusUnauthorized {
		t.Errorf("access token after reuse: %d %s", a.Status, a.Body)
	}
	if !strings.Contains(s.Audit(), "refresh_reuse") {
		t.Error("no audit line for the reuse")
	}
}

func TestRefreshTokenRotatedAwayIsTheftAfterTheWindow(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	first := s.Login(t, s.Browser(), "ada")
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}, "client_id": {first.ClientID}}
	if a := s.PostForm(t, nil, "/music/token", form); a.Status != http.StatusOK {
		t.Fatalf("refresh: %d %s", a.Status, a.Body)
	}
	s.Advance(2*time.Minute + time.Second)
	if a := s.PostForm(t, nil, "/music/token", form); a.JSON(t)["error"] != "invalid_grant" {
		t.Errorf("after the window: %d %s", a.Status, a.Body)
	}
}

func TestUpstreamTokenIsRenewedBeforeItExpires(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) { f.Life = 10 * time.Minute })
	tokens := s.Login(t, s.Browser(), "ada")
	if got := seen(t, s.Call(t, "music", tokens.Access)).Get("Authorization"); got != "Bearer upstream-access-ada-0" {
		t.Errorf("at first: %q", got)
	}
	s.Advance(9*time.Minute + 30*time.Second)
	if got := seen(t, s.Call(t, "music", tokens.Access)).Get("Authorization"); got != "Bearer upstream-access-ada-0" {
		t.Errorf("near expiry a call waits for the renewal: %q", got)
	}
	for got := ""; got != "Bearer upstream-access-ada-1"; { // the renewal runs beside the call
		got = seen(t, s.Call(t, "music", tokens.Access)).Get("Authorization")
	}
	s.Advance(time.Minute)
	if got := seen(t, s.Call(t, "music", tokens.Access)).Get("Authorization"); got != "Bearer upstream-access-ada-1" {
		t.Errorf("after it: %q", got)
	}
	if n := s.Fake.Refreshes(); n != 1 {
		t.Errorf("the upstream saw %d refreshes, want 1", n)
	}
}

func TestUpstreamTroubleKeepsTheGrantAndADeadCredentialEndsIt(t *testing.T) {
	t.Parallel()
	var fault error
	s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
		f.Life = 10 * time.Minute
		f.Fail = func() error { return fault }
	})
	tokens := s.Login(t, s.Browser(), "ada")

	s.Advance(9*time.Minute + 30*time.Second)
	fault = &upstream.Error{Kind: upstream.Unavailable}
	if got := seen(t, s.Call(t, "music", tokens.Access)).Get("Authorization"); got != "Bearer upstream-access-ada-0" {
		t.Errorf("upstream down, token still valid: %q", got)
	}
	s.Advance(time.Minute)
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusServiceUnavailable {
		t.Errorf("upstream down, token expired: %d %s", a.Status, a.Body)
	}
	fault = nil
	s.Advance(time.Minute)
	if got := seen(t, s.Call(t, "music", tokens.Access)).Get("Authorization"); got != "Bearer upstream-access-ada-1" {
		t.Errorf("upstream back: %q", got)
	}
	s.Advance(time.Hour)
	fault = &upstream.Error{Kind: upstream.InvalidGrant}
	for range 2 {
		a := s.Call(t, "music", tokens.Access)
		if a.Status != http.StatusUnauthorized || !strings.Contains(a.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("dead credential: %d %s %s", a.Status, a.Header.Get("WWW-Authenticate"), a.Body)
		}
	}
}

func TestBackend401RenewsTheUpstreamTokenOnce(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")
	calls := 0
	s.Backend.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Header.Get("Authorization") == "Bearer upstream-access-ada-0" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"header": r.Header})
	})
	if got := seen(t, s.Call(t, "music", tokens.Access)).Get("Authorization"); got != "Bearer upstream-access-ada-1" {
		t.Errorf("after the backend's 401: %q", got)
	}
	if calls != 2 || s.Fake.Refreshes() != 1 {
		t.Errorf("%d calls and %d refreshes, want 2 and 1", calls, s.Fake.Refreshes())
	}
}

func TestMetadataAdvertisesWhatIsMounted(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	documents := []string{
		"/.well-known/oauth-authorization-server/music",
		"/.well-known/openid-configuration/music",
		"/music/.well-known/oauth-authorization-server",
		"/music/.well-known/openid-configuration",
	}
	for _, path := range documents {
		a := s.Get(t, nil, path)
		if a.Status != http.StatusOK || a.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %s", path, a.Status, a.Body)
		}
		m := a.JSON(t)
		if m["issuer"] != s.URL+"/music" {
			t.Errorf("%s: issuer %v", path, m["issuer"])
		}
		for name, value := range m {
			endpoint, ok := value.(string)
			if !ok || name == "issuer" {
				continue
			}
			// 405 or 400 would do: the route is there. 404 would not.
			if got := s.Get(t, nil, endpoint); got.Status == http.StatusNotFound {
				t.Errorf("%s advertises %s at %s, which is not mounted", path, name, endpoint)
			}
		}
	}
	for path, resource := range map[string]string{
		"/.well-known/oauth-protected-resource/music/mcp": s.URL + "/music/mcp",
		"/.well-known/oauth-protected-resource/music":     s.URL + "/music",
	} {
		if m := s.Get(t, nil, path).JSON(t); m["resource"] != resource {
			t.Errorf("%s: resource %v, want %s", path, m["resource"], resource)
		}
	}
	// The challenge leads to the document.
	challenge := s.Call(t, "music", "").Header.Get("WWW-Authenticate")
	want := `Bearer resource_metadata="` + s.URL + `/.well-known/oauth-protected-resource/music/mcp", scope="read write"`
	if challenge != want {
		t.Errorf("challenge\n got %s\nwant %s", challenge, want)
	}
}
