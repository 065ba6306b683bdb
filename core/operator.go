package core

import (
	"context"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/sallyport/sallyport/core/oauth"
)

// Operator returns the handler for the operator's listener, which is not for
// the public: /healthz says that the process runs, /readyz that it can serve.
func (s *Server) Operator() http.Handler {
	mux := chi.NewRouter()
	mux.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		oauth.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.Get("/readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := s.cfg.Store.Ping(ctx); err != nil {
			oauth.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "store": err.Error()})
			return
		}
		oauth.WriteJSON(w, http.StatusOK, map[string]any{"status": "ready", "tenants": s.Tenants().Len()})
	})
	return mux
}
