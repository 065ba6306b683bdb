package demo

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const verifier = "correct-horse-battery-staple-correct-horse-battery"

var (
	appOne = App{ID: "one", Secret: "s3cret/+ 1", Name: "One", RedirectURI: "https://one.example/callback"}
	appTwo = App{ID: "two", Secret: "s3cret-2", Name: "Two", RedirectURI: "https://two.example/callback?keep=1"}
)

// clock is a time that moves when told.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a running upstream.
type rig struct {
	t     *testing.T
	up    *Upstream
	url   string
	clock *clock
}

func newRig(t *testing.T) *rig {
	t.Helper()
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	up := NewUpstream(UpstreamConfig{Apps: []App{appOne, appTwo}, Now: c.Now})
	server := httptest.NewServer(up)
	t.Cleanup(server.Close)
	return &rig{t, up, server.URL, c}
}

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// authorizeQuery is a good authorization request of app, changed by edit.
func authorizeQuery(app App, edit func(url.Values)) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {app.ID}, "redirect_uri": {app.RedirectURI},
		"state": {"a b&c=d"}, "scope": {"playlists"},
		"code_challenge": {s256(verifier)}, "code_challenge_method": {"S256"},
	}
	if edit != nil {
		edit(q)
	}
	return q
}

// login lets a person log in and returns where the app's user agent ends up.
func (r *rig) login(app App, user string, edit func(url.Values)) *url.URL {
	r.t.Helper()
	want, _ := url.Parse(app.RedirectURI)
	final, err := NewBrowser(SignIn(user), nil).Visit(r.t.Context(), r.url+AuthorizePath+"?"+authorizeQuery(app, edit).Encode(),
		func(u *url.URL) bool { return u.Host == want.Host })
	if err != nil {
		r.t.Fatal(err)
	}
	return final
}

func (r *rig) code(app App, user string) string {
	r.t.Helper()
	code := r.login(app, user, nil).Query().Get("code")
	if code == "" {
		r.t.Fatal("no code")
	}
	return code
}

func codeForm(app App, code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {app.RedirectURI},
		"client_id": {app.ID}, "client_secret": {app.Secret}, "code_verifier": {verifier}}
}

func refreshForm(app App, token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {app.ID}, "client_secret": {app.Secret}}
}

// post sends a form and returns the status and the JSON answer.
func (r *rig) post(path string, form url.Values) (int, tokenAnswer, string) {
	r.t.Helper()
	resp, err := http.PostForm(r.url+path, form)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body struct {
		tokenAnswer
		Error string `json:"error"`
	}
	if resp.Header.Get("Content-Type") == "application/json" {
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			r.t.Fatal(err)
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-store" {
			r.t.Errorf("Cache-Control = %q", got)
		}
	}
	return resp.StatusCode, body.tokenAnswer, body.Error
}

// tokens logs in and exchanges the code.
func (r *rig) tokens(app App, user string) tokenAnswer {
	r.t.Helper()
	status, answer, fault := r.post(TokenPath, codeForm(app, r.code(app, user)))
	if status != http.StatusOK {
		r.t.Fatalf("exchange: status %d, %s", status, fault)
	}
	return answer
}

func (r *rig) refused(path string, form url.Values, status int, fault string) {
	r.t.Helper()
	gotStatus, answer, gotFault := r.post(path, form)
	if gotStatus != status || gotFault != fault || answer.AccessToken != "" {
		r.t.Errorf("got %d %q (token %q), want %d %q", gotStatus, gotFault, answer.AccessToken, status, fault)
	}
}

// get calls the API and decodes the answer into out.
func (r *rig) get(path, token string, out any) int {
	r.t.Helper()
	req, _ := http.NewRequestWithContext(context.Background(), http.MethodGet, r.url+path, nil)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode
}

func TestLoginReturnsCodeAndState(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	final := r.login(appTwo, "ada", nil)
	q := final.Query()
	if q.Get("code") == "" || q.Get("state") != "a b&c=d" || q.Get("keep") != "1" {
		t.Errorf("callback query = %v", q)
	}
	if got := r.up.Stats(); got.Logins != 1 {
		t.Errorf("stats = %+v", got)
	}
}

func TestAuthorizeFaultsAreSentBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tests := map[string]struct {
		edit func(url.Values)
		want string
	}{
		"response type":    {func(q url.Values) { q.Set("response_type", "token") }, "unsupported_response_type"},
		"plain challenge":  {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"method forgotten": {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
	}
	for name, tt := range tests {
		q := r.login(appOne, "ada", tt.edit).Query()
		if q.Get("error") != tt.want || q.Get("state") != "a b&c=d" || q.Has("code") {
			t.Errorf("%s: callback query = %v", name, q)
		}
	}
}

func TestUnknownAppOrRedirectIsNotRedirected(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tests := map[string]func(url.Values){
		"unknown app":     func(q url.Values) { q.Set("client_id", "three") },
		"other path":      func(q url.Values) { q.Set("redirect_uri", "https://one.example/callback/x") },
		"other case":      func(q url.Values) { q.Set("redirect_uri", "https://ONE.example/callback") },
		"another app's":   func(q url.Values) { q.Set("redirect_uri", appTwo.RedirectURI) },
		"no redirect URI": func(q url.Values) { q.Del("redirect_uri") },
	}
	for name, edit := range tests {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			q := authorizeQuery(appOne, edit)
			q.Set("login", "ada")
			req := httptest.NewRequest(method, AuthorizePath+"?"+q.Encode(), nil)
			if method == http.MethodPost {
				req = httptest.NewRequest(method, AuthorizePath, strings.NewReader(q.Encode()))
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			w := httptest.NewRecorder()
			r.up.ServeHTTP(w, req)
			if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
				t.Errorf("%s %s: status %d, Location %q", method, name, w.Code, w.Header().Get("Location"))
			}
		}
	}
	if got := r.up.Stats().Logins; got != 0 {
		t.Errorf("%d logins", got)
	}
}

func TestCancelIsAccessDenied(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := NewBrowser(func(f *Form) error { return f.Press("cancel", "1") }, nil)
	final, err := b.Visit(t.Context(), r.url+AuthorizePath+"?"+authorizeQuery(appOne, nil).Encode(),
		func(u *url.URL) bool { return u.Host == "one.example" })
	if err != nil || final.Query().Get("error") != "access_denied" {
		t.Errorf("final = %v, %v", final, err)
	}
}

func TestTokensReachTheirOwnUser(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, user := range Users() {
		token := r.tokens(appOne, user.Login)
		if token.ExpiresIn != 60 || token.TokenType != "Bearer" || token.Scope != "playlists" {
			t.Errorf("answer = %+v", token)
		}
		for _, path := range []string{UserinfoPath, MePath} {
			var who Profile
			if status := r.get(path, token.AccessToken, &who); status != http.StatusOK || who != (Profile{user.Sub, user.Name, user.Email}) {
				t.Errorf("%s for %s: %d %+v", path, user.Login, status, who)
			}
		}
		var lists Playlists
		if r.get(PlaylistsPath, token.AccessToken, &lists); lists.Owner != user.Sub || len(lists.Playlists) != len(user.Playlists) {
			t.Errorf("playlists of %s = %+v", user.Login, lists)
		}
	}
	if got, want := r.up.Stats(), (Stats{Logins: 3, Exchanges: 3, Calls: 9}); got != want {
		t.Errorf("stats = %+v, want %+v", got, want)
	}
}

func TestBadExchanges(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		edit   func(url.Values)
		status int
		want   string
	}{
		"wrong secret":       {func(f url.Values) { f.Set("client_secret", "guess") }, 401, "invalid_client"},
		"no secret":          {func(f url.Values) { f.Del("client_secret") }, 401, "invalid_client"},
		"unknown app":        {func(f url.Values) { f.Set("client_id", "three") }, 401, "invalid_client"},
		"another app":        {func(f url.Values) { f.Set("client_id", appTwo.ID); f.Set("client_secret", appTwo.Secret) }, 400, "invalid_grant"},
		"wrong verifier":     {func(f url.Values) { f.Set("code_verifier", verifier+"x") }, 400, "invalid_grant"},
		"no verifier":        {func(f url.Values) { f.Del("code_verifier") }, 400, "invalid_grant"},
		"other redirect URI": {func(f url.Values) { f.Set("redirect_uri", appTwo.RedirectURI) }, 400, "invalid_grant"},
		"unknown code":       {func(f url.Values) { f.Set("code", "guess") }, 400, "invalid_grant"},
		"other grant type":   {func(f url.Values) { f.Set("grant_type", "password") }, 400, "unsupported_grant_type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			form := codeForm(appOne, r.code(appOne, "ada"))
			good := codeForm(appOne, form.Get("code"))
			tt.edit(form)
			r.refused(TokenPath, form, tt.status, tt.want)
			// None of these spends the code.
			if status, _, fault := r.post(TokenPath, good); status != http.StatusOK {
				t.Errorf("the right request after it: %d %s", status, fault)
			}
			if got := r.up.Stats().Refused; got != 1 {
				t.Errorf("%d refused", got)
			}
		})
	}
}

func TestVerifierWithoutChallengeIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	final := r.login(appOne, "ada", func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") })
	form := codeForm(appOne, final.Query().Get("code"))
	r.refused(TokenPath, form, 400, "invalid_grant")
	form.Del("code_verifier")
	if status, _, fault := r.post(TokenPath, form); status != http.StatusOK {
		t.Errorf("without PKCE on both sides: %d %s", status, fault)
	}
}

func TestCodeReplayEndsWhatTheCodeGave(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	form := codeForm(appOne, r.code(appOne, "ada"))
	_, first, _ := r.post(TokenPath, form)
	r.refused(TokenPath, form, 400, "invalid_grant")
	if status := r.get(MePath, first.AccessToken, new(Profile)); status != http.StatusUnauthorized {
		t.Errorf("access token after replay: %d", status)
	}
	r.refused(TokenPath, refreshForm(appOne, first.RefreshToken), 400, "invalid_grant")
}

func TestCodeExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	form := codeForm(appOne, r.code(appOne, "ada"))
	r.clock.add(codeLifetime)
	r.refused(TokenPath, form, 400, "invalid_grant")
}

func TestRefreshRotates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	first := r.tokens(appOne, "grace")
	r.refused(TokenPath, refreshForm(appTwo, first.RefreshToken), 400, "invalid_grant")
	status, second, fault := r.post(TokenPath, refreshForm(appOne, first.RefreshToken))
	if status != http.StatusOK || second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Fatalf("refresh: %d %s %+v after %+v", status, fault, second, first)
	}
	r.refused(TokenPath, refreshForm(appOne, first.RefreshToken), 400, "invalid_grant")
	var who Profile
	if status := r.get(MePath, second.AccessToken, &who); status != http.StatusOK || who.Name != "Grace" {
		t.Errorf("after refresh: %d %+v", status, who)
	}
	if got := r.up.Stats(); got.Refreshes != 1 || got.Refused != 2 {
		t.Errorf("stats = %+v", got)
	}
}

func TestAccessTokensEnd(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*rig, tokenAnswer){
		"time": func(r *rig, _ tokenAnswer) { r.clock.add(time.Minute) },
		"hook": func(r *rig, _ tokenAnswer) { r.up.ExpireAccessTokens() },
	}
	for name, end := range tests {
		r := newRig(t)
		token := r.tokens(appOne, "alan")
		r.clock.add(59 * time.Second)
		if status := r.get(MePath, token.AccessToken, new(Profile)); status != http.StatusOK {
			t.Errorf("%s: %d before the end", name, status)
		}
		end(r, token)
		for _, bad := range []string{token.AccessToken, token.RefreshToken, "guess", ""} {
			if status := r.get(MePath, bad, new(map[string]string)); status != http.StatusUnauthorized {
				t.Errorf("%s: %d with token %q", name, status, bad)
			}
		}
		if status, _, fault := r.post(TokenPath, refreshForm(appOne, token.RefreshToken)); status != http.StatusOK {
			t.Errorf("%s: refresh after the end: %d %s", name, status, fault)
		}
	}
}

func TestRevokeEndsBothTokens(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"access", "refresh"} {
		r := newRig(t)
		token := r.tokens(appOne, "ada")
		presented := token.AccessToken
		if kind == "refresh" {
			presented = token.RefreshToken
		}
		form := url.Values{"token": {presented}, "client_id": {appTwo.ID}, "client_secret": {appTwo.Secret}}
		if status, _, _ := r.post(RevokePath, form); status != http.StatusOK || r.up.Stats().Revocations != 0 {
			t.Errorf("%s: another app revoked it (%d)", kind, status)
		}
		form.Set("client_id", appOne.ID)
		r.refused(RevokePath, form, 401, "invalid_client")
		form.Set("client_secret", appOne.Secret)
		if status, _, _ := r.post(RevokePath, form); status != http.StatusOK || r.up.Stats().Revocations != 1 {
			t.Errorf("%s: status %d, stats %+v", kind, status, r.up.Stats())
		}
		if status := r.get(MePath, token.AccessToken, new(Profile)); status != http.StatusUnauthorized {
			t.Errorf("%s: access token still answers %d", kind, status)
		}
		r.refused(TokenPath, refreshForm(appOne, token.RefreshToken), 400, "invalid_grant")
	}
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	send := func(secret string, both bool) int {
		form := codeForm(appOne, r.code(appOne, "ada"))
		if !both {
			form.Del("client_secret")
		}
		req, _ := http.NewRequest(http.MethodPost, r.url+TokenPath, strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(url.QueryEscape(appOne.ID), secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := send(url.QueryEscape(appOne.Secret), false); got != http.StatusOK {
		t.Errorf("form-encoded secret: %d", got)
	}
	if got := send("guess", false); got != http.StatusUnauthorized {
		t.Errorf("wrong secret: %d", got)
	}
	if got := send(url.QueryEscape(appOne.Secret), true); got != http.StatusBadRequest {
		t.Errorf("header and body both: %d", got)
	}
}
