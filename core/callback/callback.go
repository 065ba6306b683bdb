// Package callback is where the upstream sends the user back to. It owns
// turning the upstream's answer into a grant and sending the browser back to
// the client; it leaves the conversation with the upstream to the provider, the
// session to package session and the grant to package grant.
package callback

import (
	"errors"
	"net/http"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// Path is the redirect URI to register at the upstream, below the tenant's URL.
const Path = "/callback"

// Endpoint answers /callback.
type Endpoint struct {
	Clients  *client.Registry
	Sessions *session.Store
	Grants   *grant.Store
	Audit    *audit.Log
	Log      hclog.Logger
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{Path: Path, Methods: []string{http.MethodGet}, Cost: tenant.Login, Audience: tenant.People, Handle: e.callback}}
}

func (e *Endpoint) callback(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	req, verifier, err := e.Sessions.Take(r.Context(), w, r, t, r.URL.Query().Get("state"))
	if err != nil {
		return err
	}
	c, err := e.Clients.Find(r.Context(), t, req.ClientID)
	if errors.Is(err, client.ErrUnknown) {
		return session.ErrGone
	}
	if err != nil {
		return err
	}
	target, err := c.Match(t, req.RedirectURI)
	if err != nil {
		return err
	}
	answer := oauth.AuthorizationResponse{Issuer: t.Issuer, State: req.State}
	event := audit.Event{Action: audit.LoginFailed, Tenant: t.Name, Client: grant.HashClient(c.ID)}
	answer.Code, err = e.finish(r, t, c, req, verifier, &event)
	if err != nil {
		event.Reason = err.Error()
		e.Log.Warn("login failed", "tenant", t.Name, "error", err)
		answer.Err = oauth.AsError(err)
	}
	e.Audit.Record(r.Context(), event)
	target.Redirect(w, answer)
	return nil
}

// finish gets the credential and stores the grant. Its errors are fit for the
// client; event learns how it went.
func (e *Endpoint) finish(r *http.Request, t *tenant.Tenant, c *client.Client, req session.Request, verifier seal.Secret, event *audit.Event) (code string, err error) {
	cred, err := t.Provider.Exchange(r.Context(), upstream.ExchangeRequest{
		Query: r.URL.Query(), CodeVerifier: verifier, Scopes: req.Scopes,
	})
	if err != nil {
		return "", upstream.ToOAuth(err)
	}
	if cred.Account.ID == "" || cred.AccessToken.IsZero() {
		return "", upstream.ToOAuth(&upstream.Error{Kind: upstream.Bug, Detail: "the provider returned no account or no access token"})
	}
	event.Subject = cred.Account.ID
	if ok, why := t.Accounts.Admits(cred.Account); !ok {
		// The credential is dropped, not revoked: see RATIONALE.
		event.Action = audit.AccountRefused
		return "", &oauth.Error{
			Code: oauth.AccessDenied, Cause: errors.New(why),
			Description: "this account may not use this server; log in with another one, or ask whoever runs the server",
		}
	}
	code, err = e.Grants.Create(r.Context(), t, grant.New{
		ClientID: c.ID, ClientName: c.Name, RedirectURI: req.RedirectURI, Challenge: req.Challenge,
		Resource: req.Resource, Scopes: granted(req.Scopes, cred.Scopes), Credential: cred,
	})
	if err != nil {
		return "", oauth.Unavailable(err)
	}
	event.Action = audit.CodeIssued
	return code, nil
}

// granted is what the client gets: what it asked for, less what the upstream
// says it did not give. An upstream that speaks of none of them (GitHub Apps
// have no scopes) is not telling.
func granted(asked, given []string) []string {
	if both := oauth.Intersect(asked, given); len(both) > 0 {
		return both
	}
	return asked
}
