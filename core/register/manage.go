package register

import (
	"errors"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// manage answers the client configuration endpoint (RFC 7592 §2): GET reads
// the registration, DELETE ends it.
func (e *Endpoint) manage(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	reg, err := e.Clients.Manage(r.Context(), t, r.PathValue(idParameter), bearer(r))
	if errors.Is(err, client.ErrUnknown) {
		// RFC 7592 §2.1: 401 also for a client that is not there, never 404.
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		return oauth.Errorf(oauth.InvalidToken, "no such client, or not its registration access token")
	}
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet {
		oauth.WriteJSON(w, http.StatusOK, describe(t, reg, metadata{GrantTypes: grantTypes(), ResponseTypes: responseTypes()}))
		return nil
	}
	if err := e.Clients.Delete(r.Context(), t, reg); err != nil {
		return err
	}
	e.Audit.Record(r.Context(), audit.Event{Action: audit.ClientDeleted, Tenant: t.Name, Client: grant.HashClient(reg.ID)})
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// bearer returns the token of the Authorization header, or "".
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
