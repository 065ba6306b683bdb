// Package gateway is the protected resource: it checks the bearer token of
// every MCP call and passes the call on to the tenant's backend with the user's
// upstream token in place of ours. It owns what crosses to the backend and what
// comes back; it leaves the token's worth to package grant and a fresh upstream
// token to package credential.
package gateway

import (
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// Gateway answers /mcp.
type Gateway struct {
	grants  *grant.Store
	keeper  *credential.Keeper
	audit   *audit.Log
	log     hclog.Logger
	forward http.Handler
}

// New returns a gateway. Backends are reached through transport; they are the
// operator's own and may be anywhere, so it is not core/fetch.
func New(grants *grant.Store, keeper *credential.Keeper, auditLog *audit.Log, log hclog.Logger, transport http.RoundTripper) *Gateway {
	return &Gateway{grants: grants, keeper: keeper, audit: auditLog, log: log, forward: newForwarder(keeper, log, transport)}
}

// Routes returns the gateway's routes: both spellings, never a redirect
// between them, because clients drop Authorization on redirects.
func (g *Gateway) Routes() []tenant.Route {
	methods := []string{http.MethodPost, http.MethodGet, http.MethodDelete}
	return []tenant.Route{
		{Path: tenant.MCPPath, Methods: methods, Audience: tenant.MCPClients, Handle: g.serve},
		{Path: tenant.MCPPath + "/", Methods: methods, Audience: tenant.MCPClients, Handle: g.serve},
	}
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	live, cred, err := g.admit(r, t)
	if err != nil {
		return g.refuse(w, r, t, err)
	}
	g.forward.ServeHTTP(w, r.WithContext(withCall(r.Context(), &call{tenant: t, live: live, cred: cred})))
	return nil
}

// errNoToken is a request without credentials, the start of every login.
var errNoToken = errors.New("gateway: no token")

// admit checks the token and makes sure that the upstream credential behind it
// is good.
func (g *Gateway) admit(r *http.Request, t *tenant.Tenant) (*grant.Live, *upstream.Credential, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, nil, err
	}
	live, err := g.grants.Verify(r.Context(), t, token)
	if err != nil {
		return nil, nil, err
	}
	cred, err := g.keeper.Fresh(r.Context(), t, live)
	return live, cred, err
}

// bearer reads the token from the Authorization header. The query string is
// not looked at, except to say so (OAuth 2.1 §5.2).
func bearer(r *http.Request) (string, error) {
	header := r.Header.Values("Authorization")
	if len(header) > 1 {
		return "", oauth.Errorf(oauth.InvalidRequest, "send one Authorization header")
	}
	if strings.Contains(r.URL.RawQuery, "access_token=") {
		return "", oauth.Errorf(oauth.InvalidRequest, "send the access token in the Authorization header, never in the URL")
	}
	if len(header) == 0 {
		return "", errNoToken
	}
	scheme, token, _ := strings.Cut(header[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errNoToken // RFC 6750 §3.1: another scheme is no bearer credential
	}
	return strings.TrimSpace(token), nil
}

// refuse writes why a call was not passed on.
func (g *Gateway) refuse(w http.ResponseWriter, r *http.Request, t *tenant.Tenant, err error) error {
	challenge := oauth.Challenge{ResourceMetadata: t.ResourceMetadata(), Scopes: t.Offered()}
	if errors.Is(err, errNoToken) {
		challenge.Write(w, nil)
		return nil
	}
	g.audit.Record(r.Context(), audit.Event{Action: audit.Rejected, Tenant: t.Name, Reason: rejection(err)})
	fault := wire(err)
	if fault.StatusCode() >= http.StatusInternalServerError {
		return fault // logged by the server; no challenge: the token is good
	}
	challenge.Write(w, fault)
	return nil
}

// wire is what the client is told. Only a dead token is invalid_token: it
// makes the client log in again.
func wire(err error) *oauth.Error {
	switch {
	case grant.ReasonOf(err) != "", errors.Is(err, credential.ErrDead):
		return &oauth.Error{Code: oauth.InvalidToken, Description: "the access token is invalid or expired", Cause: err}
	default:
		if fault, ok := errors.AsType[*oauth.Error](err); ok {
			return fault
		}
		if _, ok := errors.AsType[*upstream.Error](err); ok {
			return upstream.ToOAuth(err)
		}
		return oauth.Unavailable(err)
	}
}

func rejection(err error) string {
	if r := grant.ReasonOf(err); r != "" {
		return string(r)
	}
	if errors.Is(err, credential.ErrDead) {
		return "upstream_dead"
	}
	return string(wire(err).Code)
}
