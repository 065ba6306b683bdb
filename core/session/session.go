// Package session holds the front-channel state of a login, from /authorize to
// the redirect back to the client, and of a user's visit to the connections
// page. It owns the validated authorization request, the sealed forms in which
// it is pushed ahead and carried through the consent page (a page that is only
// looked at leaves nothing on the server), the session that starts when the
// user is sent to the upstream, the signed-in visitor, and the cookies that keep
// all of it in one browser. It leaves validating a request to package authorize
// and every answer to the endpoint packages.
package session

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// Request is an authorization request that was found valid. The redirect URI
// travels as a string and is matched against the client's registration again
// at each use: only oauth.MatchRedirect makes something to redirect to.
type Request struct {
	ClientID    string              `json:"client_id"`
	RedirectURI string              `json:"redirect_uri"`
	State       string              `json:"state,omitempty"`
	Challenge   oauth.CodeChallenge `json:"challenge"`
	Resource    string              `json:"resource"`
	Scopes      []string            `json:"scopes"`
	Prompt      string              `json:"prompt,omitempty"` // as oauth.ParsePrompt returns it
	// Pushed is the hash of the request_uri that this came by, if it was pushed
	// (RFC 9126): the name under which an approval uses it up.
	Pushed string `json:"pushed,omitempty"`
}

// Errors of this package, fit to be shown to the user; all others are
// oauth.Unavailable, the store's.
var (
	// ErrForm says that a consent form is too old, was changed, or was made for
	// another browser.
	ErrForm = oauth.Errorf(oauth.InvalidRequest, "This page was open for too long, or it was opened in another browser.")
	// ErrGone says that a session ended, was used before or never was.
	ErrGone = oauth.Errorf(oauth.InvalidRequest, "The login took too long, or this page was loaded a second time.")
	// ErrOtherUpstream says that the tenant has come to another upstream than the
	// one that the user was sent to. Neither the code nor the verifier is for
	// that one to see.
	ErrOtherUpstream = oauth.Errorf(oauth.InvalidRequest, "This server was set up for another upstream service while you logged in. Nothing was sent to it. Start again from your application.")
	// ErrBrowser says that the callback came from another browser than the one
	// that consented.
	ErrBrowser = oauth.Errorf(oauth.InvalidRequest, "The login was finished before, was started in another browser, or this browser does not keep cookies.")
)

// Store keeps authorization sessions.
type Store struct {
	records *store.Collection[record]
	used    *store.Collection[usedPush]
	keys    *seal.Keyring
	now     func() time.Time
}

// record is the session as it is stored.
type record struct {
	Request  Request `json:"request"`
	SignIn   bool    `json:"sign_in,omitempty"`
	Provider string  `json:"provider"` // that sent the user to log in
	// Mark is that of the app that the user was sent to. Without one a release
	// without identities stored the session.
	upstream.Mark
	// Verifier answers the upstream's PKCE challenge, Browser is the hash of
	// the cookie set at the beginning.
	Verifier string `json:"verifier,omitempty"`
	Browser  string `json:"browser"`
}

// Session is what a user was sent to the upstream for.
type Session struct {
	// Request is the client's. A SignIn, which no client asked for, has nothing
	// but the scopes in it.
	Request  Request
	SignIn   bool
	Verifier seal.Secret // of the upstream's PKCE; empty if it does none
}

// NewStore returns a Store. A nil now means time.Now.
func NewStore(driver store.Driver, keys *seal.Keyring, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{
		records: store.NewCollection[record](driver, keys, "session"),
		used:    store.NewCollection[usedPush](driver, keys, "pushed"),
		keys:    keys, now: now,
	}
}

// Login begins the session of an approved request and returns the upstream's
// URL to send the browser to. A request that was pushed begins one session;
// after that it is ErrSpent.
func (s *Store) Login(ctx context.Context, w http.ResponseWriter, t *tenant.Tenant, req Request) (string, error) {
	if err := s.spend(ctx, t, req); err != nil {
		return "", err
	}
	return s.begin(ctx, w, t, record{Request: req})
}

// SignIn begins the session of somebody who wants to see their connections, and
// returns the upstream's URL. It asks for what logins ask for: with that the
// provider is known to find the account, and an upstream that has asked this
// user before need not ask again.
func (s *Store) SignIn(ctx context.Context, w http.ResponseWriter, t *tenant.Tenant) (string, error) {
	return s.begin(ctx, w, t, record{SignIn: true, Request: Request{Scopes: t.Offered()}})
}

// begin stores a session, binds it to this browser by a cookie of its own and
// lets the provider say where the user logs in. The state for the upstream
// names the session and its tenant.
func (s *Store) begin(ctx context.Context, w http.ResponseWriter, t *tenant.Tenant, rec record) (string, error) {
	var challenge oauth.CodeChallenge
	if t.Provider.Describe().PKCE {
		rec.Verifier = seal.RandomID(32) // 43 characters, RFC 7636 §4.1
		challenge = oauth.ChallengeOf(rec.Verifier)
	}
	id, browser := seal.RandomID(32), seal.RandomID(32)
	rec.Browser, rec.Provider, rec.Mark = hash(browser), t.Provider.Describe().Name, t.Mark()
	if err := s.records.Create(ctx, t.Name, id, rec, t.Lifetimes.Session); err != nil {
		return "", oauth.Unavailable(err)
	}
	browserCookie.set(w, t, start(id), browser, t.Lifetimes.Session)
	return t.Provider.Authorize(ctx, upstream.AuthorizeRequest{
		State: t.Name + "." + id, Scopes: t.UpstreamScopes(rec.Request.Scopes), CodeChallenge: string(challenge), Prompt: rec.Request.Prompt,
	})
}

// TenantOf returns the name of the tenant that a state was made for, or what
// somebody put in its place. It says where to bring an answer, no more: Take
// decides.
func TenantOf(state string) string { return state[:max(strings.LastIndexByte(state, '.'), 0)] }

// Take ends the session that state names and returns it. A callback at another
// tenant and a browser without the cookie burn nothing; one with the wrong
// cookie ends the session without using it.
func (s *Store) Take(ctx context.Context, w http.ResponseWriter, r *http.Request, t *tenant.Tenant, state string) (Session, error) {
	if TenantOf(state) != t.Name { // mix-up: an answer for one tenant brought to another
		return Session{}, ErrGone
	}
	id := state[len(t.Name)+1:]
	browser := browserCookie.read(r, t, start(id))
	if browser == "" {
		return Session{}, ErrBrowser
	}
	browserCookie.remove(w, t, start(id))
	rec, err := s.records.Take(ctx, t.Name, id)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrName), errors.Is(err, store.ErrUnreadable):
		// Unreadable: the key it was sealed with is gone. Trying again cannot help.
		return Session{}, ErrGone
	case err != nil:
		return Session{}, oauth.Unavailable(err)
	case subtle.ConstantTimeCompare([]byte(rec.Browser), []byte(hash(browser))) != 1:
		return Session{}, ErrBrowser
	}
	if _, ours := s.owner(t, rec.Mark, t.Lifetimes.Session); !ours || rec.Upstream == "" && rec.Provider != t.Provider.Describe().Name {
		return Session{}, ErrOtherUpstream
	}
	return Session{Request: rec.Request, SignIn: rec.SignIn, Verifier: seal.NewSecret(rec.Verifier)}, nil
}

// owner is tenant.Owner for what lives for a short time. What names no identity
// was made by a replica of a release without them, and is the tenant's unless
// that has changed its upstream within the time.
func (s *Store) owner(t *tenant.Tenant, mark upstream.Mark, life time.Duration) (owner upstream.Identity, ours bool) {
	if mark.Upstream == "" {
		return t.UpstreamIdentity(), t.OwnSince(s.now().Add(-life))
	}
	return t.Owner(mark, time.Time{})
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
