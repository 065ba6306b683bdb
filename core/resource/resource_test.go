package resource_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/resource"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

func TestUserAndUpstreamTokenReachTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens := w.Login(t, w.Browser(), "ada")
	var user *resource.User
	h := w.gate.Middleware(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user = resource.FromContext(r.Context())
		tell(rw, r)
	}))
	if a := call(t, h, tokens.Access); a.status != http.StatusOK || a.body != "ada Bearer upstream-access-ada-0" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if user.Name != "ada" || user.Client != grant.HashClient(tokens.ClientID) || !user.Has("read") || user.Has("read", "write") {
		t.Errorf("user %+v", user)
	}
	if life := user.Expires.Sub(w.Now()); life < 23*time.Hour || life > 24*time.Hour {
		t.Errorf("expires in %v", life)
	}
	if token, err := user.UpstreamToken(t.Context()); err != nil || token.Reveal() != "upstream-access-ada-0" {
		t.Errorf("UpstreamToken: %q, %v", token.Reveal(), err)
	}
	if printed := fmt.Sprintf("%v %+v %#v", user, user, *user); strings.Contains(printed, tokens.Access) {
		t.Errorf("a user prints the token: %s", printed)
	}
}

// A server may hand the request on to a program that reads names as CGI does.
func TestNamesThatAProgramFoldsDoNotReachTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	token := w.Login(t, w.Browser(), "ada").Access
	var got http.Header
	var trailer http.Header
	h := w.gate.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got, trailer = r.Header, r.Trailer
	}))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ownURL, strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Clients-Own", "kept")
	r.Header.Set("Proxy", "forged")
	r.Trailer = http.Header{"X-Sallyport-Assertion": {"forged"}}
	for _, c := range "!#$%&'*+.^_`|~" {
		for _, name := range []string{"X-Sallyport-Assertion", "X-User", "X-Forwarded-For"} {
			r.Header.Set(strings.ReplaceAll(name, "-", string(c)), "forged")
		}
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got.Get("X-Clients-Own") != "kept" || strings.Contains(fmt.Sprint(got), "forged") {
		t.Errorf("the server got %v", got)
	}
	if len(trailer) > 0 {
		t.Errorf("the server got the trailers %v", trailer)
	}
}

// TestChallengesAreTheGateways sends the same to the tenant octo, which is
// behind the gateway.
func TestChallengesAreTheGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	h := w.gate.Middleware(http.HandlerFunc(tell))
	tokens := w.Login(t, w.Browser(), "ada")
	for what, token := range map[string]string{"no token": "", "a made-up token": "sp_at_x", "a refresh token": tokens.Refresh} {
		got, want := call(t, h, token), w.Call(t, "octo", token)
		own := w.URL + "/.well-known/oauth-protected-resource/octo/mcp"
		challenge := strings.ReplaceAll(want.Header.Get("WWW-Authenticate"), own, "https://tools.example.com/.well-known/oauth-protected-resource/mcp")
		if got.status != want.Status || got.body != want.Body || challenge == "" || got.header.Get("WWW-Authenticate") != challenge || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %+v, the gateway's %+v", what, got, want)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ownURL+"?access_token="+tokens.Access, nil)
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, r); rec.Code != http.StatusBadRequest {
		t.Errorf("a token in the URL: %d", rec.Code)
	}
}

func TestOptionalGateLetsStrangersThroughAndNoBadToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *resource.Config) { c.Optional = true })
	tokens := w.Login(t, w.Browser(), "ada")
	h := w.gate.Middleware(http.HandlerFunc(tell))
	for token, want := range map[string]string{"": "nobody ", tokens.Access: "ada Bearer upstream-access-ada-0"} {
		if a := call(t, h, token); a.status != http.StatusOK || a.body != want {
			t.Errorf("%q: %d %s", want, a.status, a.body)
		}
	}
	if a := call(t, h, "sp_at_x"); a.status != http.StatusUnauthorized || !strings.Contains(a.header.Get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("a bad token: %+v", a)
	}
	if a := call(t, w.gate.RequireScopes("read")(http.HandlerFunc(tell)), ""); a.status != http.StatusUnauthorized {
		t.Errorf("scopes without a user: %+v", a)
	}
}

func TestScopesThatAreRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens := w.Login(t, w.Browser(), "ada") // with read
	guarded := func(scopes ...string) answer {
		return call(t, w.gate.Middleware(w.gate.RequireScopes(scopes...)(http.HandlerFunc(tell))), tokens.Access)
	}
	if a := guarded("read"); a.status != http.StatusOK {
		t.Errorf("%+v", a)
	}
	a := guarded("write", "delete")
	want := `Bearer resource_metadata="https://tools.example.com/.well-known/oauth-protected-resource/mcp", scope="read write delete", error="insufficient_scope", `
	if a.status != http.StatusForbidden || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), want) {
		t.Errorf("%+v", a)
	}
}

func TestRevokedTokenIsBelievedForKeepAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens := w.Login(t, w.Browser(), "ada")
	h := w.gate.Middleware(http.HandlerFunc(tell))
	call(t, h, tokens.Access)
	before := w.reads.Load()
	for range 20 {
		call(t, h, tokens.Access)
	}
	if n := w.reads.Load() - before; n > 0 {
		t.Errorf("asked %d times again at once", n)
	}
	user, err := w.gate.Verify(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Core.Grants().DeleteAll(t.Context(), "music"); err != nil {
		t.Fatal(err)
	}
	w.Advance(resource.Keep)
	if a := call(t, h, tokens.Access); a.status != http.StatusUnauthorized {
		t.Errorf("after Keep: %+v", a)
	}
	var fault *oauth.Error
	if _, err := user.UpstreamToken(t.Context()); !errors.As(err, &fault) || fault.Code != oauth.InvalidToken {
		t.Errorf("a request that is still at work: %v", err)
	}
	before = w.reads.Load()
	call(t, h, tokens.Access)
	if n := w.reads.Load() - before; n > 0 {
		t.Error("a token that counts for nothing was asked about again at once")
	}
}

func TestTokenIsNotBelievedBeyondItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens := w.Login(t, w.Browser(), "ada")
	h := w.gate.Middleware(http.HandlerFunc(tell))
	w.Advance(24*time.Hour - 2*time.Second)
	if a := call(t, h, tokens.Access); a.status != http.StatusOK {
		t.Fatalf("%+v", a)
	}
	w.Advance(2 * time.Second)
	if a := call(t, h, tokens.Access); a.status != http.StatusUnauthorized {
		t.Errorf("%+v", a)
	}
}

func TestUpstreamTokenIsRenewedShortlyBeforeItExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) { f.Life = 10 * time.Minute })
	tokens := w.Login(t, w.Browser(), "ada")
	h := w.gate.Middleware(http.HandlerFunc(tell))
	want := func(body string) {
		t.Helper()
		if a := call(t, h, tokens.Access); a.body != body {
			t.Errorf("%+v, want %s", a, body)
		}
	}
	want("ada Bearer upstream-access-ada-0")
	w.Advance(9 * time.Minute)
	want("ada Bearer upstream-access-ada-0")
	if n := strings.Count(w.Audit(), "token_exchanged"); n != 1 {
		t.Errorf("exchanged %d times", n)
	}
	w.Advance(35 * time.Second) // less than half a minute is left: the server renews it beside the exchange
	for body := ""; body != "ada Bearer upstream-access-ada-1"; {
		if body = call(t, h, tokens.Access).body; !strings.HasPrefix(body, "ada Bearer upstream-access-ada-") {
			t.Fatal(body)
		}
	}
}

func TestEndedAtTheUpstreamIsALoginAnew(t *testing.T) {
	t.Parallel()
	var fault error
	w := newWorld(t, nil, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
		f.Life, f.Fail = 10*time.Minute, func() error { return fault }
	})
	tokens := w.Login(t, w.Browser(), "ada")
	h := w.gate.Middleware(http.HandlerFunc(tell))
	w.Advance(time.Hour)
	fault = &upstream.Error{Kind: upstream.Unavailable, Detail: "upstream-detail"}
	if a := call(t, h, tokens.Access); a.status != http.StatusServiceUnavailable || a.header.Get("WWW-Authenticate") != "" || strings.Contains(a.body, "detail") {
		t.Errorf("the upstream is down: %+v", a)
	}
	w.Advance(time.Minute) // the issuer lets the upstream rest for a moment
	fault = &upstream.Error{Kind: upstream.InvalidGrant}
	if a := call(t, h, tokens.Access); a.status != http.StatusUnauthorized || !strings.Contains(a.header.Get("WWW-Authenticate"), "invalid_token") {
		t.Errorf("the upstream ended it: %+v", a)
	}
	if _, err := w.gate.Verify(t.Context(), tokens.Access); err == nil {
		t.Error("it is still believed")
	}
}

func TestTroubleIsNeverTheClients(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	w := newWorld(t, func(c *resource.Config) { c.Log = hclog.New(&hclog.LoggerOptions{Output: &log}) })
	tokens := w.Login(t, w.Browser(), "ada")
	wrongSecret, unknown, strict := w.cfg, w.cfg, w.cfg
	wrongSecret.Secret = seal.NewSecret("another")
	unknown.Issuer = w.URL + "/octo" // which has no resource servers
	strict.Fetch = fetch.New(fetch.Config{})
	gates := map[string]resource.Config{
		"a wrong secret": wrongSecret, "no resource server": unknown, "an issuer at a private address": strict,
	}
	for what, cfg := range gates {
		wantUnavailable(t, what, newGate(t, cfg), tokens.Access)
	}
	w.Advance(time.Minute) // beyond what Sallyport remembers of grants
	w.storeAnswers(errors.New("store-detail"))
	wantUnavailable(t, "the store is down", w.gate, tokens.Access)
	w.storeAnswers(nil)
	if a := call(t, w.gate.Middleware(http.HandlerFunc(tell)), tokens.Access); a.status != http.StatusOK {
		t.Errorf("once it is up again: %+v", a)
	}
	for _, said := range []string{"status 401", "resource_servers", "private hosts", "status 503"} {
		if !strings.Contains(log.String(), said) {
			t.Errorf("the log does not say %q:\n%s", said, log.String())
		}
	}
	if strings.Contains(log.String(), tokens.Access) || strings.Contains(log.String(), secret) {
		t.Errorf("the log holds a secret:\n%s", log.String())
	}
}

func wantUnavailable(t *testing.T, what string, gate *resource.Gate, token string) {
	t.Helper()
	a := call(t, gate.Middleware(http.HandlerFunc(tell)), token)
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || a.header.Get("WWW-Authenticate") != "" {
		t.Errorf("%s: %+v", what, a)
	}
}

func TestTokenForAnotherResourceIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tokens := w.Login(t, w.Browser(), "ada")
	for own, want := range map[string]int{ownURL: 200, "https://TOOLS.example.com/mcp": 200, "https://tools.example.com/other": 401, w.URL + "/music/mcp": 401} {
		cfg := w.cfg
		cfg.Resource = own
		if a := call(t, newGate(t, cfg).Middleware(http.HandlerFunc(tell)), tokens.Access); a.status != want {
			t.Errorf("%s: %+v", own, a)
		}
	}
}

func TestMetadataLeadsToTheIssuer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if w.gate.MetadataPath() != "/.well-known/oauth-protected-resource/mcp" {
		t.Errorf("path %s", w.gate.MetadataPath())
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, w.gate.MetadataURL(), nil)
	r.Header.Set("Origin", "https://inspector.example.com")
	rec := httptest.NewRecorder()
	w.gate.Metadata().ServeHTTP(rec, r)
	a := coretest.Answer{Status: rec.Code, Header: rec.Header(), Body: rec.Body.String()}
	want := fmt.Sprintf(`{"resource":"%s","resource_name":"Tools","authorization_servers":["%s/music"],"bearer_methods_supported":["header"],"scopes_supported":["read","write"]}`, ownURL, w.URL)
	if a.Status != http.StatusOK || strings.TrimSpace(a.Body) != want || a.Header.Get("Access-Control-Allow-Origin") != "*" || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", a)
	}
	r.Method = http.MethodPost
	if rec := httptest.NewRecorder(); true {
		w.gate.Metadata().ServeHTTP(rec, r)
		if rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", rec.Code)
		}
	}
}

func TestConfigThatCannotWork(t *testing.T) {
	t.Parallel()
	good := resource.Config{Issuer: "https://sallyport.example.com/music", Resource: ownURL, ID: "tools", Secret: seal.NewSecret("s")}
	if _, err := resource.New(good); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*resource.Config){
		"no issuer":         func(c *resource.Config) { c.Issuer = "" },
		"an issuer's slash": func(c *resource.Config) { c.Issuer += "/" },
		"a path":            func(c *resource.Config) { c.Resource = "/mcp" },
		"no scheme":         func(c *resource.Config) { c.Resource = "//tools.example.com/mcp" },
		"a fragment":        func(c *resource.Config) { c.Resource += "#x" },
		"no id":             func(c *resource.Config) { c.ID = "" },
		"no secret":         func(c *resource.Config) { c.Secret = seal.Secret{} },
	} {
		cfg := good
		change(&cfg)
		if _, err := resource.New(cfg); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
