package core_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// The rest of FLAWS.md that no other test is about: between deployments,
// listeners, users and calls.

// header sends a request with header lines "Name: value".
func header(t *testing.T, s *coretest.Server, client *http.Client, method, target, body string, lines ...string) coretest.Answer {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.URL + target
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		if req.Header.Add(name, value); name == "Host" {
			req.Host = value
		}
	}
	return s.Do(t, client, req)
}

// Two deployments that differ in nothing but their server keys: the same names,
// the same addresses, even the same records, as when a test system is filled
// from production. Nothing that one issued means anything to the other.
func TestNothingOfAnotherDeploymentCounts(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	production := coretest.New(t, withServers, onMemory(driver))
	staging := coretest.New(t, withServers, onMemory(driver), func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		for _, each := range tenants {
			each.Issuer = production.At(each.Name) // whichever host it has, its client finds it
		}
	})
	user := production.Browser()
	tokens := production.Login(t, user, "ada")
	fresh, id := code(t, production)
	web := production.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"]}`).JSON(t)
	q := production.AuthorizeQuery("music", tokens.ClientID)
	form := production.Form(t, production.Get(t, user, "/music/authorize?"+q.Encode()))
	state := production.Consent(t, user, "music", q, "approve").Query().Get("state")
	signIn(t, production, user, "ada")
	visitor := staging.Browser()
	visitor.Jar = user.Jar

	at, ours := staging.At("music"), staging.Register(t, "music")
	post := func(path string, form url.Values) coretest.Answer { return staging.PostForm(t, visitor, at+path, form) }
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}, "client_id": {ours}}
	redeem := url.Values{"grant_type": {"authorization_code"}, "code": {fresh}, "client_id": {ours}, "code_verifier": {coretest.Verifier}}
	with := func(form url.Values, clientID string) url.Values {
		changed, _ := url.ParseQuery(form.Encode())
		changed.Set("client_id", clientID)
		return changed
	}
	for what, c := range map[string]struct {
		answer coretest.Answer
		status int
	}{
		"its access token":       {staging.Call(t, "music", tokens.Access), 401},
		"its refresh token":      {post("/token", refresh), 400},
		"its client":             {post("/token", with(refresh, tokens.ClientID)), 401},
		"its code":               {post("/token", redeem), 400},
		"its client and code":    {post("/token", with(redeem, id)), 401},
		"its client's secret":    {post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}, "client_id": {web["client_id"].(string)}, "client_secret": {web["client_secret"].(string)}}), 401},
		"its client's login":     {staging.Get(t, visitor, at+"/authorize?"+q.Encode()), 400},
		"its client's own token": {manage(t, staging, http.MethodGet, web["registration_client_uri"].(string), web["registration_access_token"].(string)), 401},
		"its pushed request":     {staging.Get(t, visitor, at+"/authorize?"+pushed(t, production, tokens.ClientID, nil).Encode()), 400},
		"its consent form":       {post("/consent", url.Values{"request": {form}, "decision": {"approve"}}), 400},
		"its session":            {staging.Get(t, visitor, at+"/callback?code=ada&state="+state), 400},
	} {
		if c.answer.Status != c.status || c.answer.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", what, c.answer.Status, c.answer.Body)
		}
	}
	wantInactive(t, "its access token, introspected", post("/introspect", url.Values{"token": {tokens.Access}, "client_id": {"api"}, "client_secret": {serverSecret}}))
	if page := staging.Get(t, visitor, at+"/connections"); strings.Contains(page.Body, "Test Client") || !strings.Contains(page.Body, `value="sign-in"`) {
		t.Errorf("its visitor is signed in: %s", page.Body)
	}
	for name, one := range map[string]*coretest.Server{"production": production, "staging": staging} {
		keys := one.Get(t, nil, one.At("music")+"/.well-known/jwks.json")
		other := map[string]*coretest.Server{"production": staging, "staging": production}[name]
		if set := other.Get(t, nil, other.At("music")+"/.well-known/jwks.json"); keys.Status != http.StatusOK || keys.Body == set.Body {
			t.Errorf("%s signs with the other's keys: %d %s", name, keys.Status, keys.Body)
		}
	}
	if a := production.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("at home: %d %s", a.Status, a.Body)
	}
}

// What is for the operator is on a listener of its own, and only there.
func TestOperatorRoutesAreNotPublic(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	operator := s.Core.Operator()
	for _, path := range []string{"/healthz", "/readyz", "/forward-auth/music", "/metrics", "/admin", "/debug/pprof/", "/version"} {
		for _, below := range []string{"", "/music", "/music/mcp", "/.well-known"} {
			for _, lines := range [][]string{nil, {"Host: localhost"}, {"X-Forwarded-For: 127.0.0.1"}, {"X-Original-Url: " + path}} {
				if a := header(t, s, nil, http.MethodGet, below+path, "", lines...); a.Status != http.StatusNotFound && a.Status != http.StatusUnauthorized || strings.Contains(a.Body, "ready") {
					t.Errorf("%s%s with %v: %d %s", below, path, lines, a.Status, a.Body)
				}
			}
		}
	}
	for _, route := range s.Core.Routes() {
		w := httptest.NewRecorder()
		operator.ServeHTTP(w, httptest.NewRequest(route.Methods[0], s.URL+"/music"+route.Path, nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("the operator's listener answers %s: %d", route.Path, w.Code)
		}
	}
	w := httptest.NewRecorder()
	if operator.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil)); w.Code != http.StatusOK {
		t.Errorf("/readyz: %d", w.Code)
	}
}

// There is no word that opens the gate but an access token: no header that a
// proxy or a neighbour may set, none with a value that everybody knows.
func TestNoHeaderOpensTheGate(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	tokens := s.Login(t, s.Browser(), "ada")
	reached := 0
	var got http.Header
	s.Backend.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached, got = reached+1, r.Header })
	magic := []string{
		"X-Sallyport-Assertion: eyJ", "X-Sallyport-Subject: ada", "X-Sallyport-Token: upstream-access-ada-0", "X-Forwarded-User: ada", "X-Forwarded-Access-Token: " + tokens.Access,
		"X-Forwarded-For: 127.0.0.1", "X-Real-Ip: 127.0.0.1", "Forwarded: for=127.0.0.1", "Remote-User: ada", "X-Remote-User: ada", "X-Authenticated-User: ada",
		"X-Original-Url: /healthz", "X-Rewrite-Url: /healthz", "X-Forwarded-Prefix: /octo", "X-Http-Method-Override: OPTIONS", "X-Router-Key: secret-api-key",
		"X-Authorization: Bearer " + tokens.Access, "Proxy-Authorization: Bearer " + tokens.Access, "Authentication: Bearer " + tokens.Access,
		"Cookie: access_token=" + tokens.Access, "Mcp-Session-Id: " + tokens.Access, "X-Api-Key: " + serverSecret, "Mcp-Method: ping", "Mcp-Name: whoami",
	}
	for i := range len(magic) + 1 {
		line := magic // all of them, in the end
		if i < len(magic) {
			line = magic[i : i+1]
		}
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			a := header(t, s, nil, method, "/music/mcp", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, append([]string{"Content-Type: application/json"}, line...)...)
			if a.Status != http.StatusUnauthorized || !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), `Bearer resource_metadata="`+s.URL+`/.well-known/oauth-protected-resource/music/mcp"`) {
				t.Errorf("%s with %v: %d %v", method, line, a.Status, a.Header)
			}
		}
	}
	if reached > 0 {
		t.Fatalf("the backend was reached %d times", reached)
	}
	magic = slices.DeleteFunc(magic, func(line string) bool { return strings.HasPrefix(line, "Mcp-Session-Id") }) // not this user's session
	a := header(t, s, nil, http.MethodPost, "/music/mcp", "{}", append(magic, "Authorization: Bearer "+tokens.Access, "X_Sallyport_Subject: ada")...)
	if a.Status != http.StatusOK || reached != 1 {
		t.Fatalf("with a token: %d %s", a.Status, a.Body)
	}
	for name, values := range got {
		spelt := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.HasPrefix(spelt, "x-sallyport-") && spelt != "x-sallyport-assertion" || values[0] == "eyJ" || strings.HasPrefix(spelt, "x-forwarded-user") ||
			spelt == "cookie" || spelt == "x-forwarded-access-token" {
			t.Errorf("crossed: %s: %v", name, values)
		}
	}
	if got.Get("Authorization") != "Bearer upstream-access-ada-0" || strings.Count(got.Get("X-Sallyport-Assertion"), ".") != 2 {
		t.Errorf("the backend got %v", got)
	}
}

// Ids name things and open nothing: a grant, a session of MCP or of a login, a
// client, a backend.
func TestKnowingAnIdIsNoRight(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, onMemory(driver), func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Backends = map[string]*url.URL{"files": tenants[0].Backend}
	})
	reached := 0
	s.Backend.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached++
		w.Header().Set("Mcp-Session-Id", "session-of-ada")
	})
	ada, bob := s.Login(t, s.Browser(), "ada"), s.Browser()
	session := s.Call(t, "music", ada.Access).Header.Get("Mcp-Session-Id")
	if !strings.HasPrefix(session, "session-of-ada.") {
		t.Fatalf("the session is %q", session)
	}
	var grants []string
	if err := driver.Scan(t.Context(), "grant/music/", func(key string) error { grants = append(grants, strings.TrimPrefix(key, "grant/music/")); return nil }); err != nil || len(grants) != 1 {
		t.Fatalf("grants %v, %v", grants, err)
	}
	reached = 0
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		for _, path := range []string{"/music/mcp", "/music/mcp/files", "/music/mcp/files/"} {
			for _, bearer := range []string{"", grants[0], "sp_at_" + grants[0], "session-of-ada"} {
				lines := []string{"Mcp-Session-Id: " + session, "Last-Event-ID: 1"}
				if bearer != "" {
					lines = append(lines, "Authorization: Bearer "+bearer)
				}
				if a := header(t, s, nil, method, path, "", lines...); a.Status != http.StatusUnauthorized {
					t.Errorf("%s %s with the session and %q: %d", method, path, bearer, a.Status)
				}
			}
		}
	}
	if reached > 0 {
		t.Errorf("the backend was reached %d times", reached)
	}
	page := signIn(t, s, bob, "bob")
	form := formToken.FindStringSubmatch(page.Body)[1]
	for _, end := range []string{grants[0], "grant/music/" + grants[0], "../music/" + grants[0]} {
		s.PostForm(t, bob, "/music/connections", url.Values{"request": {form}, "end": {end}})
	}
	s.PostForm(t, bob, "/music/connections", url.Values{"request": {form}, "do": {"end-all"}})
	wantError(t, "ada's client, read by its id", manage(t, s, http.MethodGet, s.URL+"/music/register/"+ada.ClientID, ""), 401, "invalid_token")
	wantError(t, "ada's client, ended by its id", manage(t, s, http.MethodDelete, s.URL+"/music/register/"+ada.ClientID, ada.Access), 401, "invalid_token")
	if a := s.Call(t, "music", ada.Access); a.Status != http.StatusOK {
		t.Errorf("ada's grant was ended: %d %s", a.Status, a.Body)
	}
}

// Everybody's calls at the same time, through one gateway to one backend over
// kept connections, while upstream tokens are renewed: each answer is its
// caller's.
func TestAnswersReachWhoAsked(t *testing.T) {
	t.Parallel()
	const users, rounds = 6, 8
	s := coretest.New(t, withServers, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) { f.Life = 10 * time.Minute })
	s.Backend.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			_, _ = fmt.Fprintf(w, "data: %s %s\n\n", r.Header.Get("Authorization"), body)
			_ = http.NewResponseController(w).Flush()
		}
	})
	client := s.Browser()
	ask := func(who, what, target, token, body string, want func(answer string) bool) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+target, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		} else {
			req.SetBasicAuth("api", url.QueryEscape(serverSecret))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s, %s: %v", who, what, err)
			return
		}
		answer, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !want(string(answer)) {
			t.Errorf("%s, %s: %d %s %v", who, what, res.StatusCode, answer, err)
		}
	}
	logins := map[string]coretest.Tokens{}
	for i := range users {
		who := fmt.Sprintf("user%d", i)
		logins[who] = s.Login(t, s.Browser(), who)
	}
	var all sync.WaitGroup
	for who, tokens := range logins {
		all.Go(func() {
			for n := range rounds {
				if n == rounds/2 {
					s.Advance(9*time.Minute + 40*time.Second) // and for the others
				}
				line := fmt.Sprintf("message %d of %s\n\n", n, who)
				ask(who, "a call", "/music/mcp", tokens.Access, strings.TrimSpace(line), func(answer string) bool {
					return strings.Count(answer, "Bearer upstream-access-"+who+"-") == 3 && strings.Count(answer, line) == 3 && strings.Count(answer, "data:") == 3
				})
				form := url.Values{"token": {tokens.Access}}
				ask(who, "introspection", "/music/introspect", "", form.Encode(), func(answer string) bool {
					var m map[string]any
					return json.Unmarshal([]byte(answer), &m) == nil && m["sub"] == who
				})
				ask(who, "exchange", "/music/token", "", exchangeForm(tokens.Access, nil).Encode(), func(answer string) bool {
					return strings.Contains(answer, `"upstream-access-`+who+"-")
				})
			}
		})
	}
	all.Wait()
	if s.Fake.Refreshes() < users {
		t.Errorf("%d renewals: nothing was renewed meanwhile", s.Fake.Refreshes())
	}
}

// A client that registers learns its own secret and no other: not the one that
// the gateway has at the upstream, in headers, for the operator's clients and
// for resource servers. The upstream's is held to the same by TestScript/secrets.
func TestRegistrationAnswersHoldNoSecretOfOurs(t *testing.T) {
	t.Parallel()
	const clients, injected = "secret-of-a-known-client", "secret-in-a-header"
	s := coretest.New(t, withServers, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Clients = []tenant.Client{{ID: "known", Secret: seal.NewSecret(clients), RedirectURIs: []string{coretest.ClientCallback}}}
		key, err := tenant.ParseHeader("X-Api-Key", injected)
		if err != nil {
			t.Fatal(err)
		}
		tenants[0].Inject = []tenant.Header{key}
	})
	s.Login(t, s.Browser(), "ada")
	look := func(what string, a coretest.Answer) {
		t.Helper()
		for _, secret := range []string{clients, injected, serverSecret, "first-secret", "octo-secret", "upstream-access", "upstream-refresh"} {
			if strings.Contains(a.Body, secret) || strings.Contains(fmt.Sprint(a.Header), secret) {
				t.Errorf("%s holds %s: %s", what, secret, a.Body)
			}
		}
		if a.Status/100 != 2 {
			t.Errorf("%s: %d %s", what, a.Status, a.Body)
		}
	}
	seen := map[string]bool{}
	for range 2 {
		for _, method := range []string{"none", "client_secret_basic", "client_secret_post"} {
			a := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"`+method+`"}`)
			look("registration with "+method, a)
			m := a.JSON(t)
			look("its management", manage(t, s, http.MethodGet, m["registration_client_uri"].(string), m["registration_access_token"].(string)))
			for _, name := range []string{"client_id", "client_secret", "registration_access_token"} {
				value, given := m[name].(string)
				if given && seen[value] {
					t.Errorf("%s was given out before: %s", name, value)
				}
				if seen[value] = true; given == (method == "none" && name == "client_secret") {
					t.Errorf("%s with %s: %v", name, method, given)
				}
			}
		}
	}
	for _, document := range []string{"oauth-authorization-server/music", "openid-configuration/music", "oauth-protected-resource/music/mcp"} {
		look(document, s.Get(t, nil, "/.well-known/"+document))
	}
}
