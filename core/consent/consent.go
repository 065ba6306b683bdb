// Package consent takes the user's answer from the consent page. It owns what
// approving and denying lead to; it leaves the question to package authorize
// and what the upstream answers to package callback.
package consent

import (
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/oplog"
	"github.com/sallyport/sallyport/core/pages"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// Path is where the consent form is posted, below the tenant's URL.
const Path = "/consent"

// Endpoint answers the consent form.
type Endpoint struct {
	Clients  *client.Registry
	Sessions *session.Store
	Pages    *pages.Pages
	Audit    *audit.Log
	Log      *oplog.Log
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{Path: Path, Methods: []string{http.MethodPost}, Cost: tenant.Login, Audience: tenant.People, Handle: e.decide}}
}

// decide answers 200 with a page that navigates onward, never with a redirect:
// Chromium applies the consent page's form-action to the whole chain of
// redirects that a form's POST starts.
func (e *Endpoint) decide(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	req, target, decision, err := e.read(r, t)
	event := audit.Event{Tenant: t.Name}
	if req.ClientID != "" {
		event.Client = grant.HashClient(req.ClientID)
	}
	if err != nil { // perhaps a form from elsewhere: an operator sees who tries
		event.Action, event.Reason = audit.Refused, oauth.AsError(err).Error()
		e.Audit.Refuse(r.Context(), r.RemoteAddr, event)
		return err
	}
	name := pages.Of(t)

	// answer sends the browser back to the client with an error.
	answer := func(fault *oauth.Error) {
		host, _ := target.Shown()
		e.Pages.Continue(w, pages.Continue{
			Tenant: name, TargetName: host, Denied: fault.Code == oauth.AccessDenied,
			Target: target.Location(oauth.AuthorizationResponse{Issuer: t.Issuer, State: req.State, Err: fault}),
		})
	}
	if decision != "approve" {
		event.Action = audit.Denied
		e.Audit.Record(r.Context(), event)
		answer(oauth.Errorf(oauth.AccessDenied, "the user denied the request"))
		return nil
	}
	if err := e.Audit.Check(); err != nil {
		return oauth.Unavailable(err)
	}
	event.Action = audit.Consented
	e.Audit.Record(r.Context(), event)
	location, err := e.Sessions.Login(r.Context(), w, t, req)
	if err != nil {
		event.Action, event.Reason = audit.LoginFailed, err.Error()
		e.Audit.Record(r.Context(), event)
		if errors.Is(err, session.ErrSpent) {
			return err // the client has its answer, or will have it, from the first approval
		}
		answer(e.Log.LoginFailed(r.Context(), t.Name, upstream.StepAuthorize, upstream.ToOAuth(upstream.StepAuthorize, err)))
		return nil
	}
	e.Pages.Continue(w, pages.Continue{Tenant: name, Target: location, TargetName: name.UpstreamName})
	return nil
}

// read opens the form and checks once more that client and redirect URI
// belong together: what does not any more is not redirected to.
func (e *Endpoint) read(r *http.Request, t *tenant.Tenant) (req session.Request, target oauth.Target, decision string, err error) {
	params, err := oauth.FormParams(r)
	if err != nil {
		return req, target, "", err
	}
	if req, err = e.Sessions.OpenForm(r, t, params.Get("request")); err != nil {
		return req, target, "", err
	}
	c, err := e.Clients.Find(r.Context(), t, req.ClientID)
	if errors.Is(err, client.ErrUnknown) {
		return req, target, "", oauth.Errorf(oauth.InvalidClient, "This application is no longer registered here.")
	}
	if err != nil {
		return req, target, "", err
	}
	target, err = c.Match(t, req.RedirectURI)
	return req, target, params.Get("decision"), err
}
