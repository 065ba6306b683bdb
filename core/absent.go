package core

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// mountRefusals answers every path with 405, for the methods that no route
// takes there. Routes are mounted over it.
func (s *Server) mountRefusals(mux chi.Router) {
	methods := map[string][]string{}
	for _, route := range s.routes {
		methods[route.Path] = append(methods[route.Path], route.Methods...)
	}
	for _, route := range s.routes {
		allowed := methods[route.Path]
		if route.Audience != tenant.People {
			allowed = append(slices.Clone(allowed), http.MethodOptions)
		}
		mux.Handle(route.Path, s.notAllowed(route, strings.Join(allowed, ", ")))
	}
}

func (s *Server) notAllowed(route tenant.Route, allowed string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed) // RFC 9110 §15.5.6
		if route.Audience != tenant.People {
			anyScript(w)
		}
		fault := oauth.Errorf(oauth.InvalidRequest, "this address takes %s", allowed)
		fault.Status = http.StatusMethodNotAllowed
		s.fail(w, r, route, fault)
	})
}

// notFound says that nothing is there. Clients try addresses in turn, and those
// in a browser have to see that it was the wrong one.
func notFound(w http.ResponseWriter, r *http.Request, what string) {
	anyScript(w)
	oauth.WriteError(w, r, oauth.NotFound(what))
}

// noTenant answers for a host or path that no tenant has. Also what a rebound
// DNS name gets: only configured hosts are served. A proxy that rewrites Host
// sends every user here, so the operator is told.
func (s *Server) noTenant(w http.ResponseWriter, r *http.Request) {
	const most = 5
	var urls []string
	tenants := s.tenants.Load()
	for _, name := range tenants.Names() {
		if urls = append(urls, tenants.Get(name).Issuer); len(urls) == most {
			break
		}
	}
	r = r.WithContext(identify(r.Context(), w))
	s.oplog.Write(hclog.Warn, "no tenant has this address", nil, "host", fmt.Sprintf("%.100q", r.Host), "path", fmt.Sprintf("%.100q", r.URL.Path),
		"configured", strings.Join(urls, " "), "tenants", tenants.Len(), "request", middleware.GetReqID(r.Context()),
		"remedy", "let the proxy pass the Host header and the path on unchanged, or set server/url or the tenant's url to what users open")
	notFound(w, r, "no tenant at this address")
}

// logLimited tells the operator of requests that a limit refused. All users of a
// proxy that does not say for whom it asks count as one sender.
func (s *Server) logLimited(r *http.Request, t *tenant.Tenant, route tenant.Route, err error) {
	from := address(r.RemoteAddr)
	remedy := "if these are requests of your users, raise limits/" + route.Cost.String()
	if from.IsLoopback() || from.IsPrivate() || from.IsLinkLocalUnicast() {
		remedy = "if the address is a proxy's, let it send X-Forwarded-For and list its network in server/trusted_proxies, or all its users count as one; else raise limits/" + route.Cost.String()
	}
	s.oplog.Write(hclog.Warn, "requests are refused by a limit", []any{"tenant", t.Name, "path", route.Path},
		"error", err, "address", from, "request", middleware.GetReqID(r.Context()), "remedy", remedy)
}

// logRepeated tells the operator of a request whose path has the tenant's own
// path twice, which a proxy that adds it once more makes of every request.
func (s *Server) logRepeated(r *http.Request, t *tenant.Tenant, route string) {
	own := t.Path()
	if own == "" || !strings.HasPrefix(route+"/", own+"/") {
		return
	}
	s.oplog.Write(hclog.Warn, "the tenant's path is in this address twice", []any{"tenant", t.Name}, "path", fmt.Sprintf("%.100q", r.URL.Path),
		"configured", t.Issuer, "request", middleware.GetReqID(r.Context()),
		"remedy", "let the proxy pass the path on unchanged, or set server/url or the tenant's url to what users open")
}

// ofLogin reports whether a refused request was a step of a login. Addresses
// that clients try in turn, and methods, are not.
func ofLogin(r *http.Request, route tenant.Route, status int) bool {
	if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
		return false
	}
	switch route.Path {
	case "/register", "/par":
		return true
	case "/token": // a refresh that is refused is no login
		return r.PostForm.Get("grant_type") == "authorization_code"
	}
	return route.Audience == tenant.People
}

// unknownMethod answers methods that no path takes.
func unknownMethod(w http.ResponseWriter, r *http.Request) {
	oauth.WriteError(w, r, &oauth.Error{Code: oauth.InvalidRequest, Status: http.StatusNotImplemented, Description: "no such method"})
}

// anyScript lets scripts of any origin read an answer that is no route's.
func anyScript(w http.ResponseWriter) { w.Header().Set("Access-Control-Allow-Origin", "*") }
