// Package gateway is the protected resource: it checks the bearer token of
// every MCP call and passes the call on to the tenant's backend with the user's
// upstream token in place of ours. It owns what crosses to the backend and what
// comes back; it leaves the token's worth to package grant and a fresh upstream
// token to package credential.
package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/assertion"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// Gateway answers /mcp.
type Gateway struct {
	gate     *gate
	log      hclog.Logger
	forward  http.Handler
	relayed  relayed
	idle     idleStreams
	streams  *streams
	bodies   *bodies
	now      func() time.Time // of the network
	sessions *sessions
}

// Config is what a Gateway is made of. All but Audit is required.
type Config struct {
	Grants     *grant.Store
	Keeper     *credential.Keeper
	Assertions *assertion.Issuer
	Audit      *audit.Log
	Log        hclog.Logger
	// Keys and Store bind MCP sessions to their users; CacheTTL is for how long a
	// binding is remembered, see core.Config.
	Keys     *seal.Keyring
	Store    store.Driver
	CacheTTL time.Duration
	// Transport reaches the backends; they are the operator's own and may be
	// anywhere, so it is not core/fetch.
	Transport http.RoundTripper
	// Calls is how often one login may call; the zero Rate is no limit.
	Calls limit.Rate
	// Failure counts a token that was never issued, and reports whether it is
	// one too many of its sender's and when the next would not be. nil: none is.
	Failure func(sender string) (wait time.Duration, over bool)
	Now     func() time.Time
	Wall    func() time.Time // the network's clock, whatever Now says; nil: time.Now
}

// New returns a gateway.
func New(c Config) *Gateway {
	if c.Failure == nil {
		c.Failure = func(string) (time.Duration, bool) { return 0, false }
	}
	g := &Gateway{
		gate: &gate{
			grants: c.Grants, keeper: c.Keeper, assertions: c.Assertions, inject: tenant.DefaultInject(),
			limits: newLimits(c.Calls, c.Now), audit: c.Audit, failure: c.Failure,
		},
		log:      c.Log,
		bodies:   newBodies(),
		streams:  newStreams(),
		now:      c.Wall,
		relayed:  relayed{log: c.Log, seen: map[string]map[string]bool{}},
		sessions: newSessions(c.Store, c.Keys, c.CacheTTL, c.Now),
	}
	if g.now == nil {
		g.now = time.Now
	}
	c.Grants.Watch(g.streams.recheck)
	g.forward = g.newForwarder(&retrier{next: c.Transport, gate: g.gate})
	return g
}

// Forget drops what is remembered of a record that another process changed.
func (g *Gateway) Forget(key string) { g.sessions.claimed.Forget(key) }

// Routes returns the gateway's routes: both spellings, never a redirect
// between them, because clients drop Authorization on redirects.
func (g *Gateway) Routes() []tenant.Route {
	var routes []tenant.Route
	for _, path := range []string{tenant.MCPPath, tenant.MCPPath + "/{backend}"} {
		for _, spelling := range []string{path, path + "/"} {
			routes = append(routes, tenant.Route{
				Path: spelling, Methods: []string{http.MethodPost, http.MethodGet, http.MethodDelete},
				Cost: tenant.Free, Audience: tenant.MCPClients, Handle: g.serve,
			})
		}
	}
	return routes
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	c := &call{tenant: t, in: r, backend: chi.URLParam(r, "backend"), wire: http.NewResponseController(w), now: g.now}
	if c.to = t.BackendAt(c.backend); c.to == nil {
		return oauth.NotFound("no MCP server is at this address")
	}
	// The server has given the sender of a body a deadline. It does not run while
	// this server waits for others; call.keep sets its own.
	c.hurry(0)
	if err := upgrade(r.Header); err != nil {
		g.refuse(w, c, err)
		return nil
	}
	defer c.giveUp()
	err := g.admit(c)
	if c.leave != nil {
		defer c.leave()
	}
	if err != nil {
		g.refuse(w, c, err)
		return nil
	}
	if !c.whole {
		// A backend may answer before it has read everything; net/http would keep
		// the answer back until a client that still sends has sent more.
		_ = c.wire.EnableFullDuplex()
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	c.cancel = cancel
	g.forward.ServeHTTP(w, r.WithContext(context.WithValue(ctx, callKey{}, c)))
	return nil
}

// upgrade refuses to change the protocol. An offer of HTTP/2 it takes away: a
// server may pass over it (RFC 9110 §7.8), and Java's HTTP client makes it with
// every request.
func upgrade(h http.Header) error {
	for _, offer := range h["Upgrade"] {
		if !strings.EqualFold(offer, "h2c") {
			return oauth.Errorf(oauth.InvalidRequest, "this address speaks MCP over HTTP and changes to no other protocol")
		}
	}
	delete(h, "Upgrade")
	delete(h, "Http2-Settings")
	return nil
}

// admit passes a call through the gate and makes it ready to be sent.
func (g *Gateway) admit(c *call) error {
	r := c.in
	p, err := g.gate.decide(r.Context(), c.tenant, facts{
		authorization: r.Header["Authorization"], origin: r.Header["Origin"], query: r.URL.RawQuery, sender: r.RemoteAddr,
		messages: func(caller string) ([]message, error) { return c.look(g.bodies, caller) },
	})
	if err != nil {
		return err
	}
	c.pass = *p
	if c.leave, err = g.gate.limits.enter(c.tenant, c.caller(r.RemoteAddr)); err != nil {
		g.gate.record(r.Context(), c.tenant, p, r.RemoteAddr, refuse(err))
		return err
	}
	if err := g.bind(c); err != nil {
		g.gate.record(r.Context(), c.tenant, p, r.RemoteAddr, refuse(err))
		return err
	}
	if err := c.keep(g.bodies, c.caller(r.RemoteAddr)); err != nil {
		return err
	}
	return c.vouch(g.gate)
}

// refuse answers what is not passed on. This, and not the server, is where it
// is written and logged: MCP clients need another form than the other routes'.
func (g *Gateway) refuse(w http.ResponseWriter, c *call, err error) {
	c.hurry(bodyTime) // net/http reads what is left of a body after the answer
	no := refuse(err)
	no.withRequest(middleware.GetReqID(c.in.Context()))
	if no.fault == nil && c.in.Method != http.MethodPost && len(c.tenant.Anonymous) > 0 {
		no = withoutToken()
		w.Header().Set("Allow", http.MethodPost)
	}
	if no.fault != nil && no.fault.StatusCode() >= http.StatusInternalServerError {
		g.log.Error("call failed", "tenant", c.tenant.Name, "status", no.fault.StatusCode(), "error", err,
			"request", middleware.GetReqID(c.in.Context()))
	}
	no.write(w, c.tenant, c.backend, c.id())
}

// withoutToken refuses a stream, or the end of a session, where other things
// can be had without a token. A client that came so far without one asks for a
// stream as soon as it is connected: a 401 would send its user to log in, which
// the tenant wants to put off, and 405 is how a server says that it has none
// (MCP 2025-11-25, Listening for Messages from the Server).
func withoutToken() *refusal {
	return &refusal{fault: &oauth.Error{
		Code: oauth.InvalidRequest, Status: http.StatusMethodNotAllowed, Description: "there is no stream without an access token",
	}}
}
