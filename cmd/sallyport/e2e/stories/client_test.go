package stories

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// redirectURI is where every client of these stories is sent back to. Nothing
// listens there: the browser stops before it.
const redirectURI = "http://127.0.0.1:33333/callback"

// verifier is the clients' code verifier: what it is does not matter here.
const verifier = "0123456789-0123456789-0123456789-0123456789"

// web makes the requests that are no browser's.
func web() *http.Client { return &http.Client{Timeout: 2 * patience, Transport: &http.Transport{}} }

// get returns the status that an address answers with.
func get(t *testing.T, address string) int {
	t.Helper()
	resp, err := web().Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// client is an MCP client of one tenant.
type client struct {
	t               *testing.T
	tenant          string // its URL
	http            *http.Client
	id              string
	access, refresh string
}

// newClient registers a client.
func newClient(t *testing.T, tenant string) *client {
	t.Helper()
	c := &client{t: t, tenant: tenant, http: web()}
	var answer struct {
		ID string `json:"client_id"`
	}
	status, body := c.post("/register", "application/json",
		`{"client_name":"story","redirect_uris":["`+redirectURI+`"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"]}`)
	if err := json.Unmarshal(body, &answer); err != nil || answer.ID == "" {
		t.Fatalf("register: %d %s", status, body)
	}
	c.id = answer.ID
	return c
}

// post sends a request below the tenant, with the client's token if it has one.
func (c *client) post(path, mediaType, body string) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.tenant+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := c.http.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, text
}

// authorizeURL is where the client sends its user.
func (c *client) authorizeURL() string {
	sum := sha256.Sum256([]byte(verifier))
	return c.tenant + "/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {c.id}, "redirect_uri": {redirectURI}, "state": {"client-state"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}, "resource": {c.tenant + "/mcp"},
	}.Encode()
}

// back reports whether a browser is back at the client.
func back(u *url.URL) bool { return strings.HasPrefix(u.String(), redirectURI) }

// login logs a user in and redeems the code.
func (c *client) login(user string) error {
	c.t.Helper()
	return c.loginWith(demo.NewBrowser(demo.SignIn(user), nil))
}

func (c *client) loginWith(browser *demo.Browser) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	final, err := browser.Visit(ctx, c.authorizeURL(), back)
	if err != nil {
		return err
	}
	return c.redeem(final)
}

// redeem reads the authorization response and asks for tokens.
func (c *client) redeem(final *url.URL) error {
	q := final.Query()
	if q.Get("code") == "" {
		return fmt.Errorf("no code: %s: %s", q.Get("error"), q.Get("error_description"))
	}
	status, body := c.post("/token", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {redirectURI},
		"client_id": {c.id}, "code_verifier": {verifier}, "resource": {c.tenant + "/mcp"},
	}.Encode())
	return c.take(status, body)
}

// renew refreshes the client's tokens and returns the answer's status.
func (c *client) renew() (int, string) {
	c.t.Helper()
	status, body := c.post("/token", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {c.refresh}, "client_id": {c.id},
	}.Encode())
	_ = c.take(status, body)
	return status, string(body)
}

func (c *client) take(status int, body []byte) error {
	var answer struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Access == "" {
		return fmt.Errorf("token endpoint: %d %s", status, body)
	}
	c.access, c.refresh = answer.Access, answer.Refresh
	return nil
}

// mustLogin is login, for what has to work.
func (c *client) mustLogin(user string) {
	c.t.Helper()
	if err := c.login(user); err != nil {
		c.t.Fatal(err)
	}
}

const toolCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`

// answer is what came of a call.
type answer struct {
	status    int
	challenge string
	body      string
	// retryAfter is the header Retry-After.
	retryAfter string
	took       time.Duration
}

// call calls a tool, with further headers as pairs.
func (c *client) call(headers ...string) answer {
	c.t.Helper()
	a, err := c.tryCall(toolCall, headers...)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *client) tryCall(body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.tenant+"/mcp", strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if c.access != "" {
		req.Header.Set("Authorization", "Bearer "+c.access)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = []string{headers[i+1]} // spelt as it is
	}
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return answer{
		status: resp.StatusCode, challenge: resp.Header.Get("WWW-Authenticate"), retryAfter: resp.Header.Get("Retry-After"), body: string(text), took: time.Since(began),
	}, nil
}

// wantCall fails unless a call is answered with the status.
func (c *client) wantCall(status int) {
	c.t.Helper()
	if got := c.call(); got.status != status {
		c.t.Errorf("a call is answered %d %.200s, want %d", got.status, got.body, status)
	}
}
