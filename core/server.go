// Package core is the MCP-facing OAuth server: New turns tenants, a store and
// keys into one http.Handler. It owns the one list in which the endpoints are
// mounted and what every request goes through on its way to them; each endpoint
// is a package of its own below. It knows no upstream by name and no way to
// load one: tenants come with their provider.
package core

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/cors"
	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/assertion"
	"github.com/sallyport/sallyport/core/authorize"
	"github.com/sallyport/sallyport/core/callback"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/connections"
	"github.com/sallyport/sallyport/core/consent"
	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/gateway"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/introspect"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/metadata"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/oplog"
	"github.com/sallyport/sallyport/core/pages"
	"github.com/sallyport/sallyport/core/register"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/revoke"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/tokens"
	"github.com/sallyport/sallyport/core/upstream"
)

// Server is the handler for all tenants.
type Server struct {
	cfg     Config
	tenants atomic.Pointer[tenant.Set]
	grants  *grant.Store
	clients *client.Registry
	forget  []func(key string) // what other processes changed
	pages   *pages.Pages
	gateway *gateway.Gateway
	mux     http.Handler
	limits  *limits
	oplog   *oplog.Log
	routes  []tenant.Route

	unnamedProxy sync.Once // the operator is told of one, and once
	draining     atomic.Bool
}

// New returns the server for cfg.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, pages: pages.New(), grants: grant.NewStore(cfg.Store, cfg.Keys, cfg.Now).Remember(cfg.CacheTTL), limits: newLimits(cfg), oplog: oplog.New(cfg.Log)}
	s.tenants.Store(cfg.Tenants)
	s.grants.OnOtherUpstream(s.otherUpstream())

	clients := client.NewRegistry(client.Config{Keys: cfg.Keys, Store: cfg.Store, Fetch: cfg.Fetch, Now: cfg.Now, CacheTTL: cfg.CacheTTL})
	s.clients = clients
	s.forget = []func(key string){s.grants.Forget, clients.Forget}
	sessions := session.NewStore(cfg.Store, cfg.Keys, cfg.Now)
	keeper := credential.NewKeeper(credential.Config{Grants: s.grants, Audit: cfg.Audit, Log: cfg.Log, Now: cfg.Now})

	s.gateway = gateway.New(gateway.Config{
		Grants: s.grants, Keeper: keeper, Assertions: assertion.NewIssuer(cfg.Keys, cfg.Now),
		Audit: cfg.Audit, Log: cfg.Log, Transport: cfg.BackendTransport, Calls: cfg.Limits.Calls, Failure: s.limits.failure, Now: cfg.Now, Wall: cfg.wall,
		Keys: cfg.Keys, Store: cfg.Store, CacheTTL: cfg.CacheTTL,
	})
	s.forget = append(s.forget, s.gateway.Forget)

	// The list: every path a tenant answers comes from here.
	s.mount(
		&register.Endpoint{Clients: clients, Audit: cfg.Audit},
		&authorize.Endpoint{Clients: clients, Sessions: sessions, Pages: s.pages, Audit: cfg.Audit, ConsentPath: consent.Path},
		&consent.Endpoint{Clients: clients, Sessions: sessions, Pages: s.pages, Audit: cfg.Audit, Log: s.oplog},
		&connections.Endpoint{Sessions: sessions, Grants: s.grants, Pages: s.pages, Audit: cfg.Audit},
		&callback.Endpoint{Clients: clients, Sessions: sessions, Grants: s.grants, Audit: cfg.Audit, Log: s.oplog},
		&tokens.Endpoint{Clients: clients, Grants: s.grants, Keeper: keeper, Audit: cfg.Audit, Log: cfg.Log, Now: cfg.Now, Repeated: cfg.RefreshRepeated},
		&revoke.Endpoint{Clients: clients, Grants: s.grants, Keeper: keeper, Audit: cfg.Audit},
		&introspect.Endpoint{Grants: s.grants, Audit: cfg.Audit},
		s.gateway,
	)
	return s, nil
}

// otherUpstream returns what logs refused grants of another upstream: one ERROR
// a minute for each tenant.
func (s *Server) otherUpstream() func(*tenant.Tenant, upstream.Identity) {
	const maxTenants = 1024
	logged := limit.New(limit.Rate{Events: 1, Per: time.Minute}, maxTenants, s.cfg.Now)
	return func(t *tenant.Tenant, owner upstream.Identity) {
		if ok, _ := logged.Allow(t.Name); ok {
			s.cfg.Log.Error("a grant of another upstream than the tenant's was refused, and nothing of it was sent anywhere",
				"tenant", t.Name, "upstream", t.UpstreamIdentity(), "grant_of", owner, "remedies", UpstreamRemedies(t.Name, owner))
		}
	}
}

// UpstreamRemedies says what an operator can do about grants of another upstream
// than their tenant's.
func UpstreamRemedies(tenantName string, owner upstream.Identity) string {
	return fmt.Sprintf("undo the change of provider, client_id or settings, and the old logins work again; or, if this is the same upstream under another address, add %q to tenants/%s/formerly; "+
		"or run sallyport tenant accept %s, and users of the old upstream log in again", owner, tenantName, tenantName)
}

// Grants gives operators' commands access to the grants.
func (s *Server) Grants() *grant.Store { return s.grants }

// Clients gives operators' commands access to the clients.
func (s *Server) Clients() *client.Registry { return s.clients }

// Follow hears, until ctx ends, which grants other processes on the same store
// end and which clients they block. Without it that counts here up to CacheTTL
// later.
func (s *Server) Follow(ctx context.Context) {
	if s.cfg.CacheTTL == 0 {
		return
	}
	store.Follow(ctx, s.cfg.Store, func(err error) {
		s.cfg.Log.Warn("what other processes end is noticed late", "by", s.cfg.CacheTTL.String(), "error", err)
	}, s.forget...)
}

// Drain is called when the process is about to end, and again when it accepts
// no more connections. From the first call on /readyz answers 503, so that
// proxies send new requests elsewhere. Each call ends the open streams that
// carry no answer to a call, cleanly; their clients open them again, at another
// replica if there is one. Everything else is served as before.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.gateway.EndIdleStreams()
}

// Tenants returns the tenants served now.
func (s *Server) Tenants() *tenant.Set { return s.tenants.Load() }

// SetTenants replaces the tenants, for all requests that begin from now on.
func (s *Server) SetTenants(tenants *tenant.Set) { s.tenants.Store(tenants) }

// endpoint is what the list holds.
type endpoint interface{ Routes() []tenant.Route }

// mount builds the router from the endpoints and, last, the discovery
// documents from the routes of them all.
func (s *Server) mount(endpoints ...endpoint) {
	for _, e := range endpoints {
		s.routes = append(s.routes, e.Routes()...)
	}
	s.routes = append(s.routes, metadata.New(s.routes, s.cfg.Keys, tokens.GrantTypes).Routes()...)

	mux := chi.NewRouter()
	mux.NotFound(func(w http.ResponseWriter, r *http.Request) {
		s.logRepeated(r, tenant.FromContext(r.Context()), chi.RouteContext(r.Context()).RoutePath)
		notFound(w, r, "nothing is at this address")
	})
	mux.MethodNotAllowed(unknownMethod)
	s.mountRefusals(mux)
	for _, route := range s.routes {
		handler := s.handler(route)
		for _, method := range route.Methods {
			mux.With(crossOrigin(route)...).Method(method, route.Path, handler)
		}
		if route.Audience != tenant.People { // answered by the CORS middleware, before any authentication
			mux.With(crossOrigin(route)...).Options(route.Path, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusNoContent)
			})
		}
	}
	s.mux = mux
}

// handler runs a route, after what every request goes through.
func (s *Server) handler(route tenant.Route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := tenant.FromContext(r.Context())
		err := s.limits.allow(r, t, route.Cost)
		if err == nil && route.Audience != tenant.MCPClients { // what they send may be a stream
			r = r.WithContext(remote.NewContext(r.Context(), address(r.RemoteAddr)))
			err = receive(w, r)
		}
		if err == nil {
			err = s.limits.blocked(r, t, route)
		}
		if err == nil {
			if err = route.Handle(w, r, t); err != nil {
				err = s.limits.failed(r, t, err)
			}
		}
		if err != nil {
			s.fail(w, r, route, err)
		}
	})
}

// fail writes the error of a route in the form its audience reads. It is the one
// place where errors reach the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, route tenant.Route, err error) {
	t := tenant.FromContext(r.Context())
	switch status := oauth.AsError(err).StatusCode(); {
	case status >= http.StatusInternalServerError:
		s.cfg.Log.Error("request failed", "tenant", t.Name, "path", route.Path, "status", status,
			"error", err, "request", middleware.GetReqID(r.Context()))
	case status == http.StatusTooManyRequests:
		s.logLimited(r, t, route, err)
	case route.Callers == tenant.ResourceServers && status == http.StatusUnauthorized:
		s.oplog.Write(hclog.Warn, "a resource server is refused", []any{"tenant", t.Name, "path", route.Path},
			"error", err, "address", address(r.RemoteAddr), "request", middleware.GetReqID(r.Context()),
			"remedy", "compare the id and secret that it sends with the tenant's resource_servers")
	case ofLogin(r, route, status):
		s.oplog.Refused(r.Context(), t.Name, route.Path, err)
	}
	if route.Audience == tenant.People {
		s.pages.Fault(w, r, t, err)
	} else {
		oauth.WriteError(w, r, err)
	}
}

// ServeHTTP finds the tenant and hands the request to the route below it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.hurry(w, r)
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	tenants := s.tenants.Load()
	if sharing := tenants.Sharing(r.Host, r.URL.Path); sharing != nil {
		s.requestID(s.recover(s.shared(sharing))).ServeHTTP(w, r)
		return
	}
	t, route, ok := tenants.Lookup(r.Host, r.URL.Path)
	if !ok {
		s.noTenant(w, r)
		return
	}
	if t.Secure() {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	chain := chi.NewRouteContext()
	chain.RoutePath = cmp.Or(route, "/") // chi takes an empty one for "look at the URL"
	ctx := identify(context.WithValue(tenant.NewContext(r.Context(), t), chi.RouteCtxKey, chain), w)
	below := r.WithContext(ctx)    // once: it copies the request
	below.RemoteAddr = s.sender(r) // from here on it is not the proxy's
	if t.Down != "" {
		s.recover(http.HandlerFunc(s.unserved)).ServeHTTP(w, below)
		return
	}
	s.recover(s.mux).ServeHTTP(w, below)
}

// shared is the one address that is below no tenant and therefore not in the
// list.
func (s *Server) shared(sharing map[string]*tenant.Tenant) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := callback.Dispatch(w, r, sharing); err != nil {
			s.oplog.Refused(r.Context(), "", r.URL.Path, err)
			s.pages.Fault(w, r, nil, err)
		}
	})
}

// identify gives a request an id, which audit lines, log lines and error pages
// share, and returns it in a header. It is our own always: one from outside
// could pose as another request's.
func identify(ctx context.Context, w http.ResponseWriter) context.Context {
	id := newRequestID()
	w.Header().Set(middleware.RequestIDHeader, id)
	return context.WithValue(ctx, middleware.RequestIDKey, id)
}

// requestID identifies what does not go through ServeHTTP to its end.
func (s *Server) requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(identify(r.Context(), w)))
	})
}

// recover turns a panic into a logged 500.
func (s *Server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v) // net/http's own way to cut a connection
			default:
				s.cfg.Log.Error("panic", "error", fmt.Sprint(v), "request", middleware.GetReqID(r.Context()))
				oauth.WriteError(w, r, fmt.Errorf("panic: %v", v))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// crossOrigin returns the CORS middleware of a route. Credentials are never
// allowed, so "any origin" gives a script nothing it could not fetch itself.
func crossOrigin(route tenant.Route) []func(http.Handler) http.Handler {
	var o cors.Options
	switch route.Audience {
	case tenant.Programs:
		o.AllowedHeaders = []string{"Authorization", "Content-Type", "Accept", "Mcp-Protocol-Version"}
		o.ExposedHeaders = []string{"Www-Authenticate", "Retry-After"}
	case tenant.MCPClients:
		o.AllowedHeaders = []string{"*"} // repeats what was asked for: Mcp-Param-* are the backend's to name
		o.ExposedHeaders = []string{"Www-Authenticate", "Mcp-Session-Id", "Mcp-Protocol-Version", "Retry-After"}
	default:
		return nil
	}
	o.AllowedOrigins, o.AllowedMethods, o.MaxAge = []string{"*"}, route.Methods, 3600
	return []func(http.Handler) http.Handler{cors.Handler(o)}
}
