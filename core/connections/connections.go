// Package connections is the page where a user sees which applications they
// connected and ends what they no longer want. It owns who may look and act
// there: whoever signs in through the upstream, for a quarter of an hour. It
// leaves the sign-in's way back to package callback, what a grant is to package
// grant, and the words to package pages.
package connections

import (
	"context"
	"net/http"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/pages"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// Endpoint answers /connections.
type Endpoint struct {
	Sessions *session.Store
	Grants   *grant.Store
	Pages    *pages.Pages
	Audit    *audit.Log
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{
		Path: tenant.ConnectionsPath, Methods: []string{http.MethodGet, http.MethodPost}, Cost: tenant.Login,
		Audience: tenant.People, Handle: e.serve,
	}}
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	if r.Method == http.MethodPost {
		return e.act(w, r, t)
	}
	return e.show(w, r, t)
}

// show answers the page for whoever is signed in, or the way to sign in.
func (e *Endpoint) show(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	v := e.Sessions.Visitor(r, t)
	form, err := e.Sessions.SealVisit(w, r, t, v)
	if err != nil {
		return err
	}
	page := pages.Connections{
		Tenant: pages.Of(t), Notice: pages.NoticeOf(r), RequestID: pages.FailedRequestOf(r), Action: t.Issuer + tenant.ConnectionsPath, Request: form,
		SignedIn: v.Subject != "", AccountName: v.Name,
	}
	if page.SignedIn {
		grants, whole, err := e.Grants.OfAccount(r.Context(), t, v.Account())
		if err != nil {
			return oauth.Unavailable(err)
		}
		page.Partial = !whole
		for _, g := range grants {
			page.Connections = append(page.Connections, shown(t, g))
		}
	}
	e.Pages.Connections(w, page)
	return nil
}

func shown(t *tenant.Tenant, g grant.Summary) pages.Connection {
	host, custom := oauth.Shown(g.RedirectURI)
	return pages.Connection{
		ID: g.ID, ClientName: g.ClientName, RedirectHost: host, CustomScheme: custom, Loopback: oauth.Loopback(g.RedirectURI),
		Scopes: pages.ScopesOf(t, g.Scopes), Created: g.Created, LastUsed: g.LastUsed, Expires: g.Expires,
		Pending: g.State == grant.Pending, NeedsLogin: g.State == grant.NeedsLogin,
	}
}

// act does what a button of the page says. A form that does not count changes
// nothing, and the page that its user gets instead shows how things are.
func (e *Endpoint) act(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	params, err := oauth.FormParams(r)
	if err != nil {
		return err
	}
	v, err := e.Sessions.OpenVisit(r, t, params.Get("request"))
	if err != nil {
		pages.SeeConnections(w, t, pages.Stale)
		return nil //nolint:nilerr // the page tells its user
	}
	do, notice := params.Get("do"), pages.Stale
	switch {
	case do == pages.DoSignIn:
		return e.signIn(w, r, t)
	case v.Subject == "": // nobody is signed in
	case do == pages.DoSignOut:
		e.Sessions.Farewell(w, t)
		notice = pages.SignedOut
	case do == pages.DoEndAll:
		notice, err = pages.AllEnded, e.endAll(r.Context(), t, v)
	case params.Get("end") != "":
		notice, err = pages.Ended, e.end(r.Context(), t, v, params.Get("end"))
	}
	if err != nil {
		return oauth.Unavailable(err)
	}
	pages.SeeConnections(w, t, notice)
	return nil
}

// signIn takes the browser to the upstream, by a page in between: form-action
// would keep Chromium from following a redirect there.
func (e *Endpoint) signIn(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	location, err := e.Sessions.SignIn(r.Context(), w, t)
	if err != nil {
		return upstream.ToOAuth(upstream.StepCall, err)
	}
	about := pages.Of(t)
	e.Pages.Continue(w, pages.Continue{Tenant: about, Target: location, TargetName: about.UpstreamName})
	return nil
}

// endAll ends what the page lists.
func (e *Endpoint) endAll(ctx context.Context, t *tenant.Tenant, v session.Visitor) error {
	grants, _, err := e.Grants.OfAccount(ctx, t, v.Account())
	if err != nil {
		return err
	}
	for _, g := range grants {
		if err := e.end(ctx, t, v, g.ID); err != nil {
			return err
		}
	}
	return nil
}

// end ends one grant. One that is gone, or was never this user's, is no error:
// a button that is pressed twice does once what it says.
func (e *Endpoint) end(ctx context.Context, t *tenant.Tenant, v session.Visitor, id string) error {
	g, err := e.Grants.EndOfAccount(ctx, t, v.Account(), id)
	if grant.ReasonOf(err) == grant.Gone {
		return nil
	}
	if err != nil {
		return err
	}
	e.Audit.Record(ctx, audit.Event{Action: audit.Ended, Tenant: t.Name, Client: g.ClientHash, Subject: v.Subject, Upstream: v.Upstream, Grant: g.ID})
	return nil
}
