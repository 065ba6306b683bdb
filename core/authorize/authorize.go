// Package authorize is the authorization endpoint and the one where requests
// to it are pushed ahead (RFC 9126): it decides whether a request is valid and
// puts the question to the user. It owns the order of the checks, above all that
// nothing redirects before client and redirect URI are known to belong together;
// it leaves the user's answer to package consent and the way back to package
// callback.
package authorize

import (
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/pages"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers /authorize and /par.
type Endpoint struct {
	Clients  *client.Registry
	Sessions *session.Store
	Pages    *pages.Pages
	Audit    *audit.Log
	// ConsentPath is where the consent form is posted, below the tenant's URL.
	ConsentPath string
}

// Routes returns the endpoint's routes. RFC 9126 §5 has no member for how
// clients authenticate at /par: as at the token endpoint.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{
		{
			Path: "/authorize", Methods: []string{http.MethodGet}, Advertise: "authorization_endpoint",
			Cost: tenant.Login, Audience: tenant.People, Handle: e.authorize,
		},
		{
			Path: "/par", Methods: []string{http.MethodPost}, Advertise: "pushed_authorization_request_endpoint",
			Audience: tenant.Programs, Handle: e.push,
		},
	}
}

func (e *Endpoint) authorize(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	params, paramsErr := oauth.QueryParams(r)

	// Until client and redirect URI are known to belong together, errors stay
	// on a page of ours (RFC 6749 §4.1.2.1).
	from, err := e.whoAndWhere(r, t, params)
	if err != nil {
		e.audit(r, t, params.Get("client_id"), err)
		return err
	}

	// From here on the client learns of everything, with iss and its state.
	var req session.Request
	switch {
	case from.pushed != nil: // RFC 9101 §6.3: nothing beside it counts
		req = *from.pushed
		req.Scopes = oauth.GrantScopes(req.Scopes, t.Offered()) // RFC 9126 §4: by the policy of now
	case paramsErr != nil:
		req.State, err = params.Get("state"), paramsErr
	default:
		req, err = validate(t, from.client, from.target, params)
	}
	if err == nil && req.Prompt == oauth.PromptNone {
		err = oauth.Errorf(oauth.InteractionRequired, "the user is asked every time")
	}
	if err != nil {
		e.audit(r, t, from.client.ID, err)
		from.target.Redirect(w, oauth.AuthorizationResponse{Issuer: t.Issuer, State: req.State, Err: oauth.AsError(err)})
		return nil
	}
	form, err := e.Sessions.SealForm(w, r, t, req)
	if err != nil {
		return err
	}
	e.Pages.Consent(w, e.question(t, from, req, form))
	return nil
}

// origin is whom a request comes from and where it may be answered.
type origin struct {
	client *client.Client
	target oauth.Target
	pushed *session.Request // what the client pushed ahead, if it did
}

// whoAndWhere finds the origin of a request.
func (e *Endpoint) whoAndWhere(r *http.Request, t *tenant.Tenant, params oauth.Params) (from origin, err error) {
	if err = params.Once("client_id", "redirect_uri", "request_uri"); err != nil {
		return from, err
	}
	if params.Get("client_id") == "" {
		return from, oauth.Errorf(oauth.InvalidRequest, "client_id is missing")
	}
	from.client, err = e.Clients.Find(r.Context(), t, params.Get("client_id"))
	if errors.Is(err, client.ErrUnknown) {
		return from, oauth.Errorf(oauth.InvalidClient, "This application is not registered here. Remove the connection in the application and add it again.")
	}
	if err != nil {
		return from, err
	}
	redirectURI := params.Get("redirect_uri")
	if uri := params.Get("request_uri"); uri != "" {
		req, err := e.Sessions.OpenPushed(t, from.client.ID, uri)
		if err != nil {
			return from, err
		}
		from.pushed, redirectURI = &req, req.RedirectURI
	}
	from.target, err = from.client.Match(t, redirectURI)
	return from, err
}

// validate checks everything else, for /authorize and /par alike. The Request
// beside an error has the state for the answer.
func validate(t *tenant.Tenant, c *client.Client, target oauth.Target, params oauth.Params) (session.Request, error) {
	req := session.Request{
		ClientID:    c.ID,
		RedirectURI: target.String(),
		State:       params.Get("state"),
		Resource:    t.Resource(),
		Scopes:      oauth.GrantScopes(oauth.ParseScope(params.Get("scope")), t.Offered()),
	}
	if params.Get("request") != "" { // RFC 9101 by value
		return req, oauth.Errorf(oauth.RequestNotSupported, "send the parameters themselves, here or to the pushed authorization request endpoint")
	}
	if params.Get("response_type") != "code" {
		return req, oauth.Errorf(oauth.UnsupportedResponseType, "response_type must be code")
	}
	if mode := params.Get("response_mode"); mode != "" && mode != "query" {
		return req, oauth.Errorf(oauth.InvalidRequest, "response_mode must be query")
	}
	for _, resource := range params.All("resource") {
		if !t.Accepts(resource) { // RFC 8707 §2: never silently another one
			return req, oauth.Errorf(oauth.InvalidTarget, "this server issues tokens for %s only", t.Resource())
		}
	}
	var err error
	if req.Challenge, err = oauth.ParseCodeChallenge(params.Get("code_challenge"), params.Get("code_challenge_method")); err != nil {
		return req, err
	}
	req.Prompt, err = oauth.ParsePrompt(params.Get("prompt"))
	return req, err
}

// question is the consent page of a valid request.
func (e *Endpoint) question(t *tenant.Tenant, from origin, req session.Request, form string) pages.Consent {
	host, custom := from.target.Shown()
	return pages.Consent{
		Tenant:       pages.Of(t),
		ClientName:   from.client.Name,
		ClientHost:   from.client.Host,
		Verified:     from.client.Verified,
		RedirectHost: host,
		CustomScheme: custom,
		Loopback:     from.target.Loopback(),
		RedirectURI:  from.target.String(),
		Scopes:       pages.ScopesOf(t, t.UpstreamScopes(req.Scopes)),
		Action:       t.Issuer + e.ConsentPath,
		Request:      form,
	}
}

func (e *Endpoint) audit(r *http.Request, t *tenant.Tenant, clientID string, err error) {
	e.Audit.Refuse(r.Context(), r.RemoteAddr, audit.Event{
		Action: audit.Refused, Tenant: t.Name, Client: grant.HashClient(clientID), Reason: oauth.AsError(err).Error(),
	})
}
