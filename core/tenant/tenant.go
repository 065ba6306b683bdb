// Package tenant says what a tenant is: one MCP-facing issuer with its own
// URL, resource, provider and policy. It owns the Tenant value, the routes a
// tenant answers, and the immutable Set that finds a tenant by host and path.
// It leaves reading configuration to package config and cmd, and what the
// routes do to the endpoint packages.
package tenant

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

// Tenant is one issuer. It does not change once it is in a Set.
type Tenant struct {
	Name        string // key in the config and in stored records: letters, digits, '.', '_', '-'
	DisplayName string // for people
	Look        Look
	Issuer      string // the tenant's URL, no trailing slash; byte-equal wherever it appears (RFC 8414 §3.3)
	Provider    upstream.Provider
	Upstream    Upstream // zero: the provider's, and no other before it
	Down        string   // why the tenant cannot be served, for the operator; every request is answered 503 then
	Scopes      []string // what clients may ask for; the upstream is asked for the same words; none: see Offered
	Backend     *url.URL // the MCP server behind the gateway; nil: it is not behind it, but at External
	External    string   // URL under which clients reach an MCP server that checks tokens without the gateway
	// Backends are more MCP servers of the same tenant, by the path segment
	// below MCPPath. One login is good for all of them.
	Backends map[string]*url.URL
	Inject   []Header // what backends get; nil: DefaultInject
	// ResponseHeaders are headers of backends that cross to clients beyond those
	// that RelaysHeader knows by itself, in canonical form.
	ResponseHeaders []string
	// Revision is the newest MCP revision of an MCP server elsewhere, as the
	// operator states it; empty: unknown. See gateway.ForwardAuth.
	Revision string
	// SessionsUnbound has MCP session ids cross as they are, for backends that put
	// meaning into them. Otherwise the gateway binds each to its user.
	SessionsUnbound bool
	Clients         []Client
	// ResourceServers may introspect and exchange the tenant's access tokens.
	ResourceServers []ResourceServer
	// ClientDocuments says which clients' documents are fetched.
	ClientDocuments ClientDocuments
	// SharedCallback is the redirect URI registered at the upstream, if it is not
	// Callback but an address that several tenants share.
	SharedCallback string
	Redirects      oauth.RedirectPolicy
	Accounts       Accounts
	Lifetimes      Lifetimes
	// Anonymous are the MCP methods that need no token. None: all do.
	Anonymous []string
	// Tools are the scopes a tool needs, of those offered, by the tool's name.
	Tools map[string][]string
	// Origins are those of browser clients beyond the ones that AllowsOrigin
	// knows by itself; "*" is any.
	Origins []string
}

// Client is an OAuth client that the operator wrote into the config.
type Client struct {
	ID           string
	Name         string
	Secret       seal.Secret // empty: a public client, unless JWKSURI is set
	JWKSURI      string      // where its keys are, if it authenticates by private_key_jwt
	RedirectURIs []string
}

// ResourceServer is a program of the operator's that serves the tenant's
// resource without the gateway before it.
type ResourceServer struct {
	ID     string
	Secret seal.Secret
}

// ClientDocuments is the policy for what clients publish: client id metadata
// documents, and the key sets they refer to.
type ClientDocuments struct {
	Off bool // no metadata documents: clients have to register
	// Hosts are "host" or "host:port" of documents and key sets, compared
	// exactly. None listed: any on the public internet. A host that fetch
	// knows as private is asked only if it is listed.
	Hosts []string
}

// Lifetimes bound what a login leaves behind.
type Lifetimes struct {
	Session     time.Duration // from /authorize to the redirect back
	Code        time.Duration // authorization code
	Access      time.Duration // access token
	Refresh     time.Duration // grant, counted anew at each refresh
	Absolute    time.Duration // grant, counted once, from the login: no refresh moves it
	ReuseWindow time.Duration // how long a refresh token just rotated is answered again instead of being taken for theft
}

// DefaultLifetimes are the values for whatever a config leaves out.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{
		Session:     10 * time.Minute,
		Code:        5 * time.Minute,
		Access:      24 * time.Hour,
		Refresh:     30 * 24 * time.Hour,
		Absolute:    365 * 24 * time.Hour,
		ReuseWindow: 30 * time.Second,
	}
}

// MCPPath is where the gateway of every tenant listens, below its issuer.
const MCPPath = "/mcp"

// ConnectionsPath is where users of every tenant see and end what they
// connected, below its issuer.
const ConnectionsPath = "/connections"

// CallbackPath is where every tenant takes the upstream's answer, below its
// issuer.
const CallbackPath = "/callback"

// Callback is the URL that takes the upstream's answer. It is the tenant's own,
// whatever is registered at the upstream: the tenant's cookies reach no other.
func (t *Tenant) Callback() string { return t.Issuer + CallbackPath }

// Resource is the identifier of the tenant's protected resource (RFC 9728
// §1.2): the URL that a user pastes into a client.
func (t *Tenant) Resource() string {
	if !t.HasGateway() {
		return t.External
	}
	return t.Issuer + MCPPath
}

// HasGateway tells whether calls come through the gateway. If not, the MCP
// server, or a proxy before it, asks about tokens itself.
func (t *Tenant) HasGateway() bool { return t.External == "" }

// ResourceAt is what a user pastes to reach the named one of Backends, or
// Resource for "". It is the same resource: a token is good for all.
func (t *Tenant) ResourceAt(backend string) string {
	if backend == "" {
		return t.Resource()
	}
	return t.Resource() + "/" + backend
}

// BackendAt is the MCP server of that name, Backend for "", nil if there is
// none.
func (t *Tenant) BackendAt(backend string) *url.URL {
	if backend == "" {
		return t.Backend
	}
	return t.Backends[backend]
}

// Accepts tells whether a resource indicator names this tenant's resource.
// Behind the gateway it has more spellings: the issuer, which clients send that
// found only the metadata at the tenant's root, and the address of each of
// Backends.
func (t *Tenant) Accepts(resource string) bool {
	if oauth.SameResource(resource, t.Resource()) || t.HasGateway() && oauth.SameResource(resource, t.Issuer) {
		return true
	}
	for backend := range t.Backends {
		if oauth.SameResource(resource, t.ResourceAt(backend)) {
			return true
		}
	}
	return false
}

// ResourceMetadata is the URL of the protected resource metadata of ResourceAt.
func (t *Tenant) ResourceMetadata(backend string) string {
	return oauth.WellKnown(oauth.ResourceDocument, t.ResourceAt(backend))
}

// AllowsOrigin tells whether scripts of a browser's origin may call the
// tenant's MCP server (MCP Streamable HTTP, Security): the tenant's own, what
// the operator listed, and wherever a login may be redirected to, because a
// client that may be given a token may use it there.
func (t *Tenant) AllowsOrigin(origin string) bool {
	own, _ := oauth.SplitOrigin(t.Issuer)
	return origin == own || slices.Contains(t.Origins, origin) || slices.Contains(t.Origins, "*") ||
		t.Redirects.Check(origin+"/") == nil
}

// Offered is what clients may ask for: the tenant's scopes, or what the
// provider asks for by default, without oauth.OfflineAccess.
func (t *Tenant) Offered() []string {
	all := t.scopes()
	if !slices.Contains(all, oauth.OfflineAccess) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == oauth.OfflineAccess })
}

// UpstreamScopes is what the upstream is asked for when a client is granted
// some of the scopes offered: the same, and oauth.OfflineAccess where it is
// among the tenant's, because whether there is a refresh token at the upstream
// is ours to want, not the client's.
func (t *Tenant) UpstreamScopes(granted []string) []string {
	if !slices.Contains(t.scopes(), oauth.OfflineAccess) {
		return granted
	}
	return append(slices.Clip(granted), oauth.OfflineAccess)
}

func (t *Tenant) scopes() []string {
	if len(t.Scopes) > 0 {
		return t.Scopes
	}
	return t.Provider.Describe().DefaultScopes
}

// Path is the path of the issuer: empty, or starting with a slash.
func (t *Tenant) Path() string {
	_, path := oauth.SplitOrigin(t.Issuer)
	return path
}

// Secure tells whether the tenant is reached over https. Only a loopback
// tenant may be without.
func (t *Tenant) Secure() bool { return strings.HasPrefix(t.Issuer, "https://") }

var segmentForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Check reports what is wrong with the tenant by itself: NewSet refuses it.
func (t *Tenant) Check() error { return t.validate() }

// validate tells what is wrong with a tenant. Config checks more, and earlier,
// with the place where it stands; this is what core itself relies on.
func (t *Tenant) validate() error {
	u, err := url.Parse(t.Issuer)
	switch {
	case !nameForm.MatchString(t.Name):
		return fmt.Errorf("tenant %q: a name is 1 to 63 letters, digits, '.', '_' or '-'", t.Name)
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		return fmt.Errorf("tenant %s: %q is no http(s) URL", t.Name, t.Issuer)
	case strings.ContainsAny(t.Issuer, "?#") || u.User != nil || strings.HasSuffix(t.Issuer, "/"):
		// RFC 8414 §2: an issuer has no query and no fragment.
		return fmt.Errorf("tenant %s: the URL %q must have no query, fragment, user or trailing slash", t.Name, t.Issuer)
	case !strings.HasPrefix(t.Issuer, u.Scheme+"://"), u.Host != strings.ToLower(u.Host), u.Path != u.EscapedPath(),
		u.Path != "" && path.Clean(u.Path) != u.Path:
		// Lookup, Secure and every comparison of issuers work on the string.
		return fmt.Errorf("tenant %s: the URL %q must be written in its plain form, scheme and host in lower case", t.Name, t.Issuer)
	case t.Provider == nil:
		return fmt.Errorf("tenant %s: no provider", t.Name)
	case t.HasGateway() != (t.Backend != nil):
		return fmt.Errorf("tenant %s: it needs a backend, or else the URL of an MCP server without the gateway", t.Name)
	}
	if u, err := url.Parse(t.External); err != nil || t.External != "" && (u.Host == "" || strings.ContainsAny(t.External, "?#")) {
		return fmt.Errorf("tenant %s: %q is no URL of an MCP server", t.Name, t.External)
	}
	for name, backend := range t.Backends {
		if !t.HasGateway() || backend == nil || !segmentForm.MatchString(name) {
			return fmt.Errorf("tenant %s: %q is no name for a backend, has no URL, or is not behind the gateway", t.Name, name)
		}
	}
	for _, s := range t.ResourceServers {
		if s.ID == "" || s.Secret.IsZero() {
			return fmt.Errorf("tenant %s: a resource server needs an id and a secret", t.Name)
		}
	}
	for tool, scopes := range t.Tools {
		if foreign := slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return slices.Contains(t.Offered(), s) }); len(foreign) > 0 {
			return fmt.Errorf("tenant %s: the tool %s needs the scope %s, which the tenant does not offer", t.Name, tool, foreign[0])
		}
	}
	l := t.Lifetimes
	if min(l.Session, l.Code, l.Access, l.Refresh, l.Absolute) <= 0 || l.ReuseWindow < 0 {
		return fmt.Errorf("tenant %s: every lifetime must be positive", t.Name)
	}
	return nil
}
