package core_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// world is a whole server without a network, in the middle of everything: one
// user has a grant, a code, a consent page and a login open and is signed in to
// the connections page, and so is another. Its store can be set back, so that
// every request meets the same world. Keys and clock stand still: what a
// process has sealed another opens.
type world struct {
	server     *core.Server
	store      *memory.Driver
	before     memory.Snapshot
	up         *faultyUpstream
	backend    *fakeBackend
	resolve    func() ([]netip.Addr, error)
	log, audit *bytes.Buffer
	audits     *audit.Log
	// names is what {name} stands for in a request: what the first user and
	// their clients know, and the operator's resource servers.
	names map[string]string
	// secrets is what no answer may hold but to somebody who has sent it.
	secrets []string
}

const (
	musicURL, octoURL = "https://mcp.example/music", "https://octo.example"
	sharedURL         = "https://login.example/callback"
	upstreamLogin     = "https://upstream.example/authorize"
	apiSecret         = "secret-of-the-api-5f1d"
	edgeSecret        = "secret-of-the-edge-9c07"
	knownSecret       = "secret-of-a-known-client-77aa"
	injectedSecret    = "secret-for-the-backend-31be"
	canary            = "canary-4b9e"
)

// worldTime is when everything here happens.
func worldTime() time.Time { return time.Date(2026, time.November, 25, 12, 0, 0, 0, time.UTC) }

func newWorld(t testing.TB) *world {
	t.Helper()
	key, err := seal.ParseKey("l2Zr1m0vYp4Qy6sT8uWxA3bCdEfGhIjKlMnOpQrStU0")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		store: &memory.Driver{Now: worldTime}, backend: &fakeBackend{}, log: &bytes.Buffer{}, audit: &bytes.Buffer{},
		names: map[string]string{}, secrets: []string{key.Reveal(), apiSecret, edgeSecret, knownSecret, injectedSecret},
	}
	w.audits = audit.New(audit.Config{Out: w.audit, Now: worldTime})
	w.resolve = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil } // nobody is asked
	w.up = &faultyUpstream{}
	w.up.forget()
	tenants, err := tenant.NewSet(w.tenants(t)...)
	if err != nil {
		t.Fatal(err)
	}
	w.server, err = core.New(core.Config{
		Tenants: tenants, Store: w.store, Keys: keys, Now: worldTime, Audit: w.audits,
		Log:              hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: w.log}),
		Fetch:            fetch.New(fetch.Config{Resolve: func(context.Context, string) ([]netip.Addr, error) { return w.resolve() }}),
		BackendTransport: w.backend,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.live(t)
	w.before = w.store.Snapshot()
	w.backend.never = []string{w.names["access"], w.names["due"], w.names["refresh"], w.names["octoaccess"], w.names["octodue"]}
	return w
}

// audited returns the audit lines since the buffer was emptied.
func (w *world) audited() string {
	_ = w.audits.Close(context.Background()) // a buffer takes every line
	return w.audit.String()
}

func (w *world) tenants(t testing.TB) []*tenant.Tenant {
	backend, _ := url.Parse("http://backend.example:9000/mcp")
	var inject []tenant.Header
	for name, value := range map[string]string{"Authorization": "Bearer {token}", "X-User": "{subject} {account}", "X-Api-Key": injectedSecret} {
		h, err := tenant.ParseHeader(name, value)
		if err != nil {
			t.Fatal(err)
		}
		inject = append(inject, h)
	}
	redirects := oauth.DefaultRedirects()
	return []*tenant.Tenant{{
		Name: "music", DisplayName: "Music", Issuer: musicURL, Provider: w.up, Backend: backend, Inject: inject,
		Backends: map[string]*url.URL{"files": backend}, Redirects: redirects, Lifetimes: tenant.DefaultLifetimes(),
		Anonymous: []string{"initialize", "ping"}, Tools: map[string][]string{"delete": {"write"}},
		SharedCallback:  sharedURL,
		ClientDocuments: tenant.ClientDocuments{Hosts: []string{"documents.example"}}, // what is asked is limited, and with it the same request answered otherwise
		Clients:         []tenant.Client{{ID: "known", Name: "Known", Secret: seal.NewSecret(knownSecret), RedirectURIs: []string{"https://claude.ai/api/mcp/auth_callback", coretest.ClientCallback}}},
		ResourceServers: []tenant.ResourceServer{{ID: "api", Secret: seal.NewSecret(apiSecret)}},
	}, {
		Name: "octo", DisplayName: "Octo", Issuer: octoURL, Provider: w.up, External: "https://tools.example/mcp",
		Redirects: redirects, Lifetimes: tenant.DefaultLifetimes(), ClientDocuments: tenant.ClientDocuments{Off: true},
		ResourceServers: []tenant.ResourceServer{{ID: "edge", Secret: seal.NewSecret(edgeSecret)}},
	}}
}

// live has two users and their clients do everything that can be begun here.
// What the first of them has gets a name; what the second has is secret.
func (w *world) live(t testing.TB) {
	t.Helper()
	for _, who := range []string{"ada", "bob"} {
		b := browser{}
		has := map[string]string{}
		public := w.register(t, `{"client_name":"App","redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"none"}`)
		web := w.register(t, `{"client_name":"Web","redirect_uris":["`+coretest.ClientCallback+`","https://claude.ai/api/mcp/auth_callback"]}`)
		has["client"], has["web"] = public["client_id"].(string), web["client_id"].(string)
		has["websecret"], has["manage"] = web["client_secret"].(string), web["registration_access_token"].(string)
		query := authorizeQuery(has["client"])
		q := query.Encode()
		has["code"] = w.code(t, b, musicURL, q, who)
		var tokens map[string]any
		w.mustJSON(t, w.form(browser{}, musicURL+"/token", tokenForm(has["client"], w.code(t, b, musicURL, q, who))), &tokens)
		has["access"], has["refresh"] = tokens["access_token"].(string), tokens["refresh_token"].(string)

		page := w.get(b, musicURL+"/authorize?"+q)
		has["form"] = html.UnescapeString(formToken.FindStringSubmatch(page.Body.String())[1])
		has["state"] = w.approve(t, b, musicURL, q)
		var pushed map[string]any
		w.mustJSON(t, w.form(browser{}, musicURL+"/par", query), &pushed)
		has["pushed"] = pushed["request_uri"].(string)
		has["pushedform"] = html.UnescapeString(formToken.FindStringSubmatch(w.get(b, musicURL+"/authorize?"+url.Values{"client_id": {has["client"]}, "request_uri": {has["pushed"]}}.Encode()).Body.String())[1])
		w.signIn(t, b, who)
		has["grant"] = endButton.FindStringSubmatch(w.get(b, musicURL+"/connections").Body.String())[1]
		has["visit"] = html.UnescapeString(formToken.FindStringSubmatch(w.get(b, musicURL+"/connections").Body.String())[1])
		has["cookies"] = b.String()
		octo := w.registerAt(t, octoURL, `{"redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"none"}`)["client_id"].(string)
		query.Set("client_id", octo)
		query.Set("resource", "https://tools.example/mcp")
		w.mustJSON(t, w.form(browser{}, octoURL+"/token", tokenForm(octo, w.code(t, browser{}, octoURL, query.Encode(), who))), &tokens)
		has["octoclient"], has["octoaccess"] = octo, tokens["access_token"].(string)

		w.up.Life = -time.Second // it has to be renewed first
		w.mustJSON(t, w.form(browser{}, musicURL+"/token", tokenForm(has["client"], w.code(t, browser{}, musicURL, q, who))), &tokens)
		has["due"] = tokens["access_token"].(string)
		w.mustJSON(t, w.form(browser{}, octoURL+"/token", tokenForm(octo, w.code(t, browser{}, octoURL, query.Encode(), who))), &tokens)
		has["octodue"] = tokens["access_token"].(string)
		w.up.Life = 0
		if who == "ada" {
			w.names = has
			continue
		}
		for _, value := range has {
			w.secrets = append(w.secrets, value)
		}
		for _, value := range b {
			w.secrets = append(w.secrets, value)
		}
	}
	w.secrets = append(w.secrets, "upstream-access-ada", "upstream-refresh-ada", "upstream-access-bob", "upstream-refresh-bob")
	w.names["apibasic"] = base64.StdEncoding.EncodeToString([]byte("api:" + apiSecret))
	w.names["edgebasic"] = base64.StdEncoding.EncodeToString([]byte("edge:" + edgeSecret))
	w.names["verifier"], w.names["challenge"] = coretest.Verifier, string(oauth.ChallengeOf(coretest.Verifier))
	w.names["callback"] = coretest.ClientCallback
	w.names["apisecret"], w.names["knownsecret"] = apiSecret, knownSecret
}

func authorizeQuery(clientID string) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {coretest.ClientCallback}, "state": {"client+state/=="},
		"code_challenge": {string(oauth.ChallengeOf(coretest.Verifier))}, "code_challenge_method": {"S256"}, "scope": {"read"},
	}
}

func tokenForm(clientID, code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {clientID},
		"redirect_uri": {coretest.ClientCallback}, "code_verifier": {coretest.Verifier},
	}
}

var onward = regexp.MustCompile(`http-equiv="refresh" content="0;\s*url=([^"]*)"`)

// approve says yes on the consent page and returns the upstream's state.
func (w *world) approve(t testing.TB, b browser, issuer, query string) string {
	t.Helper()
	page := w.get(b, issuer+"/authorize?"+query)
	token := formToken.FindStringSubmatch(page.Body.String())
	if token == nil {
		t.Fatalf("no consent page: %d %s", page.Code, page.Body)
	}
	next := w.form(b, issuer+"/consent", url.Values{"request": {html.UnescapeString(token[1])}, "decision": {"approve"}})
	return stateIn(t, next)
}

func stateIn(t testing.TB, page *httptest.ResponseRecorder) string {
	t.Helper()
	target := onward.FindStringSubmatch(page.Body.String())
	if target == nil {
		t.Fatalf("leads nowhere: %d %s", page.Code, page.Body)
	}
	u, _ := url.Parse(html.UnescapeString(target[1]))
	return u.Query().Get("state")
}

func (w *world) code(t testing.TB, b browser, issuer, query, who string) string {
	t.Helper()
	back := w.get(b, issuer+"/callback?"+url.Values{"code": {who}, "state": {w.approve(t, b, issuer, query)}}.Encode())
	u, _ := url.Parse(back.Header().Get("Location"))
	if u.Query().Get("code") == "" {
		t.Fatalf("no code: %d %v", back.Code, back.Header())
	}
	return u.Query().Get("code")
}

func (w *world) signIn(t testing.TB, b browser, who string) {
	t.Helper()
	token := formToken.FindStringSubmatch(w.get(b, musicURL+"/connections").Body.String())
	state := stateIn(t, w.form(b, musicURL+"/connections", url.Values{"request": {html.UnescapeString(token[1])}, "do": {"sign-in"}}))
	if back := w.get(b, musicURL+"/callback?"+url.Values{"code": {who}, "state": {state}}.Encode()); back.Code != http.StatusSeeOther {
		t.Fatalf("signing in: %d", back.Code)
	}
}

func (w *world) register(t testing.TB, body string) map[string]any {
	return w.registerAt(t, musicURL, body)
}

func (w *world) registerAt(t testing.TB, issuer, body string) (m map[string]any) {
	t.Helper()
	w.mustJSON(t, w.serve(browser{}, httptest.NewRequest(http.MethodPost, issuer+"/register", strings.NewReader(body))), &m)
	return m
}

func (w *world) mustJSON(t testing.TB, a *httptest.ResponseRecorder, into *map[string]any) {
	t.Helper()
	*into = coretest.Answer{Status: a.Code, Body: a.Body.String()}.JSON(t)
	if a.Code/100 != 2 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
}

func (w *world) get(b browser, target string) *httptest.ResponseRecorder {
	return w.serve(b, httptest.NewRequest(http.MethodGet, target, nil))
}

func (w *world) form(b browser, target string, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.serve(b, r)
}

func (w *world) serve(b browser, r *http.Request) *httptest.ResponseRecorder {
	if len(b) > 0 {
		r.Header.Set("Cookie", b.String())
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	b.keep(rec)
	return rec
}

// browser keeps cookies by name.
type browser map[string]string

func (b browser) keep(rec *httptest.ResponseRecorder) {
	for _, c := range rec.Result().Cookies() {
		if b[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b, c.Name)
		}
	}
}

func (b browser) String() string {
	var all []string
	for name, value := range b {
		all = append(all, name+"="+value)
	}
	return strings.Join(all, "; ")
}

// faultyUpstream is the fake upstream until fail has something for an operation.
type faultyUpstream struct {
	upstreamtest.Provider
	fail func(op string) error
}

// forget makes it an upstream that was never asked for anything.
func (p *faultyUpstream) forget() {
	p.Provider = upstreamtest.Provider{Fake: &upstreamtest.Fake{Login: upstreamLogin, Now: worldTime}}
}

func (p *faultyUpstream) failing(op string) error {
	if p.fail == nil {
		return nil
	}
	return p.fail(op)
}

func (p *faultyUpstream) Authorize(ctx context.Context, req upstream.AuthorizeRequest) (string, error) {
	if err := p.failing("authorize"); err != nil {
		return "", err
	}
	return p.Provider.Authorize(ctx, req)
}

func (p *faultyUpstream) Exchange(ctx context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	if err := p.failing("exchange"); err != nil {
		return nil, err
	}
	return p.Provider.Exchange(ctx, req)
}

func (p *faultyUpstream) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	if err := p.failing("refresh"); err != nil {
		return nil, err
	}
	return p.Provider.Refresh(ctx, req)
}

func (p *faultyUpstream) Revoke(ctx context.Context, cred *upstream.Credential) error {
	if err := p.failing("revoke"); err != nil {
		return err
	}
	return p.Provider.Revoke(ctx, cred)
}

// fakeBackend answers for every MCP server, and notes what must not reach one.
type fakeBackend struct {
	never []string // tokens of clients
	fail  func(*http.Request) (*http.Response, error)

	mu     sync.Mutex
	faults []string
}

func (f *fakeBackend) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(bodyOf(r))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		for _, value := range values {
			for _, token := range f.never {
				if strings.Contains(value, token) && (name == "Authorization" || name == "Cookie" || strings.HasPrefix(name, "X-Sallyport-")) {
					f.faults = append(f.faults, name+" crossed")
				}
			}
		}
	}
	if r.Header.Get("Cookie") != "" || r.Header.Get("X-Api-Key") != injectedSecret || len(r.Header["Authorization"]) > 1 {
		f.faults = append(f.faults, "headers of a client's: "+strings.Join(r.Header["Cookie"], ";"))
	}
	if f.fail != nil {
		return f.fail(r)
	}
	res := f.good(r)
	if bytes.Contains(body, []byte("backend-says-401")) {
		res.StatusCode = http.StatusUnauthorized
		res.Header.Set("WWW-Authenticate", "Bearer realm="+canary)
	}
	return res, nil
}

// good is an answer that claims more for itself than it may.
func (f *fakeBackend) good(r *http.Request) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: -1,
		Header: http.Header{"Content-Type": {"application/json"}, "Mcp-From-Backend": {"yes"}, "Set-Cookie": {"a=b"}, "Access-Control-Allow-Credentials": {"true"}},
		Body:   io.NopCloser(strings.NewReader(`{"jsonrpc":"2.0","id":1,"result":{}}`)),
	}
}

func bodyOf(r *http.Request) io.Reader {
	if r.Body == nil {
		return http.NoBody
	}
	return r.Body
}
