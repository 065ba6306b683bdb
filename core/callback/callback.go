// Package callback is where the upstream sends the user back to. It owns
// turning the upstream's answer into a grant, or into a visitor of the
// connections page, and sending the browser on; it leaves the conversation with
// the upstream to the provider, the session to package session and the grant to
// package grant.
package callback

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/hashicorp/go-hclog"
	"slices"

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

// Endpoint answers /callback.
type Endpoint struct {
	Clients  *client.Registry
	Sessions *session.Store
	Grants   *grant.Store
	Audit    *audit.Log
	Log      *oplog.Log

	// Unrefreshed notes the tenants whose missing refresh tokens were reported.
	Unrefreshed sync.Map
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{Path: tenant.CallbackPath, Methods: []string{http.MethodGet}, Cost: tenant.Login, Audience: tenant.People, Handle: e.callback}}
}

func (e *Endpoint) callback(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	s, err := e.Sessions.Take(r.Context(), w, r, t, r.URL.Query().Get("state"))
	switch {
	case err != nil: // perhaps another browser's answer: an operator sees who tries
		err = withAnswer(err, r.URL.Query())
		e.Audit.Refuse(r.Context(), r.RemoteAddr, audit.Event{Action: audit.LoginFailed, Tenant: t.Name, Reason: err.Error()})
		return err
	case s.SignIn:
		return e.signIn(w, r, t, s)
	}
	return e.login(w, r, t, s)
}

// login ends at the client, with a code or an error.
func (e *Endpoint) login(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, s session.Session) error {
	req := s.Request
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
	answer.Code, err = e.grant(r, t, c, s, &event)
	if err != nil {
		event.Reason = reason(err)
		answer.Err = e.Log.LoginFailed(r.Context(), t.Name, upstream.StepLogin, err)
	}
	e.Audit.Record(r.Context(), event)
	target.Redirect(w, answer)
	return nil
}

// grant gets the credential and stores the grant. Its errors are fit for the
// client; event learns how it went.
func (e *Endpoint) grant(r *http.Request, t *tenant.Tenant, c *client.Client, s session.Session, event *audit.Event) (code string, err error) {
	cred, err := exchange(r, t, s)
	if err != nil {
		return "", err
	}
	event.Subject, event.Upstream = cred.Account.ID, t.UpstreamIdentity()
	if ok, why := t.Accounts.Admits(cred.Account, t.Provider.Describe().Issuer); !ok {
		// The credential is dropped, not revoked: see RATIONALE.
		event.Action = audit.AccountRefused
		return "", &oauth.Error{
			Code: oauth.AccessDenied, Cause: errors.New(why),
			Description: "this account may not use this server; log in with another one, or ask whoever runs the server",
		}
	}
	if err := e.Audit.Check(); err != nil {
		return "", oauth.Unavailable(err)
	}
	code, err = e.Grants.Create(r.Context(), t, grant.New{
		ClientID: c.ID, ClientName: c.Name, RedirectURI: s.Request.RedirectURI, Challenge: s.Request.Challenge,
		Resource: s.Request.Resource, Scopes: granted(s.Request.Scopes, cred.Scopes), Credential: cred,
	})
	if err != nil {
		return "", oauth.Unavailable(err)
	}
	event.Action = audit.CodeIssued
	e.Clients.LoggedIn(c)
	e.noteRefresh(r, t, cred)
	return code, nil
}

// reason is err for the audit line, with the kind of what the upstream said.
func reason(err error) string {
	if e, ok := errors.AsType[*upstream.Error](err); ok {
		return string(e.Kind) + ": " + err.Error()
	}
	return err.Error()
}

// noteRefresh tells the operator of the first login of a tenant that brought no
// refresh token although the provider's refresh rules expect one.
func (e *Endpoint) noteRefresh(r *http.Request, t *tenant.Tenant, cred *upstream.Credential) {
	d := t.Provider.Describe()
	if !cred.RefreshToken.IsZero() || cred.ExpiresAt.IsZero() || !d.CanRefresh || d.Refresh.None {
		return
	}
	if _, told := e.Unrefreshed.LoadOrStore(t.Name, true); told {
		return
	}
	e.Log.Write(hclog.Warn, "the upstream sent no refresh token: users have to log in again when its access token ends", []any{"tenant", t.Name},
		"access_token_ends", cred.ExpiresAt, "request", middleware.GetReqID(r.Context()),
		"remedy", "ask for one: add offline_access to the tenant's scopes, or access_type: offline to settings/authorize_params; "+
			"if the upstream issues none, set settings/refresh_policy: none")
}

// withAnswer adds to a refused callback what the upstream said in it, for the
// log: without a session nothing else keeps it.
func withAnswer(err error, query url.Values) error {
	if !query.Has("error") {
		return err
	}
	said := fmt.Errorf("the upstream answered error=%.100q, error_description=%.200q", query.Get("error"), query.Get("error_description"))
	fault := *oauth.AsError(err)
	fault.Cause = said
	if cause := oauth.AsError(err).Cause; cause != nil {
		fault.Cause = fmt.Errorf("%w; %w", cause, said)
	}
	return &fault
}

// signIn ends at the connections page. Of the credential it needs the account
// alone, and drops the rest; revoking it could end the user's connections (see
// RATIONALE). The tenant's policy has no say: whoever is not admitted any more
// must still be able to end what there is.
func (e *Endpoint) signIn(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, s session.Session) error {
	event := audit.Event{Action: audit.LoginFailed, Tenant: t.Name}
	cred, err := exchange(r, t, s)
	if err != nil {
		event.Reason = reason(err)
		_ = e.Log.LoginFailed(r.Context(), t.Name, upstream.StepSignIn, err) // the page says that it failed
		e.Audit.Record(r.Context(), event)
		pages.SeeSignInFailed(w, t, middleware.GetReqID(r.Context()))
		return nil
	}
	event.Action, event.Subject, event.Upstream = audit.SignedIn, cred.Account.ID, t.UpstreamIdentity()
	if err := e.Sessions.Welcome(w, t, session.Visitor{Subject: cred.Account.ID, Name: cred.Account.Name, Mark: t.Mark()}); err != nil {
		return err
	}
	e.Audit.Record(r.Context(), event)
	pages.SeeConnections(w, t, pages.NoNotice)
	return nil
}

// exchange gets the credential, with an account and a token in it. Its errors
// are fit for the client.
func exchange(r *http.Request, t *tenant.Tenant, s session.Session) (*upstream.Credential, error) {
	if err := checkIssuer(t.Provider.Describe().CallbackIssuer, r.URL.Query()); err != nil {
		return nil, err
	}
	cred, err := t.Provider.Exchange(r.Context(), upstream.ExchangeRequest{
		Query: r.URL.Query(), CodeVerifier: s.Verifier, Scopes: t.UpstreamScopes(s.Request.Scopes),
		Needs: t.Accounts.Needs(),
	})
	if err != nil {
		return nil, upstream.ToOAuth(upstream.StepLogin, err)
	}
	if cred.Account.ID == "" || cred.AccessToken.IsZero() {
		return nil, upstream.ToOAuth(upstream.StepLogin, &upstream.Error{Kind: upstream.Bug, Detail: "the provider returned no account or no access token"})
	}
	return cred, nil
}

// checkIssuer refuses a callback that does not carry the issuer demanded, once
// (RFC 9207 §2.4). It says whose code came, so it is checked before anything is
// sent.
func checkIssuer(want string, query url.Values) error {
	if want == "" || slices.Equal(query["iss"], []string{want}) {
		return nil
	}
	return &oauth.Error{
		Code: oauth.AccessDenied, Description: "the answer of this login came from another upstream service than the one asked; start again",
		Cause: &issuerError{want: want, got: query["iss"]},
	}
}

// issuerError is a callback that does not carry the issuer demanded.
type issuerError struct {
	want string
	got  []string
}

// Error implements error.
func (e *issuerError) Error() string {
	switch len(e.got) {
	case 0:
		return "callback: it has no iss (RFC 9207), and settings/require_iss demands " + e.want
	case 1:
		return fmt.Sprintf("callback: iss is %.200q and not the issuer %s (RFC 9207)", e.got[0], e.want)
	}
	return "callback: it has more than one iss (RFC 9207)"
}

// Remedy implements oplog.Remedied.
func (e *issuerError) Remedy() string {
	if len(e.got) == 0 {
		return "if the upstream sends no iss, set settings/require_iss: false and give each tenant a callback of its own"
	}
	return "if that is the tenant's upstream, set its issuer as iss has it; otherwise the user was sent here by another upstream, and starts again"
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
