// Package gateway is the protected resource: it checks the bearer token of
// every MCP call and passes the call on to the tenant's backend with the user's
// upstream token in place of ours. It owns what crosses to the backend and what
// comes back; it leaves the token's worth to package grant and a fresh upstream
// token to package credential.
package gateway

import (
	"net/http"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/tenant"
)

// Gateway answers /mcp.
type Gateway struct {
	gate    *gate
	forward http.Handler
}

// New returns a gateway. Backends are reached through transport; they are the
// operator's own and may be anywhere, so it is not core/fetch.
func New(grants *grant.Store, keeper *credential.Keeper, auditLog *audit.Log, log hclog.Logger, transport http.RoundTripper) *Gateway {
	return &Gateway{gate: &gate{grants: grants, keeper: keeper, audit: auditLog}, forward: newForwarder(keeper, log, transport)}
}

// Routes returns the gateway's routes: both spellings, never a redirect
// between them, because clients drop Authorization on redirects.
func (g *Gateway) Routes() []tenant.Route {
	methods := []string{http.MethodPost, http.MethodGet, http.MethodDelete}
	return []tenant.Route{
		{Path: tenant.MCPPath, Methods: methods, Audience: tenant.MCPClients, Handle: g.serve},
		{Path: tenant.MCPPath + "/", Methods: methods, Audience: tenant.MCPClients, Handle: g.serve},
	}
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	if !t.HasGateway() {
		http.NotFound(w, r)
		return nil
	}
	p, err := g.gate.decide(r.Context(), t, facts{authorization: r.Header.Values("Authorization"), query: r.URL.RawQuery})
	if err != nil {
		return refuse(t, err).write(w, t)
	}
	g.forward.ServeHTTP(w, r.WithContext(withCall(r.Context(), &call{tenant: t, live: p.live, cred: p.cred})))
	return nil
}
