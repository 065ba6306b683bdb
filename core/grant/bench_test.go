package grant_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// BenchmarkLogin is what a login does to the store, without the requests that
// it comes by: the session, the account's index, the grant, its code redeemed.
// The same over HTTP is core's BenchmarkLogin.
func BenchmarkLogin(b *testing.B) {
	coretest.BenchmarkFlow(b, "login", func(b *testing.B, d store.Driver) func() func() {
		keys := newKeys(b)
		grants := grant.NewStore(d, keys, nil)
		sessions := session.NewStore(d, keys, nil)
		there := *music
		there.Provider = upstreamtest.Provider{Fake: &upstreamtest.Fake{Login: "https://upstream.example.com/authorize"}}
		req := session.Request{ClientID: clientID, RedirectURI: callback, Challenge: oauth.ChallengeOf(verifier), Resource: music.Resource(), Scopes: []string{"read"}}
		var users atomic.Int64
		once := func() {
			w := httptest.NewRecorder()
			at, err := sessions.Login(b.Context(), w, &there, req)
			if err != nil {
				b.Error(err)
				return
			}
			u, _ := url.Parse(at)
			back := httptest.NewRequestWithContext(b.Context(), http.MethodGet, there.Callback(), nil)
			for _, c := range w.Result().Cookies() {
				back.AddCookie(c)
			}
			if _, err := sessions.Take(b.Context(), httptest.NewRecorder(), back, &there, u.Query().Get("state")); err != nil {
				b.Error(err)
				return
			}
			subject := strconv.FormatInt(users.Add(1), 10)
			if _, err := login(b.Context(), grants, subject, credential(subject, 40)); err != nil {
				b.Error(err)
			}
		}
		return func() func() { return once }
	})
}

// BenchmarkRefresh is Store.Refresh, each caller of a grant of its own. The
// same over HTTP is core's BenchmarkRefresh.
func BenchmarkRefresh(b *testing.B) {
	coretest.BenchmarkFlow(b, "refresh", func(b *testing.B, d store.Driver) func() func() {
		grants := newGrants(b, d)
		return func() func() {
			tokens := mustLogin(b, grants)
			return func() {
				next, err := grants.Refresh(b.Context(), music, tokens.Refresh, grant.Presented{ClientID: clientID})
				if err != nil {
					b.Error(err)
					return
				}
				tokens = next
			}
		}
	})
}

// BenchmarkVerifyRead is Verify of a grant that is not remembered.
func BenchmarkVerifyRead(b *testing.B) { benchmarkVerify(b, 0) }

// BenchmarkVerifyRemembered is Verify of one that is.
func BenchmarkVerifyRemembered(b *testing.B) { benchmarkVerify(b, time.Hour) }

func benchmarkVerify(b *testing.B, ttl time.Duration) {
	coretest.BenchmarkFlow(b, "call", func(b *testing.B, d store.Driver) func() func() {
		grants := newGrants(b, d)
		grants.Remember(ttl)
		return func() func() {
			tokens := mustLogin(b, grants)
			return func() {
				if _, err := grants.Verify(b.Context(), music, tokens.Access); err != nil {
					b.Error(err)
				}
			}
		}
	})
}
