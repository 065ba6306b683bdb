package gateway_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/assertion"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// seen returns the header of the request that the echoing backend got.
func seen(t testing.TB, a coretest.Answer) http.Header {
	t.Helper()
	var m struct{ Header http.Header }
	if err := json.Unmarshal([]byte(a.Body), &m); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	return m.Header
}

func injecting(t testing.TB, headers ...string) coretest.Option {
	t.Helper()
	return func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Anonymous = []string{"ping"}
		for i := 0; i < len(headers); i += 2 {
			h, err := tenant.ParseHeader(headers[i], headers[i+1])
			if err != nil {
				t.Fatal(err)
			}
			tenants[0].Inject = append(tenants[0].Inject, h)
		}
	}
}

// verified is what an assertion says, checked with the keys that music
// publishes.
func verified(t testing.TB, s *coretest.Server, text string) assertion.Claims {
	t.Helper()
	var set jose.JSONWebKeySet
	meta := s.Get(t, nil, "/.well-known/oauth-authorization-server/music").JSON(t)
	if err := json.Unmarshal([]byte(s.Get(t, nil, meta["jwks_uri"].(string)).Body), &set); err != nil || len(set.Keys) != 1 {
		t.Fatalf("key set: %+v, %v", set, err)
	}
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var claims assertion.Claims
	if err := token.Claims(set, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestBackendCanVerifyWhoCalls(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")
	claims := verified(t, s, seen(t, s.Call(t, "music", tokens.Access)).Get("X-Sallyport-Assertion"))
	if err := claims.Validate(jwt.Expected{Issuer: s.URL + "/music", Subject: "ada", AnyAudience: jwt.Audience{s.Backend.URL}, Time: time.Now()}); err != nil {
		t.Error(err)
	}
	if claims.Tenant != "music" || claims.Scope != "read" || !strings.Contains(s.Audit(), `"grant":"`+claims.Grant+`"`) {
		t.Errorf("%+v", claims)
	}
}

func TestInjectedHeadersTakeTheDefaultsPlace(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, injecting(t, "PRIVATE-TOKEN", "{token}", "X-User", "{subject} of {tenant}: {account}", "X-Scope", "{scope}", "X-Api-Key", "key"))
	token := s.Login(t, s.Browser(), "Ada Ω 100%").Access
	spoofed := []string{
		"PRIVATE-TOKEN", "forged", "Private_Token", "forged", "X-User", "forged", "x_user", "forged", "X_Api-Key", "forged",
		"X-Sallyport-Subject", "forged", "X_SALLYPORT_subject", "forged", "X-Forwarded-Host", "forged", "X_Forwarded_User", "forged",
		"Forwarded", "for=forged", "X-Real-IP", "forged", "Cookie", "a=forged",
	}
	got := seen(t, send(t, s, token, message("ping"), spoofed...))
	for name, want := range map[string]string{
		"Private-Token": "upstream-access-Ada Ω 100%-0", "X-User": "Ada %CE%A9 100%25 of music: Ada %CE%A9 100%25", "X-Scope": "read", "X-Api-Key": "key",
		"Authorization": "", "X-Sallyport-Assertion": "",
	} {
		if got.Get(name) != want || len(got.Values(name)) > 1 {
			t.Errorf("%s: %q, want %q", name, got.Values(name), want)
		}
	}
	nobody := seen(t, send(t, s, "", message("ping"), spoofed...))
	if nobody.Get("X-Api-Key") != "key" || nobody.Get("Private-Token") != "" || nobody.Get("X-User") != "" {
		t.Errorf("without a user: %v", nobody)
	}
	for what, header := range map[string]http.Header{"a user": got, "nobody": nobody} {
		for name, values := range header {
			if strings.Contains(strings.Join(values, " "), "forged") {
				t.Errorf("%s: %s: %q crossed", what, name, values)
			}
		}
	}
}

// TestAliasesOfOurHeadersDoNotCross sends every reserved and every injected name
// with each character that a field name may have (RFC 9110 §5.6.2) in the place
// of '-': CGI programs, PHP and WSGI servers read all of those as '_'.
func TestAliasesOfOurHeadersDoNotCross(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, injecting(t, "X-User", "{subject}", "X_Api_Key", "key"))
	token := s.Login(t, s.Browser(), "ada").Access
	names := []string{
		"X-User", "X-Api-Key", "X-Sallyport-Assertion", "X-Sallyport-Other", "X-Forwarded-For", "X-Forwarded-Other", "X-Real-Ip",
		"X-Client-Ip", "Client-Ip", "True-Client-Ip", "Remote-User", "X-Remote-User",
	}
	sent := []string{"Proxy", "forged", "X-Client.Own", "forged", "X-Client-Own", "kept"}
	for _, name := range names {
		for _, c := range "!#$%&'*+-.^_`|~" {
			sent = append(sent, strings.ReplaceAll(name, "-", string(c)), "forged", strings.Replace(name, "-", string(c), 1), "forged")
		}
	}
	got := seen(t, send(t, s, token, message("ping"), sent...))
	if got.Get("X-User") != "ada" || got.Get("X_Api_Key") != "key" || got.Get("X-Client-Own") != "kept" {
		t.Errorf("%v", got)
	}
	for name, values := range got {
		if strings.Contains(strings.Join(values, " "), "forged") {
			t.Errorf("%s: %q crossed", name, values)
		}
	}
}

// A token that no header can hold is a fault of the upstream's, not a way to
// write headers of one's own.
func TestTokenThatWouldEndTheHeaderIsNotSent(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada\r\nX-Admin: yes").Access
	a := s.Call(t, "music", token)
	if a.Status != http.StatusBadGateway || strings.Contains(a.Body, "X-Admin") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestRetryCarriesTheRenewedToken(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, injecting(t, "PRIVATE-TOKEN", "{token}"))
	token := s.Login(t, s.Browser(), "ada").Access
	var got []string
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header["Private-Token"]...)
		if len(got) == 1 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	if a := s.Call(t, "music", token); a.Status != http.StatusOK || strings.Join(got, " ") != "upstream-access-ada-0 upstream-access-ada-1" {
		t.Errorf("%d, tokens %q", a.Status, got)
	}
}

func TestSeveralBackendsBehindOneLogin(t *testing.T) {
	t.Parallel()
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"admin": r.URL.Path, "header": r.Header})
	}))
	t.Cleanup(admin.Close)
	address, err := url.Parse(admin.URL + "/deep/mcp")
	if err != nil {
		t.Fatal(err)
	}
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Backends = map[string]*url.URL{"admin": address}
	})
	// A client that was given the second address finds a document about it, and
	// names it wherever it names a resource.
	r := request(t, s, "", http.MethodPost, "/music/mcp/admin", nil)
	r.Header.Del("Authorization")
	challenged := s.Do(t, nil, r)
	document := s.URL + "/.well-known/oauth-protected-resource/music/mcp/admin"
	if challenged.Status != http.StatusUnauthorized || !strings.Contains(challenged.Header.Get("WWW-Authenticate"), `resource_metadata="`+document+`"`) {
		t.Fatalf("%d %v", challenged.Status, challenged.Header)
	}
	resource := s.URL + "/music/mcp/admin"
	if m := s.Get(t, nil, document).JSON(t); m["resource"] != resource {
		t.Fatalf("%v", m)
	}
	id := s.Register(t, "music")
	query := s.AuthorizeQuery("music", id)
	query.Set("resource", resource)
	code := s.Code(t, s.Browser(), "music", query, "ada").Get("code")
	token, _ := s.PostForm(t, nil, "/music/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {id}, "resource": {resource},
		"redirect_uri": {coretest.ClientCallback}, "code_verifier": {coretest.Verifier},
	}).JSON(t)["access_token"].(string)

	for path, marker := range map[string]string{"/music/mcp/admin": `"admin":"/deep/mcp"`, "/music/mcp/admin/": `"admin":"/deep/mcp"`, "/music/mcp": `"path":"/mcp"`} {
		a := s.Do(t, nil, request(t, s, token, http.MethodPost, path, strings.NewReader("{}")))
		if a.Status != http.StatusOK || !strings.Contains(a.Body, marker) {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	for _, path := range []string{"/music/mcp/other", "/octo/mcp/admin", "/music/mcp/admin/x", "/music/mcp//admin", "/music/mcp/..", "/music/mcp/%61dmin%2Fx"} {
		r := request(t, s, token, http.MethodPost, path, strings.NewReader("{}"))
		if a := s.Do(t, nil, r); a.Status != http.StatusNotFound || a.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: %d %v", path, a.Status, a.Header)
		}
	}
	if a := s.Get(t, nil, "/.well-known/oauth-protected-resource/music/mcp/other"); a.Status != http.StatusNotFound {
		t.Errorf("a document about no backend: %d", a.Status)
	}
}

// A backend that answers 401 to everything must not make us renew the
// credential with every call: upstreams count that.
func TestBackendThatAlwaysRejectsDoesNotRenewInALoop(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	calls := 0
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusUnauthorized)
	})
	for range 5 {
		if a := s.Call(t, "music", token); a.Status != http.StatusUnauthorized || !strings.Contains(a.Header.Get("WWW-Authenticate"), "invalid_token") {
			t.Fatalf("%d %v", a.Status, a.Header)
		}
	}
	if s.Fake.Refreshes() != 1 || calls != 6 {
		t.Errorf("%d renewals and %d calls for 5 requests", s.Fake.Refreshes(), calls)
	}
	if n := strings.Count(s.Audit(), `"action":"access_rejected","tenant":"music"`); n != 5 || !strings.Contains(s.Audit(), `"reason":"backend"`) {
		t.Errorf("%d audit lines:\n%s", n, s.Audit())
	}
	s.Advance(2 * time.Minute)
	if s.Call(t, "music", token); s.Fake.Refreshes() != 2 {
		t.Errorf("%d renewals after a while", s.Fake.Refreshes())
	}
}
