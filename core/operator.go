package core

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Operator returns the handler for the operator's listener, which is not for
// the public: /healthz says that the process runs, /readyz that it can serve,
// /forward-auth/{tenant} is for proxies of the operator's.
func (s *Server) Operator() http.Handler {
	mux := chi.NewRouter()
	mux.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.Get("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			oauth.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := s.cfg.Store.Ping(ctx); err != nil {
			oauth.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "store": err.Error()})
			return
		}
		if err := s.cfg.Audit.Check(); err != nil {
			oauth.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "audit": err.Error()})
			return
		}
		s.writeReady(w)
	})
	// Envoy asks below the path, with the path of the request it is about.
	for _, path := range []string{forwardAuth, forwardAuth + "/*"} {
		mux.Handle(path, s.requestID(s.recover(http.HandlerFunc(s.forwardAuth))))
	}
	return mux
}

const forwardAuth = "/forward-auth/{tenant}"

// forwardAuth finds the tenant by its name, which the proxy was configured
// with: proxies cannot all be told to send another host's name.
func (s *Server) forwardAuth(w http.ResponseWriter, r *http.Request) {
	t := s.Tenants().Get(chi.URLParam(r, "tenant"))
	if t == nil {
		s.logForwardAuth(r, "no tenant has this name", "ask at /forward-auth/ and the name of a tenant; sallyport tenant list shows all")
		oauth.WriteError(w, r, oauth.NotFound("no tenant has this name"))
		return
	}
	r = r.WithContext(tenant.NewContext(r.Context(), t))
	r.RemoteAddr = s.sender(r)
	if t.Down != "" {
		s.unserved(w, r)
		return
	}
	if err := s.gateway.ForwardAuth(w, r, t); err != nil {
		if status := oauth.AsError(err).StatusCode(); status == http.StatusNotFound || status == http.StatusProxyAuthRequired {
			s.logForwardAuth(r, err.Error(), "compare what the proxy asks with, its Proxy-Authorization included, with the tenant's resource and resource_servers; config/examples/proxies has a file for each proxy")
		}
		s.fail(w, r, tenant.Route{Path: forwardAuth, Audience: tenant.Programs}, s.limits.failed(r, t, err))
	}
}

// logForwardAuth tells the operator of a question of a proxy that the proxy's
// configuration makes: its users get the proxy's error, and no other line says
// why.
func (s *Server) logForwardAuth(r *http.Request, what, remedy string) {
	s.oplog.Write(hclog.Warn, "a forward auth request cannot be answered", nil, "reason", what,
		"path", fmt.Sprintf("%.100q", r.URL.Path), "address", r.RemoteAddr, "request", middleware.GetReqID(r.Context()), "remedy", remedy)
}
