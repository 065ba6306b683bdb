package gateway_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

const proxySecret = "the+proxy's%secret"

// elsewhere has music's MCP server behind a proxy that asks.
func elsewhere(c *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
	withPolicy(c, tenants, f)
	tenants[0].Anonymous, tenants[0].Tools = nil, nil
	tenants[0].Backend, tenants[0].External = nil, "https://tools.example.com/mcp"
	tenants[0].ResourceServers = []tenant.ResourceServer{{ID: "edge", Secret: seal.NewSecret(proxySecret)}}
	tenants[1].ResourceServers = []tenant.ResourceServer{{ID: "octo-edge", Secret: seal.NewSecret("octo-secret")}}
}

// byProxy asks on the operator's listener as a proxy does, which hands on what
// the client sent: name, value, name, value.
func byProxy(t testing.TB, s *coretest.Server, method, target, id, secret string, headers ...string) coretest.Answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	if id != "" {
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret))))
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	s.Core.Operator().ServeHTTP(rec, r)
	return coretest.Answer{Status: rec.Code, Header: rec.Header(), Body: rec.Body.String()}
}

func edge(t testing.TB, s *coretest.Server, headers ...string) coretest.Answer {
	t.Helper()
	return byProxy(t, s, http.MethodGet, "/forward-auth/music", "edge", proxySecret, headers...)
}

func TestProxyGetsWhatTheServerIsToGet(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, elsewhere)
	bearer := "Bearer " + s.Login(t, s.Browser(), "ada").Access
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete, http.MethodOptions, http.MethodHead} {
		for _, target := range []string{"/forward-auth/music", "/forward-auth/music/mcp?cursor=a", "/forward-auth/music/"} {
			a := byProxy(t, s, method, target, "edge", proxySecret, "Authorization", bearer)
			if a.Status != http.StatusOK || a.Header.Get("Authorization") != "Bearer upstream-access-ada-0" || a.Body != "" ||
				a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %v %s", method, target, a.Status, a.Header, a.Body)
			}
			if claims := verified(t, s, a.Header.Get("X-Sallyport-Assertion")); claims.Subject != "ada" || claims.Audience[0] != "https://tools.example.com" {
				t.Errorf("%s %s: %+v", method, target, claims)
			}
		}
	}
}

// TestNoClientReadsAnUpstreamToken: whoever is no proxy of the tenant's gets
// nothing of what it may have been told, with a good token of the user's too.
func TestNoClientReadsAnUpstreamToken(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, elsewhere)
	tokens := s.Login(t, s.Browser(), "ada")
	web := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"client_secret_basic"}`).JSON(t)
	for what, c := range map[string][2]string{
		"a client":                  {},
		"an unknown one":            {"nobody", proxySecret},
		"a wrong secret":            {"edge", "wrong"},
		"no secret":                 {"edge", ""},
		"a resource server of octo": {"octo-edge", "octo-secret"},
		"the client of the token":   {tokens.ClientID, ""},
		"a client with its secret":  {web["client_id"].(string), web["client_secret"].(string)},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions} {
			a := byProxy(t, s, method, "/forward-auth/music", c[0], c[1], "Authorization", "Bearer "+tokens.Access)
			wantNotForYou(t, what+" "+method, a)
		}
	}
	wantNotForYou(t, "the secret in the URL", byProxy(t, s, http.MethodGet,
		"/forward-auth/music?client_id=edge&client_secret="+url.QueryEscape(proxySecret), "", "", "Authorization", "Bearer "+tokens.Access))
	wantNotForYou(t, "the token as the proxy's proof", byProxy(t, s, http.MethodGet,
		"/forward-auth/music", "", "", "Authorization", "Bearer "+tokens.Access, "Proxy-Authorization", "Bearer "+tokens.Access))
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("edge:"+url.QueryEscape(proxySecret)))
	if a := byProxy(t, s, http.MethodGet, "/forward-auth/music", "", "", "Authorization", basic); a.Status != http.StatusProxyAuthRequired {
		t.Errorf("the proof in the client's header: %d", a.Status)
	}
	for _, path := range []string{"/music/forward-auth", "/forward-auth/music", "/forward-auth"} {
		r := request(t, s, tokens.Access, http.MethodGet, path, nil)
		if a := s.Do(t, nil, r); a.Status != http.StatusNotFound {
			t.Errorf("%s for the public: %d", path, a.Status)
		}
	}
	if !strings.Contains(s.Audit(), `"action":"access_rejected","tenant":"music","reason":"forward_auth"`) {
		t.Errorf("audit:\n%s", s.Audit())
	}
}

func wantNotForYou(t *testing.T, what string, a coretest.Answer) {
	t.Helper()
	for name, values := range a.Header {
		if name == "Authorization" || name == "X-Sallyport-Assertion" || strings.Contains(strings.Join(values, ""), "upstream-access") {
			t.Errorf("%s reads %s: %v", what, name, values)
		}
	}
	if a.Status != http.StatusProxyAuthRequired || strings.Contains(a.Body, "upstream-access") || a.Header.Get("WWW-Authenticate") != "" || a.Header.Get("Proxy-Authenticate") == "" {
		t.Errorf("%s: %d %v %s", what, a.Status, a.Header, a.Body)
	}
}

// A proxy replaces headers of the very name that it was told to copy. An alias of
// one would reach the server beside it.
func TestForwardAuthRefusesAliasesOfOurHeaders(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, elsewhere)
	bearer := "Bearer " + s.Login(t, s.Browser(), "ada").Access
	for _, c := range "!#$%&'*+.^_`|~" {
		for _, name := range []string{"X-Sallyport-Assertion", "X-Sallyport-Other", "X-Forwarded-For", "Remote-User", "Mcp-Method", "Mcp-Name", "Mcp-Protocol-Version", "Content-Length", "Transfer-Encoding", "Last-Event-ID"} {
			name = strings.Replace(name, "-", string(c), 1)
			a := edge(t, s, "Authorization", bearer, name, "forged")
			if a.Status != http.StatusBadRequest || a.Header.Get("Authorization") != "" || !strings.Contains(a.Body, "hyphens only") {
				t.Errorf("%s: %d %v %s", name, a.Status, a.Header, a.Body)
			}
		}
	}
	if a := edge(t, s, "Authorization", bearer, "X-Sallyport-Subject", "forged"); a.Status != http.StatusBadRequest {
		t.Errorf("a header of ours that this tenant does not use: %d", a.Status)
	}
	if !strings.Contains(s.Audit(), `"reason":"header"`) {
		t.Errorf("audit:\n%s", s.Audit())
	}
	a := edge(t, s, "Authorization", bearer, "X-Sallyport-Assertion", "forged", "X_Clients_Own", "a", "X-Forwarded-For", "192.0.2.1")
	if a.Status != http.StatusOK || a.Header.Get("X-Sallyport-Assertion") == "forged" {
		t.Errorf("a header that the proxy replaces, and one of the client's own: %d %s", a.Status, a.Body)
	}
}

func TestForwardAuthIsForServersElsewhere(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, elsewhere)
	token := s.Login(t, s.Browser(), "ada").Access
	if a := byProxy(t, s, http.MethodGet, "/forward-auth/octo", "octo-edge", "octo-secret", "Authorization", "Bearer "+token); a.Status != http.StatusNotFound {
		t.Errorf("a tenant behind the gateway: %d %s", a.Status, a.Body)
	}
	if a := byProxy(t, s, http.MethodGet, "/forward-auth/nobody", "edge", proxySecret, "Authorization", "Bearer "+token); a.Status != http.StatusNotFound {
		t.Errorf("no tenant: %d %s", a.Status, a.Body)
	}
}

func TestWhatAProxyHandsBackToAClient(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, elsewhere, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		driver.Now, c.Store = c.Now, driver
	})
	token := s.Login(t, s.Browser(), "ada").Access
	const where = `Bearer resource_metadata="https://tools.example.com/.well-known/oauth-protected-resource/mcp", scope="read write admin"`
	for what, c := range map[string]struct {
		headers   []string
		status    int
		challenge string // its beginning; empty: there is none
	}{
		"no token":                     {nil, 401, where},
		"another scheme":               {[]string{"Authorization", "Basic eDp5"}, 401, where},
		"a bad token":                  {[]string{"Authorization", "Bearer sp_at_x"}, 401, where + `, error="invalid_token"`},
		"two tokens":                   {[]string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}, 400, ""},
		"a token in the URL, Traefik":  {[]string{"Authorization", "Bearer " + token, "X-Forwarded-Uri", "/mcp?access_token=x"}, 400, ""},
		"a token in the URL, nginx":    {[]string{"Authorization", "Bearer " + token, "X-Original-URI", "/mcp?a=b&access_token=x"}, 400, ""},
		"a script of a strange origin": {[]string{"Authorization", "Bearer " + token, "Origin", "https://evil.example.com"}, 403, ""},
		"another tenant in a hint":     {[]string{"Authorization", "Bearer " + token, "X-Forwarded-Host", "octo", "X-Forwarded-Uri", "/octo/mcp"}, 200, ""},
	} {
		a := edge(t, s, c.headers...)
		if challenge := a.Header.Get("WWW-Authenticate"); a.Status != c.status || !strings.HasPrefix(challenge, c.challenge) || c.challenge == "" && challenge != "" {
			t.Errorf("%s: %d %v %s", what, a.Status, a.Header, a.Body)
		}
		if c.status != 200 && a.Header.Get("Authorization") != "" {
			t.Errorf("%s: with the upstream token", what)
		}
	}
	a := byProxy(t, s, http.MethodGet, "/forward-auth/music/mcp?access_token=x", "edge", proxySecret, "Authorization", "Bearer "+token)
	if a.Status != http.StatusBadRequest {
		t.Errorf("a token in the URL, Envoy: %d", a.Status)
	}
	s.Advance(time.Minute) // beyond what is remembered of grants
	driver.Fail(func(string, string) error { return http.ErrHandlerTimeout })
	if a := edge(t, s, "Authorization", "Bearer "+token); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || a.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("the store is down: %d %v", a.Status, a.Header)
	}
}

// speaks has the operator state the revision of music's MCP server.
func speaks(revision string) coretest.Option {
	return func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) { tenants[0].Revision = revision }
}

// TestHeadersCountWhereTheServerHoldsThemAgainstTheBody: what a request says of
// its revision and its method counts for nothing before a server of which the
// operator has not said that it refuses headers which differ from the body.
func TestHeadersCountWhereTheServerHoldsThemAgainstTheBody(t *testing.T) {
	t.Parallel()
	for _, revision := range []string{"", "2025-11-25"} {
		s := coretest.New(t, elsewhere, withPolicy, speaks(revision))
		bearer := "Bearer " + s.Login(t, s.Browser(), "ada").Access // with read
		for _, version := range []string{"2026-07-28", "zzz", "2025-11-25", ""} {
			lie := []string{"Mcp-Protocol-Version", version, "Mcp-Method", "ping"}
			if a := edge(t, s, lie...); a.Status != http.StatusUnauthorized {
				t.Errorf("a server of %q, a request of %q without a token: %d", revision, version, a.Status)
			}
			if a := edge(t, s, append(lie, "Authorization", bearer)...); a.Status != http.StatusForbidden {
				t.Errorf("a server of %q, a request of %q: %d", revision, version, a.Status)
			}
		}
	}
}

// TestPolicyWithoutABody: a proxy shows no body. Before a server of the newest
// revision a client of that revision says in headers what is in it; of every
// other request the worst is taken.
func TestPolicyWithoutABody(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, elsewhere, withPolicy, speaks("2026-07-28"))
	bearer := "Bearer " + s.Login(t, s.Browser(), "ada").Access // with read
	says := func(version, method string, names ...string) []string {
		headers := []string{"Mcp-Protocol-Version", version, "Mcp-Method", method}
		for _, name := range names {
			headers = append(headers, "Mcp-Name", name)
		}
		return headers
	}
	for what, c := range map[string]struct {
		headers []string
		without int    // status without a token
		with    int    // status with one
		scope   string // that the refusal with one asks for
	}{
		"a list":                     {says("2026-07-28", "tools/list"), 200, 200, ""},
		"an unknown revision":        {says("2027-01-01", "tools/list"), 401, 403, "read write admin"},
		"a revision that is none":    {says("zzz", "tools/list"), 401, 403, "read write admin"},
		"two revisions":              {append(says("2026-07-28", "tools/list"), "Mcp-Protocol-Version", "2026-07-28"), 401, 403, "read write admin"},
		"a tool without a rule":      {says("2026-07-28", "tools/call", "whoami"), 401, 200, ""},
		"a tool that is covered":     {says("2026-07-28", "tools/call", "look"), 401, 200, ""},
		"a tool that needs more":     {says("2026-07-28", "tools/call", "delete"), 401, 403, "read write"},
		"a tool in encoded letters":  {says("2026-07-28", "tools/call", "=?base64?bMO2c2NoZW4=?="), 401, 403, "read write"},
		"a call of nothing":          {says("2026-07-28", "tools/call"), 401, 403, "read write admin"},
		"a call of two":              {says("2026-07-28", "tools/call", "look", "delete"), 401, 403, "read write admin"},
		"two methods":                {append(says("2026-07-28", "tools/list"), "Mcp-Method", "tools/call"), 401, 403, "read write admin"},
		"a revision that says less":  {says("2025-11-25", "tools/list"), 401, 403, "read write admin"},
		"nothing said":               {nil, 401, 403, "read write admin"},
		"a POST that says so":        {append(says("2026-07-28", "tools/list"), "X-Original-Method", "POST", "X-Forwarded-Method", "POST"), 200, 200, ""},
		"a stream that says a list":  {append(says("2026-07-28", "tools/list"), "X-Original-Method", "GET"), 401, 403, "read write admin"},
		"an end that says a list":    {append(says("2026-07-28", "tools/list"), "X-Forwarded-Method", "DELETE"), 401, 403, "read write admin"},
		"a client's own method":      {append(says("2026-07-28", "tools/list"), "X-Original-Method", "POST", "X-Original-Method", "GET"), 401, 403, "read write admin"},
		"a method in another header": {[]string{"X-Forwarded-Method", "GET", "X-Original-Method", "GET"}, 401, 403, "read write admin"},
	} {
		if a := edge(t, s, c.headers...); a.Status != c.without || c.without == 200 && (len(a.Header["Authorization"]) != 1 || a.Header.Get("Authorization") != "") {
			t.Errorf("%s without a token: %d %v", what, a.Status, a.Header)
		}
		a := edge(t, s, append(c.headers, "Authorization", bearer)...)
		asked := scopeOf(a.Header.Get("WWW-Authenticate"))
		want := map[string]bool{}
		for _, scope := range strings.Fields(c.scope) {
			want[scope] = true
		}
		if a.Status != c.with || !maps.Equal(asked, want) {
			t.Errorf("%s: %d %s", what, a.Status, a.Header.Get("WWW-Authenticate"))
		}
	}
}

// TestMethodOfTheRequestBelowThePath: Envoy asks with the method and the path of
// the request that it is about.
func TestMethodOfTheRequestBelowThePath(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, elsewhere, withPolicy, speaks("2026-07-28"))
	for method, status := range map[string]int{http.MethodPost: 200, http.MethodGet: 401, http.MethodDelete: 401} {
		a := byProxy(t, s, method, "/forward-auth/music/mcp", "edge", proxySecret, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list")
		if a.Status != status {
			t.Errorf("%s: %d %s", method, a.Status, a.Body)
		}
	}
}

// scopeOf is the scopes of a challenge.
func scopeOf(challenge string) map[string]bool {
	scopes := map[string]bool{}
	if _, rest, ok := strings.Cut(challenge, `scope="`); ok {
		value, _, _ := strings.Cut(rest, `"`)
		for _, scope := range strings.Fields(value) {
			scopes[scope] = true
		}
	}
	return scopes
}

// A proxy gets no upstream token that is about to end: the server would get it
// after its end.
func TestProxyGetsNoTokenAboutToEnd(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, elsewhere, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
		f.Life, f.Fail = 10*time.Minute, func() error { return &upstream.Error{Kind: upstream.Unavailable} }
	})
	bearer := "Bearer " + s.Login(t, s.Browser(), "ada").Access
	s.Advance(10*time.Minute - 10*time.Second)
	if a := edge(t, s, "Authorization", bearer); a.Status != http.StatusOK {
		t.Errorf("ten seconds left: %d %s", a.Status, a.Body)
	}
	s.Advance(7 * time.Second)
	if a := edge(t, s, "Authorization", bearer); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" || a.Header.Get("Authorization") != "" {
		t.Errorf("three seconds left: %d %v %s", a.Status, a.Header, a.Body)
	}
}
