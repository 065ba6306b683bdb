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
	"github.com/sallyport/sallyport/core/upstream"
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

// A backend learns at which upstream an account is: 42 of one is not 42 of another.
func TestAccountIsOfItsUpstream(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, injecting(t, "X-Account", "{account_key}", "X-Assertion", "{assertion}"))
	got := seen(t, s.Call(t, "music", s.Login(t, s.Browser(), "ada").Access))
	music := s.Core.Tenants().Get("music")
	if key := got.Get("X-Account"); key != music.Account("ada").Hash() || key == (upstream.AccountKey{Issuer: "up_other", ID: "ada"}).Hash() {
		t.Errorf("account key %q", key)
	}
	if claims := verified(t, s, got.Get("X-Assertion")); claims.Upstream == "" || claims.Upstream != music.UpstreamIdentity() {
		t.Errorf("assertion of the upstream %q, want %q", claims.Upstream, music.UpstreamIdentity())
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
		"X-Forwarded", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Cluster-Client-Ip", "Cf-Connecting-Ip", "X-Envoy-External-Address",
		"X-Auth-Request-User", "X-Webauth-User", "Client-Cert", "Client-Cert-Chain", "Ssl-Client-Verify", "X-Amzn-Oidc-Identity", "X-Ms-Client-Principal-Name",
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

// TestForwardedHostIsTheTenants: a tenant is found by its host without the scheme's
// own port, in any letters; the backend is told what the operator wrote.
func TestForwardedHostIsTheTenants(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	own := strings.TrimPrefix(s.URL, "http://")
	for _, host := range []string{own, own + ":80", own + ":80:443"} {
		r := request(t, s, token, http.MethodPost, "/music/mcp", strings.NewReader("{}"))
		r.Host = host
		a := s.Do(t, nil, r)
		if a.Status != http.StatusOK {
			continue // not found is as good
		}
		if got := seen(t, a).Get("X-Forwarded-Host"); got != own {
			t.Errorf("Host %s: the backend is told %q", host, got)
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

// A backend that answers 401 to everything must neither make the server renew
// the credential with every call, because upstreams count that, nor send users
// into a loop of logins: what it refuses was issued a moment ago.
func TestBackendThatRefusesEverythingIsTheOperators(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	calls := 0
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusUnauthorized)
	})
	for range 5 {
		a := s.Call(t, "music", token)
		if a.Status != http.StatusBadGateway || a.Header.Get("WWW-Authenticate") != "" || !strings.Contains(a.Body, "(request id "+a.Header.Get("X-Request-Id")+")") {
			t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
		}
	}
	if s.Fake.Refreshes() != 1 || calls != 6 {
		t.Errorf("%d renewals and %d calls for 5 requests", s.Fake.Refreshes(), calls)
	}
	if n := strings.Count(s.Audit(), `"action":"access_rejected","tenant":"music"`); n != 5 || !strings.Contains(s.Audit(), `"reason":"backend"`) {
		t.Errorf("%d audit lines:\n%s", n, s.Audit())
	}
	if text := s.Log(); !strings.Contains(text, "[ERROR] call failed: tenant=music status=502") || !strings.Contains(text, s.Backend.URL) {
		t.Errorf("the log does not name the backend:\n%s", text)
	}
	s.Advance(2 * time.Minute)
	if a := s.Call(t, "music", token); a.Status != http.StatusUnauthorized || s.Fake.Refreshes() != 2 {
		t.Errorf("after a while the token may have ended: %d, %d renewals", a.Status, s.Fake.Refreshes())
	}
}

// A user whose token the backend refuses, and that cannot be renewed, logs in
// once more and not for ever.
func TestRefusedTokenWithoutARefreshTokenAsksForOneLogin(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
		tenants[0].Provider = unrenewable{upstreamtest.Provider{Fake: f}}
	})
	user := s.Browser()
	old := s.Login(t, user, "ada")
	handle(s, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	s.Advance(time.Hour)
	if a := s.Call(t, "music", old.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("a token of an hour ago: %d %s", a.Status, a.Body)
	}
	if a := s.Call(t, "music", s.Login(t, user, "ada").Access); a.Status != http.StatusBadGateway {
		t.Errorf("one of a new login: %d %s", a.Status, a.Body)
	}
}

// unrenewable is an upstream without refresh tokens.
type unrenewable struct{ upstreamtest.Provider }

func (u unrenewable) Describe() upstream.Description {
	d := u.Provider.Describe()
	d.CanRefresh = false
	return d
}

// A backend's own challenge for more scope becomes the gateway's, with what the
// tenant offers of it.
func TestBackendAsksForMoreScope(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sent, scope string }{
		"one that is offered":     {`Bearer realm="b", error="insufficient_scope", scope="write"`, `scope="read write"`},
		"one that is not offered": {`Bearer error="insufficient_scope", scope="admin"`, ""},
		"some of them":            {`Bearer scope="admin write"`, `scope="read write"`},
		"what was granted":        {`Bearer error="insufficient_scope", scope="read"`, ""},
		"another error":           {`Bearer error="invalid_token", scope="write"`, ""},
		"none":                    {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) { f.Grants = []string{"read"} })
			token := s.Login(t, s.Browser(), "ada").Access
			handle(s, func(w http.ResponseWriter, _ *http.Request) {
				if c.sent != "" {
					w.Header().Set("WWW-Authenticate", c.sent)
				}
				http.Error(w, "more scope", http.StatusForbidden)
			})
			a := s.Call(t, "music", token)
			challenge := a.Header.Get("WWW-Authenticate")
			if a.Status != http.StatusForbidden || !strings.Contains(a.Body, "more scope") || (challenge != "") != (c.scope != "") {
				t.Errorf("%d %q %s", a.Status, challenge, a.Body)
			}
			document := s.URL + "/.well-known/oauth-protected-resource/music/mcp"
			if c.scope != "" && (!strings.HasPrefix(challenge, `Bearer resource_metadata="`+document+`", `+c.scope+`, error="insufficient_scope"`) || strings.Contains(challenge, "realm")) {
				t.Errorf("challenge %q", challenge)
			}
		})
	}
}
