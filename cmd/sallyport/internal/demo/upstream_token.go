package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// accessToken is an access token that has not expired when it was last looked at.
type accessToken struct {
	*authorization
	expires time.Time
}

// tokenError is an error answer of RFC 6749 §5.2.
type tokenError struct {
	status int
	code   string
}

var (
	errInvalidRequest = &tokenError{http.StatusBadRequest, "invalid_request"}
	errInvalidClient  = &tokenError{http.StatusUnauthorized, "invalid_client"}
	errInvalidGrant   = &tokenError{http.StatusBadRequest, "invalid_grant"}
	errGrantType      = &tokenError{http.StatusBadRequest, "unsupported_grant_type"}
)

// tokenAnswer is a successful answer of RFC 6749 §5.1.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope,omitempty"`
}

func (u *Upstream) serveToken(w http.ResponseWriter, r *http.Request) {
	app, form, fault := u.authenticate(w, r)
	var answer *tokenAnswer
	if fault == nil {
		answer, fault = u.grant(app, form)
	}
	if fault != nil {
		u.mu.Lock()
		u.stats.Refused++
		u.mu.Unlock()
		writeTokenError(w, fault)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// serveRevoke implements RFC 7009. Either kind of token ends the whole
// authorization, and a token nobody knows is no error (§2.2).
func (u *Upstream) serveRevoke(w http.ResponseWriter, r *http.Request) {
	app, form, fault := u.authenticate(w, r)
	if fault == nil && form.Get("token") == "" {
		fault = errInvalidRequest
	}
	if fault != nil {
		writeTokenError(w, fault)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	token := form.Get("token")
	auth := u.refresh[token]
	if t := u.access[token]; auth == nil && t != nil {
		auth = t.authorization
	}
	if auth != nil && auth.app == app.ID {
		u.end(auth)
		u.stats.Revocations++
	}
	w.WriteHeader(http.StatusOK)
}

// authenticate reads the form and the app's credentials, from the
// Authorization header or from the body, never from both (RFC 6749 §2.3).
func (u *Upstream) authenticate(w http.ResponseWriter, r *http.Request) (App, url.Values, *tokenError) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		return App{}, nil, errInvalidRequest
	}
	form := r.PostForm
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = form.Get("client_id"), form.Get("client_secret")
	} else {
		if form.Has("client_secret") {
			return App{}, nil, errInvalidRequest
		}
		var errID, errSecret error
		id, errID = url.QueryUnescape(id) // §2.3.1: form-encoded before base64
		secret, errSecret = url.QueryUnescape(secret)
		if errID != nil || errSecret != nil {
			return App{}, nil, errInvalidClient
		}
	}
	app, ok := u.apps[id]
	if !ok || subtle.ConstantTimeCompare([]byte(secret), []byte(app.Secret)) != 1 {
		return App{}, nil, errInvalidClient
	}
	return app, form, nil
}

func (u *Upstream) grant(app App, form url.Values) (*tokenAnswer, *tokenError) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sweep()
	switch form.Get("grant_type") {
	case "authorization_code":
		return u.exchange(app, form)
	case "refresh_token":
		return u.rotate(app, form)
	default:
		return nil, errGrantType
	}
}

// exchange redeems a code. A code presented twice ends what its first use
// gave (RFC 6749 §4.1.2). u.mu is held.
func (u *Upstream) exchange(app App, form url.Values) (*tokenAnswer, *tokenError) {
	code := u.codes[form.Get("code")]
	switch {
	case code == nil || code.app != app.ID || form.Get("redirect_uri") != code.redirectURI:
		return nil, errInvalidGrant
	case code.used:
		u.end(code.authorization)
		return nil, errInvalidGrant
	case !verifies(form.Get("code_verifier"), code.challenge):
		return nil, errInvalidGrant
	}
	code.used = true
	u.stats.Exchanges++
	return u.issue(code.authorization), nil
}

// rotate redeems a refresh token, which is spent by it. u.mu is held.
func (u *Upstream) rotate(app App, form url.Values) (*tokenAnswer, *tokenError) {
	token := form.Get("refresh_token")
	auth := u.refresh[token]
	if auth == nil || auth.app != app.ID {
		return nil, errInvalidGrant
	}
	delete(u.refresh, token)
	u.stats.Refreshes++
	return u.issue(auth), nil
}

// issue makes a pair of tokens. u.mu is held.
func (u *Upstream) issue(auth *authorization) *tokenAnswer {
	answer := &tokenAnswer{
		AccessToken:  "demo_at_" + rand.Text(),
		TokenType:    "Bearer",
		ExpiresIn:    int(u.lifetime / time.Second),
		RefreshToken: "demo_rt_" + rand.Text(),
		Scope:        auth.scope,
	}
	u.access[answer.AccessToken] = &accessToken{auth, u.now().Add(u.lifetime)}
	u.refresh[answer.RefreshToken] = auth
	return answer
}

// end forgets every token of an authorization. u.mu is held.
func (u *Upstream) end(auth *authorization) {
	auth.ended = true
	for token, a := range u.refresh {
		if a == auth {
			delete(u.refresh, token)
		}
	}
	u.sweep()
}

// sweep forgets codes and access tokens that are over. u.mu is held.
func (u *Upstream) sweep() {
	now := u.now()
	for code, c := range u.codes {
		if !now.Before(c.expires) {
			delete(u.codes, code)
		}
	}
	for token, t := range u.access {
		if t.ended || !now.Before(t.expires) {
			delete(u.access, token)
		}
	}
}

// verifies implements RFC 7636 §4.6 for S256. A verifier without a challenge
// is refused, so that a challenge cannot be stripped on the way
// (RFC 9700 §2.1.1).
func verifies(verifier, challenge string) bool {
	if challenge == "" {
		return verifier == ""
	}
	sum := sha256.Sum256([]byte(verifier))
	got := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(got), []byte(challenge)) == 1
}

func writeTokenError(w http.ResponseWriter, e *tokenError) {
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Demo Music"`)
	}
	writeJSON(w, e.status, map[string]string{"error": e.code})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
