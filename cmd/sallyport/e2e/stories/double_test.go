package stories

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
)

// recorder keeps every request that it is sent, byte for byte.
type recorder struct {
	mu   sync.Mutex
	seen bytes.Buffer
}

func (r *recorder) note(req *http.Request) {
	dump, _ := httputil.DumpRequest(req, true)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.Write(dump)
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.String()
}

// upstream is a double of an OAuth 2.0 service with two users, ada and grace.
type upstream struct {
	*httptest.Server
	recorder
	life  int              // of access tokens, in seconds; 0: not said
	token http.HandlerFunc // answers the token endpoint instead, if not nil
	page  http.HandlerFunc // answers the authorization endpoint instead, if not nil
	// revoke answers the revocation endpoint, if not nil.
	revoke http.HandlerFunc

	mu     sync.Mutex
	users  map[string]string // code, access token or refresh token → user
	issued []string          // all of them
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{users: map[string]string{}}
	u.Server = httptest.NewServer(u)
	t.Cleanup(func() { u.CloseClientConnections(); u.Close() })
	return u
}

// host is host:port.
func (u *upstream) host() string { return strings.TrimPrefix(u.URL, "http://") }

// tenant is the YAML of a tenant at this upstream.
func (u *upstream) tenant(name, clientID, backend, more string) string {
	return fmt.Sprintf(`  %s:
    provider: oauth2
    settings: { authorize_url: "%[2]s/authorize", token_url: "%[2]s/token", userinfo_url: "%[2]s/me", account_id: /id, account_name: /name }
    client_id: "%[3]s"
    client_secret: "secret-of-%[3]s-at-the-upstream"
    scopes: [read]
    backend: "%[4]s/mcp"
%[5]s`, name, u.URL, clientID, backend, more)
}

// give issues a value for a user.
func (u *upstream) give(user string) string {
	b := make([]byte, 18)
	_, _ = rand.Read(b)
	value := base64.RawURLEncoding.EncodeToString(b)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.users[value] = user
	u.issued = append(u.issued, value)
	return value
}

func (u *upstream) userOf(value string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.users[value]
}

// all is everything issued so far.
func (u *upstream) all() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string{}, u.issued...)
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	u.note(r)
	r.Body = io.NopCloser(bytes.NewReader(body))
	_ = r.ParseForm()
	if path, ok := aliases()[r.URL.Path]; ok {
		r.URL.Path = path
	}
	switch {
	case r.URL.Path == "/authorize" && u.page != nil:
		u.page(w, r)
	case r.URL.Path == "/authorize" && r.Form.Get("login") == "":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<form method="get" action="/authorize">`)
		for name := range r.Form {
			fmt.Fprintf(w, `<input type="hidden" name="%s" value="%s">`, name, html.EscapeString(r.Form.Get(name)))
		}
		fmt.Fprint(w, `<button name="login" value="ada">Ada</button><button name="login" value="grace">Grace</button></form>`)
	case r.URL.Path == "/authorize":
		code := u.give(r.Form.Get("login"))
		http.Redirect(w, r, r.Form.Get("redirect_uri")+"?code="+code+"&state="+r.Form.Get("state"), http.StatusFound)
	case r.URL.Path == "/token" && u.token != nil && r.Form.Get("grant_type") == "refresh_token":
		u.token(w, r)
	case r.URL.Path == "/token":
		u.grant(w, r)
	case r.URL.Path == "/me":
		user := u.userOf(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		if user == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"id": "id-of-" + user, "name": user, "sub": "id-of-" + user, "login": user,
			"ok": true, "user_id": "U" + user, "team_id": "T1", "user": user,
		})
	case r.URL.Path == "/revoke" && u.revoke != nil:
		u.revoke(w, r)
	case r.URL.Path == "/.well-known/openid-configuration":
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": u.URL, "authorization_endpoint": u.URL + "/authorize", "token_endpoint": u.URL + "/token",
			"userinfo_endpoint": u.URL + "/me", "revocation_endpoint": u.URL + "/revoke",
		})
	default:
		http.NotFound(w, r)
	}
}

// aliases are the paths of GitHub, with its API below /api, and of Slack.
func aliases() map[string]string {
	return map[string]string{
		"/login/oauth/authorize": "/authorize", "/login/oauth/access_token": "/token", "/api/user": "/me", "/api/applications/app/token": "/revoke",
		"/oauth/v2/authorize": "/authorize", "/api/oauth.v2.access": "/token", "/api/auth.test": "/me", "/api/auth.revoke": "/revoke",
	}
}

// grant answers a token request.
func (u *upstream) grant(w http.ResponseWriter, r *http.Request) {
	user := u.userOf(r.Form.Get("code") + r.Form.Get("refresh_token"))
	if user == "" {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	answer := map[string]any{"access_token": u.give(user), "refresh_token": u.give(user), "token_type": "Bearer", "scope": "read", "ok": true}
	if u.life > 0 {
		answer["expires_in"] = u.life
	}
	writeJSON(w, http.StatusOK, answer)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// backend is a double of an MCP server: it answers every call and records it.
type backend struct {
	*httptest.Server
	recorder
	serve http.HandlerFunc // instead, if not nil
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.serve != nil {
			b.serve(w, r)
			return
		}
		b.note(r)
		writeJSON(w, http.StatusOK, map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{}})
	}))
	t.Cleanup(func() { b.CloseClientConnections(); b.Close() })
	return b
}
