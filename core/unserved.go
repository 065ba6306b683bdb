package core

import (
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// retryDown is when clients of a tenant that is down are told to come back.
const retryDown = time.Minute

// unserved answers every request to a tenant that is down. The reason is for the
// operator alone: the log, tenant list and /readyz have it.
func (s *Server) unserved(w http.ResponseWriter, r *http.Request) {
	anyScript(w)
	w.Header().Set("Cache-Control", "no-store")
	err := &oauth.Error{
		Code: oauth.TemporarilyUnavailable, Status: http.StatusServiceUnavailable, RetryAfter: retryDown,
		Description: "this server is not set up completely; its operator has been told why",
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.pages.Fault(w, r, tenant.FromContext(r.Context()), err)
		return
	}
	oauth.WriteError(w, r, err)
}

// writeReady answers /readyz while the store answers: 200 if any tenant is
// served, with the tenants that are down and why.
func (s *Server) writeReady(w http.ResponseWriter) {
	set := s.Tenants()
	down := map[string]string{}
	for _, name := range set.Names() {
		if why := set.Get(name).Down; why != "" {
			down[name] = why
		}
	}
	status, answer := http.StatusOK, map[string]any{"status": "ready", "tenants": set.Len() - len(down)}
	if failing := s.cfg.Audit.Status().Failing; failing != nil {
		answer["audit"] = "lines are not written: " + failing.Error()
	}
	if len(down) > 0 {
		answer["down"] = down
	}
	if len(down) > 0 && len(down) == set.Len() {
		status, answer["status"] = http.StatusServiceUnavailable, "not ready"
	}
	oauth.WriteJSON(w, status, answer)
}
