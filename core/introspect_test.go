package core_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// serverSecret has characters that HTTP Basic encodes.
const serverSecret = "the+server's%secret"

// withServers gives music the resource server api, and both tenants others.
func withServers(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
	tenants[0].ResourceServers = []tenant.ResourceServer{
		{ID: "first", Secret: seal.NewSecret("first-secret")}, {ID: "api", Secret: seal.NewSecret(serverSecret)},
	}
	tenants[1].ResourceServers = []tenant.ResourceServer{{ID: "octo-api", Secret: seal.NewSecret("octo-secret")}}
}

// ask posts a form as a resource server, by HTTP Basic.
func ask(t *testing.T, s *coretest.Server, target, id, secret string, form url.Values) coretest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL+target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	return s.Do(t, nil, req)
}

func introspect(t *testing.T, s *coretest.Server, token string) coretest.Answer {
	t.Helper()
	return ask(t, s, "/music/introspect", "api", serverSecret, url.Values{"token": {token}})
}

func wantInactive(t *testing.T, what string, a coretest.Answer) {
	t.Helper()
	if a.Status != http.StatusOK || strings.TrimSpace(a.Body) != `{"active":false}` || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: %d %s %v, want active false and nothing else", what, a.Status, a.Body, a.Header)
	}
}

func TestActiveTokenIsDescribedToAResourceServer(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	tokens := s.Login(t, s.Browser(), "ada")
	inBody := s.PostForm(t, nil, "/music/introspect", url.Values{"token": {tokens.Access}, "client_id": {"api"}, "client_secret": {serverSecret}})
	a := introspect(t, s, tokens.Access)
	if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "no-store" || inBody.Body != a.Body {
		t.Fatalf("%d %s %v, with the secret in the body %s", a.Status, a.Body, a.Header, inBody.Body)
	}
	m := a.JSON(t)
	for name, want := range map[string]any{
		"active": true, "scope": "read", "client_id": grant.HashClient(tokens.ClientID), "sub": "ada", "username": "ada",
		"token_type": "Bearer", "aud": s.URL + "/music/mcp", "iss": s.URL + "/music",
	} {
		if m[name] != want {
			t.Errorf("%s: %v, want %v", name, m[name], want)
		}
	}
	issued, expires := time.Unix(int64(m["iat"].(float64)), 0), time.Unix(int64(m["exp"].(float64)), 0)
	if age := s.Now().Sub(issued); age < 0 || age > time.Minute || expires.Sub(issued) != 24*time.Hour {
		t.Errorf("iat %v, exp %v", issued, expires)
	}
	if strings.Contains(a.Body, "upstream") || len(m) != 10 {
		t.Errorf("more than was asked for: %s", a.Body)
	}
	refresh(t, s, tokens)
	if m := introspect(t, s, tokens.Access).JSON(t); m["active"] != true || m["iat"] != nil {
		t.Errorf("a token of before the refresh: %v, want active and no iat", m)
	}
}

func TestEveryOtherTokenIsInactive(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	tokens, revoked := s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "bob")
	fresh, _ := code(t, s)
	revoke(t, s, revoked.Refresh, revoked.ClientID, nil)
	for what, token := range map[string]string{
		"a refresh token": tokens.Refresh, "a code": fresh, "a revoked token": revoked.Access,
		"a made-up token": "sp_at_" + strings.Repeat("A", 112), "no token of ours": "gho_0123456789",
	} {
		wantInactive(t, what, introspect(t, s, token))
	}
	wantInactive(t, "at another tenant", ask(t, s, "/octo/introspect", "octo-api", "octo-secret", url.Values{"token": {tokens.Access}}))
	if log := s.Audit(); !strings.Contains(log, `"action":"access_rejected","tenant":"music","server":"api","reason":"gone"`) {
		t.Errorf("the revoked token is not in the audit log:\n%s", log)
	}
	if m := introspect(t, s, tokens.Access).JSON(t); m["active"] != true {
		t.Fatalf("before its end: %v", m)
	}
	s.Advance(24*time.Hour + time.Second)
	wantInactive(t, "an expired token", introspect(t, s, tokens.Access))
}

func TestTokenOfAGrantForAnotherResourceIsInactive(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	music := s.Core.Tenants().Get("music")
	code, err := s.Core.Grants().Create(t.Context(), music, grant.New{
		ClientID: "c", Challenge: oauth.ChallengeOf(coretest.Verifier), Resource: "https://elsewhere.example/mcp",
		Credential: &upstream.Credential{AccessToken: seal.NewSecret("a"), Account: upstream.Account{ID: "ada"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := s.Core.Grants().Redeem(t.Context(), music, code, grant.Presented{ClientID: "c", Verifier: coretest.Verifier})
	if err != nil {
		t.Fatal(err)
	}
	wantInactive(t, "another resource", introspect(t, s, tokens.Access))
}

// strangers are all who are no resource server of music, by how they post a form.
func strangers(t *testing.T, s *coretest.Server, tokens coretest.Tokens) map[string]func(target string, form url.Values) coretest.Answer {
	t.Helper()
	basic := func(id, secret string) func(string, url.Values) coretest.Answer {
		return func(target string, form url.Values) coretest.Answer { return ask(t, s, target, id, secret, form) }
	}
	body := func(more url.Values) func(string, url.Values) coretest.Answer {
		return func(target string, form url.Values) coretest.Answer {
			for name, value := range more {
				form[name] = value
			}
			return s.PostForm(t, nil, target, form)
		}
	}
	web := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"client_secret_basic"}`).JSON(t)
	return map[string]func(string, url.Values) coretest.Answer{
		"nobody":                           body(nil),
		"an unknown one":                   basic("nobody", serverSecret),
		"a wrong secret":                   basic("api", "wrong"),
		"no secret":                        basic("api", ""),
		"no secret, in the body":           body(url.Values{"client_id": {"api"}}),
		"another one's secret":             basic("api", "first-secret"),
		"a resource server of octo":        basic("octo-api", "octo-secret"),
		"the client of the token":          body(url.Values{"client_id": {tokens.ClientID}}),
		"a client with its secret":         basic(web["client_id"].(string), web["client_secret"].(string)),
		"the client of the token by Basic": basic(tokens.ClientID, ""),
	}
}

func TestOnlyResourceServersIntrospect(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	tokens := s.Login(t, s.Browser(), "ada")
	for what, as := range strangers(t, s, tokens) {
		a := as("/music/introspect", url.Values{"token": {tokens.Access}})
		wantError(t, what, a, 401, "invalid_client")
		wantNoLeak(t, what, a)
	}
	wantError(t, "no token", introspect(t, s, ""), 400, "invalid_request")
	wantError(t, "two ways at once", ask(t, s, "/music/introspect", "api", serverSecret, url.Values{
		"token": {tokens.Access}, "client_id": {"api"}, "client_secret": {serverSecret},
	}), 400, "invalid_request")
	if a := s.Get(t, nil, "/music/introspect?token="+tokens.Access); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.Status)
	}
}

func TestWhatResourceServersUseIsAdvertisedWhereThereAreSome(t *testing.T) {
	t.Parallel()
	const exchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	s := coretest.New(t, func(c *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
		withServers(c, tenants, f)
		tenants[1].ResourceServers = nil
	})
	with := s.Get(t, nil, "/.well-known/oauth-authorization-server/music").JSON(t)
	without := s.Get(t, nil, "/.well-known/oauth-authorization-server/octo").JSON(t)
	has := func(m map[string]any, name string, value string) bool {
		list, _ := m[name].([]any)
		return slices.Contains(list, any(value))
	}
	if with["introspection_endpoint"] != s.URL+"/music/introspect" || !has(with, "grant_types_supported", exchange) ||
		!has(with, "introspection_endpoint_auth_methods_supported", "client_secret_basic") || has(with, "introspection_endpoint_auth_methods_supported", "none") {
		t.Errorf("with: %v", with)
	}
	for name := range without {
		if strings.HasPrefix(name, "introspection") {
			t.Errorf("without, and %s is advertised", name)
		}
	}
	if has(without, "grant_types_supported", exchange) {
		t.Error("without, and token exchange is advertised")
	}
	for _, m := range []map[string]any{with, without} {
		if m["revocation_endpoint"] != m["issuer"].(string)+"/revoke" || !has(m, "revocation_endpoint_auth_methods_supported", "none") ||
			!has(m, "revocation_endpoint_auth_signing_alg_values_supported", "RS256") || !has(m, "token_endpoint_auth_methods_supported", "none") {
			t.Errorf("revocation: %v", m)
		}
	}
	wantError(t, "introspection without", ask(t, s, "/octo/introspect", "octo-api", "", url.Values{"token": {"x"}}), 401, "invalid_client")
	wantError(t, "exchange without", s.PostForm(t, nil, "/octo/token", url.Values{"grant_type": {exchange}}), 400, "unsupported_grant_type")
}
