// Package tokens is the token endpoint: one pipeline for every grant type. The
// pipeline parses, authenticates the caller as the grant type says, runs the
// grant type's exchange, writes the answer and the audit line, so that a grant
// type cannot forget a step; it leaves what a token is worth to package grant
// and a fresh upstream token to package credential.
package tokens

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/resourceserver"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers /token.
type Endpoint struct {
	Clients *client.Registry
	Grants  *grant.Store
	Keeper  *credential.Keeper
	Audit   *audit.Log
	Log     hclog.Logger
	Now     func() time.Time
	// Repeated counts a refresh token that came again, by tenant and by what
	// became of it. nil: it is not counted.
	Repeated func(tenantName string, what RepeatOutcome)
}

// RepeatOutcome says what became of a refresh token that came again.
type RepeatOutcome string

// The outcomes, a closed set: they are labels of a metric.
const (
	RepeatAnswered RepeatOutcome = "answered" // within the reuse window, as clients do
	RepeatSuspect  RepeatOutcome = "suspect"  // answered too, but it came again often or from another network
	RepeatEnded    RepeatOutcome = "ended"    // it was older, or one too many from elsewhere: the grant ended
)

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{
		Path: "/token", Methods: []string{http.MethodPost}, Advertise: "token_endpoint",
		Callers: tenant.Clients, Audience: tenant.Programs, Handle: e.token,
	}}
}

// grantType is one way to get tokens.
type grantType struct {
	name    string       // on the wire
	action  audit.Action // on success
	refused oauth.Code   // what a token that does not count is called
	// authenticate finds the caller among those whom the grant type is for.
	authenticate func(e *Endpoint, r *http.Request, t *tenant.Tenant, p oauth.Params) (caller, error)
	// exchange runs when the caller is authenticated.
	exchange func(e *Endpoint, ctx context.Context, t *tenant.Tenant, c caller, p oauth.Params) (*outcome, error)
}

// grantTypes holds the pipeline's variants at a tenant. RFC 6749 §5.2 and RFC
// 8693 §2.2.2 differ in the code of a refusal.
func grantTypes(t *tenant.Tenant) []grantType {
	all := []grantType{
		{"authorization_code", audit.TokenIssued, oauth.InvalidGrant, (*Endpoint).client, (*Endpoint).code},
		{"refresh_token", audit.Refreshed, oauth.InvalidGrant, (*Endpoint).client, (*Endpoint).refresh},
	}
	if len(t.ResourceServers) > 0 {
		const exchange = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693 §2.1
		all = append(all, grantType{exchange, audit.Exchanged, oauth.InvalidRequest, (*Endpoint).server, (*Endpoint).swap})
	}
	return all
}

// GrantTypes lists a tenant's grant types for the metadata.
func GrantTypes(t *tenant.Tenant) []string {
	var names []string
	for _, kind := range grantTypes(t) {
		names = append(names, kind.name)
	}
	return names
}

// caller is who sent a request, by id: a client or a resource server.
type caller struct{ client, server string }

func (e *Endpoint) server(r *http.Request, t *tenant.Tenant, p oauth.Params) (caller, error) {
	s, err := resourceserver.Authenticate(t, r, p)
	if err != nil {
		return caller{}, err
	}
	return caller{server: s.ID}, nil
}

func (e *Endpoint) client(r *http.Request, t *tenant.Tenant, p oauth.Params) (caller, error) {
	c, err := e.Clients.Authenticate(r.Context(), t, r, p)
	if err != nil {
		return caller{}, err
	}
	return caller{client: c.ID}, nil
}

// outcome is what an exchange ends with.
type outcome struct {
	answer   answer
	grant    *grant.Live
	repeated RepeatOutcome // of a refresh token of before; empty: it was the current one
}

// answer is the token response (RFC 6749 §5.1, RFC 8693 §2.2.1).
type answer struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type,omitempty"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in,omitzero"` // absent: unknown
	RefreshToken    string `json:"refresh_token,omitempty"`
	Scope           string `json:"scope,omitempty"`
}

func (e *Endpoint) token(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	params, err := oauth.FormParams(r)
	if err != nil {
		return err
	}
	if params.Get("grant_type") == "" { // RFC 6749 §5.2: missing is another fault than unknown
		return oauth.Errorf(oauth.InvalidRequest, "grant_type is missing")
	}
	all := grantTypes(t)
	at := slices.IndexFunc(all, func(kind grantType) bool { return kind.name == params.Get("grant_type") })
	if at < 0 {
		return oauth.Errorf(oauth.UnsupportedGrantType, "grant_type must be one of: %s", strings.Join(GrantTypes(t), ", "))
	}
	kind := all[at]
	event := audit.Event{Action: kind.action, Tenant: t.Name}
	done, err := e.run(r, t, kind, params, &event)
	if err != nil {
		if grant.ReasonOf(err) == grant.RefreshReuse {
			e.countRepeat(t, RepeatEnded)
		}
		event.Action, event.Reason = audit.TokenRefused, reason(err)
		e.Audit.Refuse(r.Context(), r.RemoteAddr, event)
		return wire(kind.refused, err)
	}
	if done.repeated != "" {
		e.countRepeat(t, done.repeated)
		event.Reason = "repeated: " + string(done.repeated)
	}
	e.Audit.Record(r.Context(), event)
	oauth.WriteJSON(w, http.StatusOK, done.answer)
	return nil
}

// run authenticates and exchanges, and notes in event what is known of both.
func (e *Endpoint) run(r *http.Request, t *tenant.Tenant, kind grantType, p oauth.Params, event *audit.Event) (*outcome, error) {
	if err := e.Audit.Check(); err != nil {
		return nil, oauth.Unavailable(err)
	}
	// The caller first: a stranger must not be able to spend a code.
	c, err := kind.authenticate(e, r, t, p)
	if err != nil {
		return nil, err
	}
	event.Server = c.server
	if c.client != "" {
		event.Client = grant.HashClient(c.client)
	}
	done, err := kind.exchange(e, r.Context(), t, c, p)
	if err != nil {
		return nil, err
	}
	event.Grant, event.Client = done.grant.ID, done.grant.Record.ClientHash
	event.Subject, event.Upstream = done.grant.Record.Subject, done.grant.Record.Upstream
	return done, nil
}

func (e *Endpoint) code(ctx context.Context, t *tenant.Tenant, c caller, p oauth.Params) (*outcome, error) {
	if p.Get("code") == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "code is missing")
	}
	return issued(e.Grants.Redeem(ctx, t, p.Get("code"), grant.Presented{
		ClientID: c.client, RedirectURI: p.Get("redirect_uri"), Verifier: p.Get("code_verifier"), Resources: resources(t, p),
	}))
}

func (e *Endpoint) refresh(ctx context.Context, t *tenant.Tenant, c caller, p oauth.Params) (*outcome, error) {
	if p.Get("refresh_token") == "" {
		return nil, oauth.Errorf(oauth.InvalidRequest, "refresh_token is missing")
	}
	tokens, err := e.Grants.Refresh(ctx, t, p.Get("refresh_token"), grant.Presented{
		ClientID: c.client, Resources: resources(t, p), Scopes: oauth.ParseScope(p.Get("scope")), Network: network(ctx),
	})
	if err == nil && tokens.Repeated != nil && tokens.Repeated.Suspect() {
		e.Log.Warn("a refresh token came again more often than a client's second try, or from another network; "+
			"if that goes on, another program has a copy of it: end the grant with sallyport grant revoke",
			"tenant", t.Name, "grant", tokens.Grant.ID, "times", tokens.Repeated.Count, "elsewhere", tokens.Repeated.Elsewhere,
			"request", middleware.GetReqID(ctx))
	}
	done, err := issued(tokens, err)
	if err == nil && tokens.Repeated != nil {
		done.repeated = RepeatAnswered
		if tokens.Repeated.Suspect() {
			done.repeated = RepeatSuspect
		}
	}
	return done, err
}

// countRepeat counts a refresh token that came again.
func (e *Endpoint) countRepeat(t *tenant.Tenant, what RepeatOutcome) {
	if e.Repeated != nil {
		e.Repeated(t.Name, what)
	}
}

// network is the widest network of the sender that counts as one.
func network(ctx context.Context) string {
	wider := remote.Wider(remote.FromContext(ctx))
	if len(wider) == 0 {
		return ""
	}
	return wider[len(wider)-1]
}

// issued is the outcome of an exchange that ends in tokens of ours.
func issued(tokens *grant.Tokens, err error) (*outcome, error) {
	if err != nil {
		return nil, err
	}
	return &outcome{grant: tokens.Grant, answer: answer{
		AccessToken:  tokens.Access,
		TokenType:    "Bearer",
		ExpiresIn:    int64(tokens.ExpiresIn / time.Second),
		RefreshToken: tokens.Refresh,
		Scope:        strings.Join(tokens.Grant.Record.Scopes, " "), // RFC 6749 §5.1: what was granted
	}}, nil
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

// wire is what the caller is told. A token that does not count is refused,
// whatever the reason; an error that is neither a refusal nor the request's
// fault is the store's, and must not make anybody throw tokens away.
func wire(refused oauth.Code, err error) error {
	if _, ok := errors.AsType[*oauth.Error](err); ok {
		return err
	}
	if grant.ReasonOf(err) != "" {
		return &oauth.Error{Code: refused, Description: "the code or token is invalid, expired or was used before", Cause: err}
	}
	return oauth.Unavailable(err)
}

// reason is err for the audit line.
func reason(err error) string {
	if r := grant.ReasonOf(err); r != "" {
		return string(r)
	}
	if fault, ok := errors.AsType[*oauth.Error](err); ok {
		return string(fault.Code)
	}
	return string(oauth.TemporarilyUnavailable)
}
