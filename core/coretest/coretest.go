// Package coretest gives tests a running Sallyport in three lines:
//
//	s := coretest.New(t)
//	user := s.Browser()
//	tokens := s.Login(t, user, "ada")
//
// The server is the real one over HTTP, on a real bolt store in a temporary
// folder. The upstream is upstreamtest.Fake and the backend echoes what it was
// sent, both doubles of ours.
package coretest

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"html"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// Verifier is a valid PKCE verifier, used by Login.
const Verifier = "a-verifier-of-forty-three-characters-at-least-1"

// ClientCallback is the redirect URI Login registers.
const ClientCallback = "http://127.0.0.1:7777/callback"

// cacheTTL is for how long the server remembers grants.
const cacheTTL = 5 * time.Second

// Server is a running Sallyport with two tenants, music and octo, below one
// host.
type Server struct {
	URL      string
	Fake     *upstreamtest.Fake
	Store    store.Driver
	Backend  *httptest.Server
	Core     *core.Server
	auditLog *lockedBuffer
	log      *lockedBuffer
	audits   *audit.Log
	// transport is the server's own: httptest closes the idle connections of
	// the default one whenever any test's server ends.
	transport *http.Transport
	mu        sync.Mutex
	offset    time.Duration
	config    core.Config
	handler   atomic.Pointer[core.Server]
}

// Option changes the server before it starts.
type Option func(*core.Config, []*tenant.Tenant, *upstreamtest.Fake)

// New starts a server that ends with the test.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	s := &Server{Fake: &upstreamtest.Fake{}, auditLog: &lockedBuffer{}, log: &lockedBuffer{}, transport: &http.Transport{}}
	t.Cleanup(s.transport.CloseIdleConnections)
	s.Fake.Now = s.Now
	s.audits = audit.New(audit.Config{Out: s.auditLog, Now: s.Now})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handler.Load().ServeHTTP(w, r) }))
	t.Cleanup(front.Close)
	s.URL = front.URL
	// Whatever a tenant's host is called, it is here.
	s.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, front.Listener.Addr().String())
	}
	s.Fake.Login = front.URL + "/upstream-login"
	s.Backend = httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(s.Backend.Close)

	driver, err := bolt.Open(context.Background(), bolt.Config{Path: filepath.Join(t.TempDir(), "state.db"), Now: s.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	s.Store = driver
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	backend, err := url.Parse(s.Backend.URL + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	var tenants []*tenant.Tenant
	for _, name := range []string{"music", "octo"} {
		tenants = append(tenants, &tenant.Tenant{
			Name: name, DisplayName: strings.ToUpper(name[:1]) + name[1:], Issuer: s.URL + "/" + name,
			Provider: upstreamtest.Provider{Fake: s.Fake}, Backend: backend,
			Redirects: oauth.DefaultRedirects(), Lifetimes: tenant.DefaultLifetimes(),
		})
	}
	cfg := core.Config{Log: hclog.New(&hclog.LoggerOptions{Output: s.log}), CacheTTL: cacheTTL, Store: driver, Keys: keys, Audit: s.audits, Now: s.Now}
	for _, option := range options {
		option(&cfg, tenants, s.Fake)
	}
	if cfg.Tenants, err = tenant.NewSet(tenants...); err != nil {
		t.Fatal(err)
	}
	s.config = cfg
	s.Restart(t, func(*core.Config) {})
	return s
}

// Restart puts a new process in the server's place, on the same store.
func (s *Server) Restart(t testing.TB, change func(*core.Config)) {
	t.Helper()
	change(&s.config)
	var err error
	if s.Core, err = core.New(s.config); err != nil {
		t.Fatal(err)
	}
	s.handler.Store(s.Core)
}

// At is the URL of a tenant.
func (s *Server) At(tenantName string) string { return s.Core.Tenants().Get(tenantName).Issuer }

// Now is the server's clock.
func (s *Server) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.offset)
}

// Advance moves the server's clock.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset += d
}

// Forget moves the server's clock past all that it remembers, so that the next
// request asks the store.
func (s *Server) Forget() { s.Advance(cacheTTL) }

// Audit returns the audit lines so far.
func (s *Server) Audit() string {
	_ = s.audits.Flush(context.Background()) // a buffer takes every line
	return s.auditLog.String()
}

// Log returns what the server has logged so far, from level INFO on.
func (s *Server) Log() string { return s.log.String() }

// Browser returns an HTTP client with cookies that follows no redirect.
func (s *Server) Browser() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &http.Client{Transport: s.transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Answer is an HTTP answer read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// JSON decodes the body into a map.
func (a Answer) JSON(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.Body), &m); err != nil {
		t.Fatalf("no JSON in %d %q: %v", a.Status, a.Body, err)
	}
	return m
}

// Location is the query of the redirect, and its address without the query.
func (a Answer) Location(t testing.TB) (string, url.Values) {
	t.Helper()
	u, err := url.Parse(a.Header.Get("Location"))
	if err != nil || u.Host == "" {
		t.Fatalf("no redirect in %d %q", a.Status, a.Body)
	}
	q := u.Query()
	u.RawQuery = ""
	return u.String(), q
}

// Do sends a request and reads the answer. A nil client is http.DefaultClient
// without redirects.
func (s *Server) Do(t testing.TB, client *http.Client, req *http.Request) Answer {
	t.Helper()
	if client == nil {
		client = s.Browser()
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return Answer{res.StatusCode, res.Header, string(body)}
}

// Get fetches a path or URL.
func (s *Server) Get(t testing.TB, client *http.Client, target string) Answer {
	t.Helper()
	return s.Do(t, client, s.request(t, http.MethodGet, target, nil))
}

// PostForm posts a form to a path or URL.
func (s *Server) PostForm(t testing.TB, client *http.Client, target string, form url.Values) Answer {
	t.Helper()
	req := s.request(t, http.MethodPost, target, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.Do(t, client, req)
}

// PostJSON posts a JSON document to a path or URL.
func (s *Server) PostJSON(t testing.TB, target, body string) Answer {
	t.Helper()
	req := s.request(t, http.MethodPost, target, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	return s.Do(t, nil, req)
}

// Call posts an MCP message with a bearer token, which may be empty.
func (s *Server) Call(t testing.TB, tenantName, token string) Answer {
	t.Helper()
	req := s.request(t, http.MethodPost, s.At(tenantName)+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`))
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return s.Do(t, nil, req)
}

func (s *Server) request(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.URL + target
	}
	req, err := http.NewRequestWithContext(context.Background(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// Register registers a public client and returns its id.
func (s *Server) Register(t testing.TB, tenantName string, redirectURIs ...string) string {
	t.Helper()
	if len(redirectURIs) == 0 {
		redirectURIs = []string{ClientCallback}
	}
	body, _ := json.Marshal(map[string]any{
		"client_name": "Test Client", "redirect_uris": redirectURIs, "token_endpoint_auth_method": "none",
	})
	a := s.PostJSON(t, s.At(tenantName)+"/register", string(body))
	if a.Status != http.StatusCreated {
		t.Fatalf("register: %d %s", a.Status, a.Body)
	}
	return a.JSON(t)["client_id"].(string)
}

// AuthorizeQuery is a valid authorization request of clientID.
func (s *Server) AuthorizeQuery(tenantName, clientID string) url.Values {
	return url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {ClientCallback}, "state": {"client+state/=="},
		"code_challenge": {string(oauth.ChallengeOf(Verifier))}, "code_challenge_method": {"S256"},
		"resource": {s.Core.Tenants().Get(tenantName).Resource()}, "scope": {"read"},
	}
}

var (
	hidden  = regexp.MustCompile(`name="request" value="([^"]*)"`)
	refresh = regexp.MustCompile(`http-equiv="refresh" content="0;\s*url=([^"]*)"`)
)

// Form is the sealed request in the form of a consent page.
func (s *Server) Form(t testing.TB, page Answer) string {
	t.Helper()
	form := hidden.FindStringSubmatch(page.Body)
	if page.Status != http.StatusOK || form == nil {
		t.Fatalf("consent page: %d %s %s", page.Status, page.Header.Get("Location"), page.Body)
	}
	return html.UnescapeString(form[1])
}

// Consent opens the consent page, posts the decision and returns where the
// browser is sent.
func (s *Server) Consent(t testing.TB, user *http.Client, tenantName string, query url.Values, decision string) *url.URL {
	t.Helper()
	return s.Decide(t, user, s.At(tenantName), s.Get(t, user, s.At(tenantName)+"/authorize?"+query.Encode()), decision)
}

// Decide posts the decision from an issuer's consent page and returns where the
// browser is sent.
func (s *Server) Decide(t testing.TB, user *http.Client, issuer string, page Answer, decision string) *url.URL {
	t.Helper()
	next := s.PostForm(t, user, issuer+"/consent", url.Values{"request": {s.Form(t, page)}, "decision": {decision}})
	target := refresh.FindStringSubmatch(next.Body)
	if next.Status != http.StatusOK || target == nil {
		t.Fatalf("after consent: %d %s", next.Status, next.Body)
	}
	u, err := url.Parse(html.UnescapeString(target[1]))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Code walks a user from the authorization request to the client's callback
// and returns the callback's query.
func (s *Server) Code(t testing.TB, user *http.Client, tenantName string, query url.Values, account string) url.Values {
	t.Helper()
	atUpstream := s.Consent(t, user, tenantName, query, "approve")
	back := s.Get(t, user, s.At(tenantName)+"/callback?"+url.Values{"code": {account}, "state": atUpstream.Query()["state"]}.Encode())
	_, answer := back.Location(t)
	return answer
}

// Tokens is what Login ends with.
type Tokens struct{ ClientID, Access, Refresh string }

// Login registers a client at the tenant music and logs the account in.
func (s *Server) Login(t testing.TB, user *http.Client, account string) Tokens {
	t.Helper()
	return s.LoginAt(t, user, "music", account)
}

// LoginAt is Login at the tenant of that name.
func (s *Server) LoginAt(t testing.TB, user *http.Client, tenantName, account string) Tokens {
	t.Helper()
	id := s.Register(t, tenantName)
	answer := s.Code(t, user, tenantName, s.AuthorizeQuery(tenantName, id), account)
	a := s.PostForm(t, nil, "/"+tenantName+"/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {answer.Get("code")}, "client_id": {id},
		"redirect_uri": {ClientCallback}, "code_verifier": {Verifier},
	})
	if a.Status != http.StatusOK {
		t.Fatalf("token: %d %s (callback %v)", a.Status, a.Body, answer)
	}
	m := a.JSON(t)
	return Tokens{id, m["access_token"].(string), m["refresh_token"].(string)}
}

// echo answers what the backend saw.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"path": r.URL.Path, "header": r.Header, "body": string(body)})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
