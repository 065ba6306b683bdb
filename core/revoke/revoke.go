// Package revoke is the revocation endpoint (RFC 7009): a client gives back
// what it was granted. It owns the request and its answer; it leaves what a
// token stands for to package grant and the upstream's half to package
// credential.
package revoke

import (
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers /revoke.
type Endpoint struct {
	Clients *client.Registry
	Grants  *grant.Store
	Keeper  *credential.Keeper
	Audit   *audit.Log
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{
		Path: "/revoke", Methods: []string{http.MethodPost}, Advertise: "revocation_endpoint",
		Callers: tenant.Clients, Audience: tenant.Programs, Handle: e.revoke,
	}}
}

func (e *Endpoint) revoke(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	params, err := oauth.FormParams(r)
	if err != nil {
		return err
	}
	event := audit.Event{Action: audit.Revoked, Tenant: t.Name}
	live, err := e.end(r, t, params, &event)
	if err != nil {
		event.Action, event.Reason = audit.RevokeRefused, reason(err)
		e.Audit.Refuse(r.Context(), r.RemoteAddr, event)
	} else {
		e.Audit.Record(r.Context(), event)
	}
	if err = wire(err); err != nil {
		return err
	}
	if live != nil {
		e.Keeper.Revoke(r.Context(), t, live)
	}
	// RFC 7009 §2.2: the status says it all, the client ignores a body.
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

// end authenticates the client (RFC 7009 §2.1) and deletes the grant.
// token_type_hint is not looked at: a token says itself what it is, and RFC
// 7009 §2.1 lets a server that can tell ignore the hint.
func (e *Endpoint) end(r *http.Request, t *tenant.Tenant, p oauth.Params, event *audit.Event) (*grant.Live, error) {
	c, err := e.Clients.Authenticate(r.Context(), t, r, p)
	if err != nil {
		return nil, err
	}
	event.Client = grant.HashClient(c.ID)
	if p.Get("token") == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "token is missing")
	}
	live, err := e.Grants.Revoke(r.Context(), t, p.Get("token"), c.ID)
	if err != nil {
		return nil, err
	}
	event.Grant, event.Subject, event.Upstream = live.ID, live.Record.Subject, live.Record.Upstream
	return live, nil
}

// wire is what the client is told. A token that counts for nothing is as good
// as revoked (RFC 7009 §2.2), one of another client is refused (§2.1), with
// the code that RFC 6749 §5.2 has for it. Everything else is the store's
// failure: 503 makes the client come again (§2.2.1).
func wire(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*oauth.Error](err); ok {
		return err
	}
	switch grant.ReasonOf(err) {
	case "":
		return oauth.Unavailable(err)
	case grant.WrongClient:
		return &oauth.Error{Code: oauth.InvalidGrant, Description: "the token was issued to another client", Cause: err}
	}
	return nil
}

func reason(err error) string {
	if r := grant.ReasonOf(err); r != "" {
		return string(r)
	}
	return string(oauth.AsError(wire(err)).Code)
}
