package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/oauth"
)

// callback is the redirect URI of the clients in a chaos.
const chaosCallback = "http://127.0.0.1:7777/callback"

// chaosVerifier is the PKCE verifier of all of them.
const chaosVerifier = "a-verifier-of-forty-three-characters-at-least-1"

// copyOf is one of the two processes of a user's client. Each has a copy of
// the tokens and refreshes for itself: what the other got it does not see.
type copyOf struct {
	url, user, clientID string // url is the tenant's
	access, refresh     string
	secret              string // of a confidential client
	client              *http.Client
	tally               *tally
}

// tally counts what clients met.
type tally struct {
	mu       sync.Mutex
	refreshs []time.Duration // successful, waiting included
	calls    []time.Duration
	again    map[string]int // why something was sent again
	lost     []string       // what must not happen
}

func (t *tally) retry(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.again[why]++
}

func (t *tally) lose(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = append(t.lost, fmt.Sprintf(format, args...))
}

func (t *tally) took(which *[]time.Duration, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*which = append(*which, time.Since(since))
}

// round refreshes and calls, as often as it takes.
func (c *copyOf) round(ctx context.Context) {
	started := time.Now()
	if !c.renew(ctx) {
		return
	}
	c.tally.took(&c.tally.refreshs, started)
	started = time.Now()
	if c.call(ctx) {
		c.tally.took(&c.tally.calls, started)
	}
}

// renew refreshes until there are new tokens. Only an answer that no good
// client goes on after is a loss.
func (c *copyOf) renew(ctx context.Context) bool {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.refresh}, "client_id": {c.clientID}}
	c.authenticate(form)
	status, body := c.send(ctx, "/token", "application/x-www-form-urlencoded", form.Encode(), "")
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if status != http.StatusOK || json.Unmarshal(body, &got) != nil || got.Refresh == "" {
		c.tally.lose("%s, %s: refresh: %d %.200s", c.url, c.user, status, body)
		return false
	}
	c.access, c.refresh = got.Access, got.Refresh
	return true
}

// authenticate adds the secret of a confidential client (RFC 6749 §2.3.1).
func (c *copyOf) authenticate(form url.Values) {
	if c.secret != "" {
		form.Set("client_secret", c.secret)
	}
}

// call calls the backend and makes sure that it acts for this user.
func (c *copyOf) call(ctx context.Context) bool {
	status, body := c.send(ctx, "/mcp", "application/json", whoamiCall, c.access)
	var got struct{ Sub string }
	if status != http.StatusOK || json.Unmarshal(body, &got) != nil || got.Sub != c.user {
		c.tally.lose("%s, %s: call: %d %.200s", c.url, c.user, status, body)
		return false
	}
	return true
}

// send posts until there is an answer that is final.
func (c *copyOf) send(ctx context.Context, path, contentType, body, bearer string) (int, []byte) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		status, answer, err := c.post(ctx, path, contentType, body, bearer)
		switch {
		case ctx.Err() != nil:
			return 0, []byte(ctx.Err().Error())
		case err != nil:
			c.tally.retry("no answer")
		case status == http.StatusTooManyRequests || status >= 500:
			c.tally.retry(fmt.Sprint(status))
		default:
			return status, answer
		}
		select {
		case <-time.After(wait/2 + rand.N(wait)):
		case <-ctx.Done():
		}
	}
}

func (c *copyOf) post(ctx context.Context, path, contentType, body, bearer string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.GetBody = nil // or net/http itself sends it again when a connection breaks
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", "application/json, text/event-stream")
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	res, err := c.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// registerAt registers a public client at a tenant and returns its id.
func registerAt(ctx context.Context, client *http.Client, tenantURL string) (string, error) {
	id, _, err := registerAs(ctx, client, tenantURL, "none")
	return id, err
}

// registerAs registers a client that authenticates by a method (RFC 7591 §2), and
// returns its id and secret.
func registerAs(ctx context.Context, client *http.Client, tenantURL, method string) (id, secret string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, tenantURL+"/register", strings.NewReader(
		`{"client_name":"chaos","redirect_uris":["`+chaosCallback+`"],"token_endpoint_auth_method":"`+method+`"}`))
	if err != nil {
		return "", "", err
	}
	res, err := client.Do(r)
	if err != nil {
		return "", "", err
	}
	defer res.Body.Close()
	var got struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.ID == "" {
		return "", "", fmt.Errorf("register: %s: %w", res.Status, err)
	}
	return got.ID, got.Secret, nil
}

// codeFor walks the user of a browser to an authorization code for the scopes,
// or for all that are offered.
func codeFor(ctx context.Context, browser *demo.Browser, tenantURL, clientID string, scopes ...string) (string, error) {
	q := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {chaosCallback},
		"code_challenge": {string(oauth.ChallengeOf(chaosVerifier))}, "code_challenge_method": {"S256"},
		"scope": {strings.Join(scopes, " ")},
	}
	final, err := browser.Visit(ctx, tenantURL+"/authorize?"+q.Encode(),
		func(u *url.URL) bool { return strings.HasPrefix(u.String(), chaosCallback) })
	if err != nil {
		return "", err
	}
	if code := final.Query().Get("code"); code != "" {
		return code, nil
	}
	return "", fmt.Errorf("no code: %s", final)
}

// redeem trades a code for tokens.
func (c *copyOf) redeem(ctx context.Context, code string) (int, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {c.clientID},
		"redirect_uri": {chaosCallback}, "code_verifier": {chaosVerifier},
	}
	c.authenticate(form)
	status, body, err := c.post(ctx, "/token", "application/x-www-form-urlencoded", form.Encode(), "")
	if err != nil || status != http.StatusOK {
		return status, err
	}
	var got struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&got); err != nil {
		return 0, err
	}
	c.access, c.refresh = got.Access, got.Refresh
	return status, nil
}
