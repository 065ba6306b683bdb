// Package tokens is the token endpoint: one pipeline for every grant type. The
// pipeline parses, authenticates the client, runs the grant type's exchange,
// writes the answer and the audit line, so that a grant type cannot forget a
// step; it leaves what a code or refresh token is worth to package grant.
package tokens

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers /token.
type Endpoint struct {
	Clients *client.Registry
	Grants  *grant.Store
	Audit   *audit.Log
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{
		Path: "/token", Methods: []string{http.MethodPost}, Advertise: "token_endpoint",
		Audience: tenant.Programs, Handle: e.token,
	}}
}

// grantType is one way to get tokens. The client is authenticated when it runs.
type grantType struct {
	action   audit.Action // on success
	exchange func(e *Endpoint, ctx context.Context, t *tenant.Tenant, c *client.Client, p oauth.Params) (*grant.Tokens, error)
}

// grantTypes holds the pipeline's variants by their name on the wire.
func grantTypes() map[string]grantType {
	return map[string]grantType{
		"authorization_code": {audit.TokenIssued, (*Endpoint).code},
		"refresh_token":      {audit.Refreshed, (*Endpoint).refresh},
	}
}

// GrantTypes lists the grant types for the metadata.
func GrantTypes() []string { return []string{"authorization_code", "refresh_token"} }

// answer is the token response (RFC 6749 §5.1).
type answer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope,omitempty"`
}

func (e *Endpoint) token(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	params, err := oauth.FormParams(w, r)
	if err != nil {
		return err
	}
	kind, ok := grantTypes()[params.Get("grant_type")]
	if !ok {
		return oauth.Errorf(oauth.UnsupportedGrantType, "grant_type must be one of: %s", strings.Join(GrantTypes(), ", "))
	}
	event := audit.Event{Action: kind.action, Tenant: t.Name}
	// The client first: a stranger must not be able to spend a code.
	c, err := e.Clients.Authenticate(r.Context(), t, r, params)
	var tokens *grant.Tokens
	if err == nil {
		event.Client = grant.HashClient(c.ID)
		tokens, err = kind.exchange(e, r.Context(), t, c, params)
	}
	if err != nil {
		event.Action, event.Reason = audit.TokenRefused, reason(err)
		e.Audit.Record(r.Context(), event)
		return wire(err)
	}
	event.Grant, event.Subject = tokens.Grant.ID, tokens.Grant.Record.Subject
	e.Audit.Record(r.Context(), event)
	oauth.WriteJSON(w, http.StatusOK, answer{
		AccessToken:  tokens.Access,
		TokenType:    "Bearer",
		ExpiresIn:    int64(tokens.ExpiresIn / time.Second),
		RefreshToken: tokens.Refresh,
		Scope:        strings.Join(tokens.Grant.Record.Scopes, " "), // RFC 6749 §5.1: what was granted
	})
	return nil
}

func (e *Endpoint) code(ctx context.Context, t *tenant.Tenant, c *client.Client, p oauth.Params) (*grant.Tokens, error) {
	if p.Get("code") == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "code is missing")
	}
	return e.Grants.Redeem(ctx, t, p.Get("code"), grant.Presented{
		ClientID: c.ID, RedirectURI: p.Get("redirect_uri"), Verifier: p.Get("code_verifier"), Resources: resources(t, p),
	})
}

func (e *Endpoint) refresh(ctx context.Context, t *tenant.Tenant, c *client.Client, p oauth.Params) (*grant.Tokens, error) {
	if p.Get("refresh_token") == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "refresh_token is missing")
	}
	return e.Grants.Refresh(ctx, t, p.Get("refresh_token"), grant.Presented{
		ClientID: c.ID, Resources: resources(t, p), Scopes: oauth.ParseScope(p.Get("scope")),
	})
}

// resources returns the resource parameters in the tenant's own spelling where
// they name its resource, and as they are where they do not.
func resources(t *tenant.Tenant, p oauth.Params) []string {
	all := p.All("resource")
	for i, resource := range all {
		if t.Accepts(resource) {
			all[i] = t.Resource()
		}
	}
	return all
}

// wire is what the client is told. A token that does not count is
// invalid_grant (RFC 6749 §5.2), whatever the reason; an error that is neither
// a refusal nor the request's fault is the store's, and must not make the
// client throw its tokens away.
func wire(err error) error {
	if _, ok := errors.AsType[*oauth.Error](err); ok {
		return err
	}
	if grant.ReasonOf(err) != "" {
		return &oauth.Error{Code: oauth.InvalidGrant, Description: "the code or token is invalid, expired or was used before", Cause: err}
	}
	return oauth.Unavailable(err)
}

func reason(err error) string {
	if r := grant.ReasonOf(err); r != "" {
		return string(r)
	}
	return string(oauth.AsError(wire(err)).Code)
}
