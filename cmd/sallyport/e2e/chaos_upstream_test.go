package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/seal"
)

// cruel is an upstream, a double of ours, that is as strict as any: a refresh
// token works once, and whoever brings a spent one has ended the login (family
// kill). While it is in a mood it fails refreshes before it looks at them.
type cruel struct {
	url   string
	now   func() time.Time
	life  time.Duration // of access tokens
	moody atomic.Bool

	mu      sync.Mutex
	rng     *rand.Rand
	codes   map[string]*family
	refresh map[string]*family // live and spent refresh tokens
	access  map[string]access
	count   cruelCount
}

// cruelCount is what a cruel upstream saw.
type cruelCount struct {
	refreshes              int // answered with new tokens
	failed, limited, stuck int // answered 500, answered 429, not answered at all
	again                  int // unspent tokens that came again after one of these
	spent                  int // spent tokens that came again: there must be none
	unknown                int // tokens it never issued, or codes used twice
}

// family is one login.
type family struct {
	user  string
	live  string // the refresh token that counts
	tried bool   // live came before, and was not looked at
	dead  bool
}

type access struct {
	user string
	ends time.Time
}

// tokenLife is short of how far the clock is moved between two rounds.
const tokenLife = time.Hour

func startCruel(t *testing.T, seed uint64, life time.Duration, now func() time.Time) *cruel {
	t.Helper()
	u := &cruel{
		now: now, life: life, rng: rand.New(rand.NewPCG(seed, 1)),
		codes: map[string]*family{}, refresh: map[string]*family{}, access: map[string]access{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", u.showLogin)
	mux.HandleFunc("POST /authorize", u.login)
	mux.HandleFunc("POST /token", u.token)
	mux.HandleFunc("GET /me", u.me)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

// tenant is one whose upstream it is.
func (u *cruel) tenant(t *testing.T) tenant {
	t.Helper()
	return tenant{
		Name: "cruel", Provider: "oauth2", App: "chaos", More: []string{patientWindow}, Secret: secret, Scopes: "[read]", Upstream: u.url,
		Settings: fmt.Sprintf(`{ authorize_url: "%[1]s/authorize", token_url: "%[1]s/token", userinfo_url: "%[1]s/me", refresh_policy: strict }`, u.url),
		Backend:  startBare(t, u.lookUp),
	}
}

// counts is what it saw so far.
func (u *cruel) counts() cruelCount {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count
}

func (u *cruel) showLogin(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<form method="post" action="/authorize?%s"><input name="login"><button>Log in</button></form>`, html.EscapeString(r.URL.RawQuery))
}

func (u *cruel) login(w http.ResponseWriter, r *http.Request) {
	code := seal.RandomID(16)
	u.mu.Lock()
	u.codes[code] = &family{user: r.PostFormValue("login")}
	u.mu.Unlock()
	q := r.URL.Query()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
}

func (u *cruel) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil { // all of it, or the end of r's context is not seen
		return
	}
	given := r.PostForm.Get("refresh_token")
	if given != "" && u.mood(w, r, given) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.codes[r.PostForm.Get("code")]
	delete(u.codes, r.PostForm.Get("code"))
	if given != "" {
		f = u.refresh[given]
	}
	switch {
	case f == nil:
		u.count.unknown++
		fault(w)
		return
	case f.dead, given != f.live:
		u.count.spent++
		f.dead = true // whoever it was, the login is over
		fault(w)
		return
	case given != "":
		u.count.refreshes++
	}
	f.live, f.tried = seal.RandomID(16), false
	u.refresh[f.live] = f
	token := seal.RandomID(16)
	u.access[token] = access{f.user, u.now().Add(u.life)}
	reply(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int(u.life / time.Second), "refresh_token": f.live,
	})
}

// mood fails a request now and then before anything is spent, and tells whether
// it did.
func (u *cruel) mood(w http.ResponseWriter, r *http.Request, given string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	f := u.refresh[given]
	if f != nil && f.live == given && f.tried {
		u.count.again++
	}
	if f != nil && f.live == given {
		f.tried = true
	}
	if !u.moody.Load() {
		return false
	}
	switch u.rng.IntN(40) {
	case 0:
		u.count.failed++
		reply(w, http.StatusInternalServerError, map[string]any{"error": "server_error"})
	case 1:
		u.count.limited++
		w.Header().Set("Retry-After", "1")
		reply(w, http.StatusTooManyRequests, map[string]any{"error": "temporarily_unavailable"})
	case 2:
		if u.rng.IntN(20) > 0 {
			return false // each of these takes somebody a conversation's whole time
		}
		u.count.stuck++
		u.mu.Unlock()
		<-r.Context().Done()
		u.mu.Lock()
	default:
		return false
	}
	return true
}

func (u *cruel) me(w http.ResponseWriter, r *http.Request) {
	user, ok := u.whose(r.Header.Get("Authorization"))
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	reply(w, http.StatusOK, map[string]any{"sub": user})
}

// whose tells whose access token a header holds.
func (u *cruel) whose(authorization string) (string, bool) {
	token, _ := strings.CutPrefix(authorization, "Bearer ")
	u.mu.Lock()
	defer u.mu.Unlock()
	a, ok := u.access[token]
	return a.user, ok && u.now().Before(a.ends)
}

// lookUp is whose, as a tool of the backend's.
func (u *cruel) lookUp(_ context.Context, authorization string) (string, bool) {
	return u.whose(authorization)
}

func fault(w http.ResponseWriter) {
	reply(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
}

func reply(w http.ResponseWriter, status int, v map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
