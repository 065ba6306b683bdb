// Package introspect is the introspection endpoint (RFC 7662): a resource
// server asks what an access token stands for. It owns the request and its
// answer; it leaves who may ask to package resourceserver and the token's worth
// to package grant.
package introspect

import (
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/resourceserver"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers /introspect.
type Endpoint struct {
	Grants *grant.Store
	Audit  *audit.Log
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{
		Path: "/introspect", Methods: []string{http.MethodPost}, Advertise: "introspection_endpoint",
		// A resource server may ask for every call it gets, all from one address.
		Callers: tenant.ResourceServers, Cost: tenant.Free, Audience: tenant.Programs, Handle: e.introspect,
	}}
}

// answer describes an active token (RFC 7662 §2.2).
type answer struct {
	Active bool   `json:"active"`
	Scope  string `json:"scope,omitempty"`
	// ClientID is the hash of the client id, the name that grants and audit
	// lines have for a client. The id itself is not kept; it would be a page
	// long for a client that registered itself, and a resource server needs to
	// tell clients apart, not to act as one.
	ClientID  string `json:"client_id"`
	Subject   string `json:"sub"`
	Username  string `json:"username,omitempty"`
	TokenType string `json:"token_type"`
	Expires   int64  `json:"exp"`
	Issued    int64  `json:"iat,omitzero"`
	Audience  string `json:"aud"`
	Issuer    string `json:"iss"`
}

// inactive is all that is said of any other token (RFC 7662 §2.2).
type inactive struct {
	Active bool `json:"active"`
}

// introspect answers with no-store, like every endpoint that WriteJSON answers
// for. RFC 7662 §4 lets a resource server keep answers for a while; one that
// does decides itself for how long it takes a revoked token for good, and no
// cache on the way decides for it.
func (e *Endpoint) introspect(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	params, err := oauth.FormParams(r)
	if err != nil {
		return err
	}
	event := audit.Event{Action: audit.Rejected, Tenant: t.Name}
	server, err := resourceserver.Authenticate(t, r, params) // RFC 7662 §2.1: against token scanning
	if err != nil {
		event.Reason = string(oauth.AsError(err).Code)
		e.Audit.Refuse(r.Context(), r.RemoteAddr, event)
		return err
	}
	event.Server = server.ID
	if params.Get("token") == "" {
		return oauth.Errorf(oauth.InvalidRequest, "token is missing")
	}
	// Only an access token is active: a resource server is never meant to see
	// another one, and could take it for an access token.
	live, err := e.Grants.Verify(r.Context(), t, params.Get("token"))
	switch why := grant.ReasonOf(err); {
	case why != "":
		event.Reason = string(why)
		e.Audit.Refuse(r.Context(), r.RemoteAddr, event)
		oauth.WriteJSON(w, http.StatusOK, inactive{})
		return nil
	case err != nil:
		return oauth.Unavailable(err)
	}
	oauth.WriteJSON(w, http.StatusOK, describe(t, live))
	return nil
}

func describe(t *tenant.Tenant, l *grant.Live) answer {
	return answer{
		Active: true, TokenType: "Bearer",
		Scope: strings.Join(l.Record.Scopes, " "), ClientID: l.Record.ClientHash,
		Subject: l.Record.Subject, Username: l.Record.AccountName,
		Expires: l.Token.Expires.Unix(), Issued: seconds(l.Token.Issued),
		Audience: t.Resource(), Issuer: t.Issuer,
	}
}

// seconds is a NumericDate, 0 for an unknown time.
func seconds(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Unix()
}
