package core

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

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

// unknownMethod answers methods that no path takes.
func unknownMethod(w http.ResponseWriter, r *http.Request) {
	oauth.WriteError(w, r, &oauth.Error{Code: oauth.InvalidRequest, Status: http.StatusNotImplemented, Description: "no such method"})
}

// anyScript lets scripts of any origin read an answer that is no route's.
func anyScript(w http.ResponseWriter) { w.Header().Set("Access-Control-Allow-Origin", "*") }
