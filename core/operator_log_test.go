package core_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// TestMistakesOfADeploymentAreLogged: what a proxy or a resource server is set up
// wrongly for is a WARN with the remedy, without an audit log too.
func TestMistakesOfADeploymentAreLogged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask    func(t *testing.T, s *coretest.Server) int
		status int
		line   string
		says   []string
	}{
		"a proxy without X-Forwarded-For": {func(t *testing.T, s *coretest.Server) int {
			s.Get(t, nil, "/music/authorize")
			return s.Get(t, nil, "/music/authorize").Status
		}, http.StatusTooManyRequests, "requests are refused by a limit", []string{"address=127.0.0.1", "server/trusted_proxies", "limits/authorize", "tenant=music"}},
		"one user too often": {func(t *testing.T, s *coretest.Server) int {
			knock(t, s, "203.0.113.7", http.MethodGet, "/music/authorize")
			return knock(t, s, "203.0.113.7", http.MethodGet, "/music/authorize").Status
		}, http.StatusTooManyRequests, "requests are refused by a limit", []string{"address=203.0.113.7", "limits/authorize"}},
		"a proxy that adds the path again": {func(t *testing.T, s *coretest.Server) int {
			return s.Get(t, nil, "/music/music/authorize").Status
		}, http.StatusNotFound, "the tenant's path is in this address twice", []string{"/music/music/authorize", "configured=" + "http", "server/url"}},
		"a resource server with another secret": {func(t *testing.T, s *coretest.Server) int {
			return ask(t, s, "/music/introspect", "api", "another", url.Values{"token": {"t"}}).Status
		}, http.StatusUnauthorized, "a resource server is refused", []string{"tenant=music", "resource_servers", "address=127.0.0.1"}},
		"forward auth for no tenant": {func(_ *testing.T, s *coretest.Server) int {
			return askForwardAuth(s, "/forward-auth/none")
		}, http.StatusNotFound, "a forward auth request cannot be answered", []string{"no tenant has this name", "/forward-auth/none", "tenant list"}},
		"forward auth for a tenant behind the gateway": {func(_ *testing.T, s *coretest.Server) int {
			return askForwardAuth(s, "/forward-auth/music")
		}, http.StatusNotFound, "a forward auth request cannot be answered", []string{"behind the gateway"}},
		"forward auth without the proxy's secret": {func(_ *testing.T, s *coretest.Server) int {
			return askForwardAuth(s, "/forward-auth/octo")
		}, http.StatusProxyAuthRequired, "a forward auth request cannot be answered", []string{"Proxy-Authorization", "resource_servers"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := coretest.New(t, withServers, func(c *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
				c.Limits.Authorize = limit.Rate{Events: 1, Per: time.Hour}
				c.Audit = nil
				tenants[1].External, tenants[1].Backend = "https://tools.example/mcp", nil
			})
			if status := c.ask(t, s); status != c.status {
				t.Errorf("%d, want %d", status, c.status)
			}
			line := lineOf(t, s, "WARN", c.line)
			for _, part := range append(c.says, "request=", "remedy=") {
				if !strings.Contains(line, part) {
					t.Errorf("the line does not say %q: %s", part, line)
				}
			}
		})
	}
}

// askForwardAuth asks the operator's listener as a proxy does.
func askForwardAuth(s *coretest.Server, path string) int {
	w := httptest.NewRecorder()
	s.Core.Operator().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code
}

// A duration is logged with its unit, in JSON too.
func TestDurationsAreLoggedWithTheirUnit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	s := coretest.New(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		c.Log = hclog.New(&hclog.LoggerOptions{Output: &out, JSONFormat: true})
		c.Store, c.CacheTTL = &deaf{Driver: &memory.Driver{Now: c.Now}, end: cancel}, 5*time.Second
	})
	s.Core.Follow(ctx)
	if !strings.Contains(out.String(), `"by":"5s"`) {
		t.Errorf("the log does not say by how much: %s", out.String())
	}
}

// deaf is a store that cannot listen. At the second attempt the server ends.
type deaf struct {
	*memory.Driver
	end   func()
	asked bool
}

func (*deaf) Announce(context.Context, string) error { return nil }

func (d *deaf) Listen(context.Context, func(string)) error {
	if d.asked {
		d.end()
	}
	d.asked = true
	return errors.New("connection refused")
}
