package core_test

import (
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// over starts a server on a store.
func over(b *testing.B, d store.Driver) *coretest.Server {
	b.Helper()
	return coretest.New(b, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) { c.Store = d })
}

// BenchmarkLogin is a login over HTTP, from the registration of a client to its
// first tokens, each of another user: six requests, less what an upstream takes.
func BenchmarkLogin(b *testing.B) {
	coretest.BenchmarkFlow(b, "login", func(b *testing.B, d store.Driver) func() func() {
		s := over(b, d)
		var users atomic.Int64
		return func() func() {
			return func() { s.Login(b, s.Browser(), "user-"+strconv.FormatInt(users.Add(1), 10)) }
		}
	})
}

// BenchmarkRefresh is a refresh at the token endpoint, each caller of a grant of
// its own.
func BenchmarkRefresh(b *testing.B) {
	coretest.BenchmarkFlow(b, "refresh", func(b *testing.B, d store.Driver) func() func() {
		s := over(b, d)
		return func() func() {
			tokens := s.Login(b, s.Browser(), "ada")
			return func() {
				a := s.PostForm(b, nil, "/music/token", url.Values{
					"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Refresh},
				})
				if a.Status != http.StatusOK {
					b.Errorf("refresh: %d %s", a.Status, a.Body)
				}
				tokens.Refresh, _ = a.JSON(b)["refresh_token"].(string)
			}
		}
	})
}
