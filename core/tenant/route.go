package tenant

import (
	"context"
	"net/http"
)

// Handler answers one route for one tenant. An error it returns is written and
// logged in one place, in the form the route's Audience reads; it must not have
// written anything then.
type Handler func(w http.ResponseWriter, r *http.Request, t *Tenant) error

// Route is a path that every tenant answers. The endpoint packages return
// theirs, package core mounts them in one list, and package metadata generates
// the discovery documents from the same list: what is advertised is mounted.
type Route struct {
	Path      string   // below the tenant's URL
	Methods   []string // the others get 405
	Advertise string   // member of the authorization server metadata that holds this route's URL, if any
	Callers   Callers
	Cost      Cost
	Audience  Audience
	Handle    Handler
}

// Callers says who has to prove itself at a route. How it may is in the
// metadata beside the route's URL.
type Callers int

const (
	// Anybody may come without proof, or with one that is the route's matter.
	Anybody Callers = iota
	// Clients are OAuth clients.
	Clients
	// ResourceServers are the tenant's. A tenant without any does not advertise
	// the route.
	ResourceServers
)

// Cost says which of the server's limits a route's requests count against. What
// says nothing is limited.
type Cost int

const (
	// Usual is /token and whatever else programs ask on behalf of many people,
	// all from few addresses.
	Usual Cost = iota
	// Login is what one person's browser asks for on the way through a login.
	Login
	// Registration makes a client.
	Registration
	// Free is not limited: public documents, and routes that have better limits
	// of their own.
	Free
)

// String names the cost for the audit log, as the limit is named.
func (c Cost) String() string {
	switch c {
	case Login:
		return "authorize"
	case Registration:
		return "register"
	case Free:
		return "free"
	}
	return "token"
}

// Audience says who reads a route's answers: it decides the form of errors and
// which browser scripts may see an answer (CORS).
type Audience int

const (
	// People look at pages; no script of another origin may read them.
	People Audience = iota
	// Programs read JSON, from any origin: metadata is public, and callers of
	// the endpoints prove themselves in the request (no cookie is read there).
	Programs
	// MCPClients talk to the protected resource.
	MCPClients
)

type contextKey struct{}

// NewContext returns a context that carries t.
func NewContext(ctx context.Context, t *Tenant) context.Context {
	return context.WithValue(ctx, contextKey{}, t)
}

// FromContext returns the tenant NewContext put in, or nil.
func FromContext(ctx context.Context) *Tenant {
	t, _ := ctx.Value(contextKey{}).(*Tenant)
	return t
}
