package demo

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"net/url"
	"time"
)

// codeLifetime is short of the ten minutes RFC 6749 §4.1.2 allows.
const codeLifetime = time.Minute

// authorization is what one login gave one app. Tokens of one login share it,
// so ending it ends them all.
type authorization struct {
	app   string
	user  string // login
	scope string
	ended bool
}

// authCode is an authorization code.
type authCode struct {
	*authorization
	redirectURI string
	challenge   string // S256; empty when the app sent none
	expires     time.Time
	used        bool // kept until it expires, to recognize a replay
}

// authRequest is a checked authorization request. It travels in the login
// form, so that a visit alone stores nothing; the form's POST is checked again.
type authRequest struct {
	App                            App
	State, Scope, Challenge, fault string
}

// checkAuthorize validates an authorization request. It reports false when the
// app or its redirect URI is not known: then there is nowhere to redirect to
// (RFC 6749 §4.1.2.1). Any other fault is left in the request, to be sent back.
func (u *Upstream) checkAuthorize(q url.Values) (*authRequest, bool) {
	app, ok := u.apps[q.Get("client_id")]
	if !ok || q.Get("redirect_uri") != app.RedirectURI {
		return nil, false
	}
	req := &authRequest{App: app, State: q.Get("state"), Scope: q.Get("scope"), Challenge: q.Get("code_challenge")}
	switch {
	case q.Get("response_type") != "code":
		req.fault = "unsupported_response_type"
	case req.Challenge != "" && q.Get("code_challenge_method") != "S256":
		req.fault = "invalid_request" // RFC 7636 §4.3: no method means plain, which is not taken here
	}
	return req, true
}

func (u *Upstream) showLogin(w http.ResponseWriter, r *http.Request) {
	req, ok := u.checkAuthorize(r.URL.Query())
	switch {
	case !ok:
		u.page(w, http.StatusBadRequest, "error.html", "This app, or the address it wants you sent back to, is not registered here.")
	case req.fault != "":
		redirectBack(w, r, req, url.Values{"error": {req.fault}})
	default:
		u.page(w, http.StatusOK, "login.html", map[string]any{"Request": req, "Users": u.logins})
	}
}

func (u *Upstream) submitLogin(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		u.page(w, http.StatusBadRequest, "error.html", "That form could not be read.")
		return
	}
	req, ok := u.checkAuthorize(r.PostForm)
	user, known := u.users[r.PostForm.Get("login")]
	switch {
	case !ok:
		u.page(w, http.StatusBadRequest, "error.html", "This app, or the address it wants you sent back to, is not registered here.")
	case req.fault != "":
		redirectBack(w, r, req, url.Values{"error": {req.fault}})
	case r.PostForm.Has("cancel"):
		redirectBack(w, r, req, url.Values{"error": {"access_denied"}})
	case !known:
		u.page(w, http.StatusUnauthorized, "error.html", "There is nobody of that name here.")
	default:
		redirectBack(w, r, req, url.Values{"code": {u.newCode(req, user)}})
	}
}

// newCode records a login and returns the code for it.
func (u *Upstream) newCode(req *authRequest, user User) string {
	code := rand.Text()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep()
	u.stats.Logins++
	u.codes[code] = &authCode{
		authorization: &authorization{app: req.App.ID, user: user.Login, scope: req.Scope},
		redirectURI:   req.App.RedirectURI,
		challenge:     req.Challenge,
		expires:       u.now().Add(codeLifetime),
	}
	return code
}

// redirectBack answers the app with params and its state exactly as sent
// (RFC 6749 §4.1.2).
func redirectBack(w http.ResponseWriter, r *http.Request, req *authRequest, params url.Values) {
	to, err := url.Parse(req.App.RedirectURI)
	if err != nil {
		http.Error(w, "the app's redirect URI is not a URL", http.StatusInternalServerError)
		return
	}
	q := to.Query()
	for name, values := range params {
		q[name] = values
	}
	if req.State != "" {
		q.Set("state", req.State)
	}
	to.RawQuery = q.Encode()
	// 303, not 302: the browser must not repeat the login's POST at the app.
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// page renders one of the templates. The policy names no form-action: Chromium
// applies it to the redirect that follows the form, which leaves this origin.
func (u *Upstream) page(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := u.pages.ExecuteTemplate(&body, name, data); err != nil {
		http.Error(w, "page could not be rendered", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}
