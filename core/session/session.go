// Package session holds the front-channel state of a login, from /authorize to
// the redirect back to the client. It owns the validated authorization request,
// the sealed forms in which it is pushed ahead and carried through the consent
// page (a page that is only looked at leaves nothing on the server), the
// authorization session that
// starts when the user consents, and the two cookies that keep all of it in one
// browser. It leaves validating a request to package authorize and every answer
// to the endpoint packages.
package session

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
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
	Tenant  string  `json:"tenant"`
	Request Request `json:"request"`
	// Verifier answers the upstream's PKCE challenge, Browser is the hash of
	// the cookie set at approval.
	Verifier string `json:"verifier,omitempty"`
	Browser  string `json:"browser"`
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

// sealed is a request on its way through somebody else's hands.
type sealed struct {
	Request Request `json:"request"`
	Expires int64   `json:"expires"`
}

func (s *Store) sealRequest(p seal.Purpose, req Request, life time.Duration) (string, error) {
	plain, err := json.Marshal(sealed{Request: req, Expires: s.now().Add(life).Unix()})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.keys.Seal(p, plain)), nil
}

// openRequest returns what sealRequest sealed for the same purpose, unless its
// time is over, and the hash of the bytes it came in.
func (s *Store) openRequest(p seal.Purpose, text string) (req Request, sum string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Request{}, "", false
	}
	plain, err := s.keys.Open(p, raw)
	if err != nil {
		return Request{}, "", false
	}
	var v sealed
	if err := json.Unmarshal(plain, &v); err != nil || s.now().Unix() >= v.Expires {
		return Request{}, "", false
	}
	return v.Request, hash(string(raw)), true
}

// SealForm returns req in a form that opens only in this browser: half of its
// key is a cookie, which SealForm sets if the browser has none. That makes the
// form its own defence against cross-site posts, and a second tab does not
// spoil the first.
func (s *Store) SealForm(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, req Request) (string, error) {
	value := formCookie.read(r, t, "")
	if value == "" {
		value = seal.RandomID(16)
	}
	formCookie.set(w, t, "", value, t.Lifetimes.Session)
	return s.sealRequest(formPurpose(t, value), req, t.Lifetimes.Session)
}

// OpenForm returns the request that SealForm sealed for this browser, or
// ErrForm.
func (s *Store) OpenForm(r *http.Request, t *tenant.Tenant, text string) (Request, error) {
	value := formCookie.read(r, t, "")
	req, _, ok := s.openRequest(formPurpose(t, value), text)
	if value == "" || !ok {
		return Request{}, ErrForm
	}
	return req, nil
}

func formPurpose(t *tenant.Tenant, cookie string) seal.Purpose {
	return seal.Purpose{Use: "authorize-form", Tenant: t.Name, Secret: seal.NewSecret(cookie)}
}

// Begin stores the session of an approved request and binds it to this browser
// by a cookie of its own. It returns the state for the upstream, which names
// the session, and stores verifier (which may be empty) for the way back. A
// request that was pushed begins one session; after that it is ErrSpent.
func (s *Store) Begin(ctx context.Context, w http.ResponseWriter, t *tenant.Tenant, req Request, verifier seal.Secret) (state string, err error) {
	if err := s.spend(ctx, t, req); err != nil {
		return "", err
	}
	state, browser := seal.RandomID(32), seal.RandomID(32)
	err = s.records.Create(ctx, "", state, record{
		Tenant: t.Name, Request: req, Verifier: verifier.Reveal(), Browser: hash(browser),
	}, t.Lifetimes.Session)
	if err != nil {
		return "", oauth.Unavailable(err)
	}
	browserCookie.set(w, t, state, browser, t.Lifetimes.Session)
	return state, nil
}

// Take ends the session that state names and returns its request and verifier.
// A browser without the cookie burns nothing; one with the wrong cookie, or a
// callback at another tenant, ends the session without using it.
func (s *Store) Take(ctx context.Context, w http.ResponseWriter, r *http.Request, t *tenant.Tenant, state string) (Request, seal.Secret, error) {
	browser := browserCookie.read(r, t, state)
	if browser == "" {
		return Request{}, seal.Secret{}, ErrBrowser
	}
	browserCookie.remove(w, t, state)
	rec, err := s.records.Take(ctx, "", state)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrName), errors.Is(err, store.ErrUnreadable):
		// Unreadable: the key it was sealed with is gone. Trying again cannot help.
		return Request{}, seal.Secret{}, ErrGone
	case err != nil:
		return Request{}, seal.Secret{}, oauth.Unavailable(err)
	case subtle.ConstantTimeCompare([]byte(rec.Browser), []byte(hash(browser))) != 1:
		return Request{}, seal.Secret{}, ErrBrowser
	case rec.Tenant != t.Name: // mix-up: an answer for one tenant brought to another
		return Request{}, seal.Secret{}, ErrGone
	}
	return rec.Request, seal.NewSecret(rec.Verifier), nil
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
