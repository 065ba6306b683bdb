// Package metadata answers discovery: the authorization server metadata (RFC
// 8414), its OpenID alias, and the protected resource metadata (RFC 9728). It
// owns the documents' shape and generates their endpoints from the routes that
// are mounted, so that nothing is advertised that is not there.
package metadata

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/sallyport/sallyport/core/assertion"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/resourceserver"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers the well-known paths.
type Endpoint struct {
	advertised []tenant.Route
	keys       *seal.Keyring
	grantTypes func(*tenant.Tenant) []string
}

// New returns the endpoint for a server that mounts routes, signs with keys and
// whose token endpoint takes grantTypes at a tenant.
func New(routes []tenant.Route, keys *seal.Keyring, grantTypes func(*tenant.Tenant) []string) *Endpoint {
	e := &Endpoint{keys: keys, grantTypes: grantTypes}
	for _, route := range routes {
		if route.Advertise != "" {
			e.advertised = append(e.advertised, route)
		}
	}
	return e
}

// Routes returns the endpoint's routes. tenant.Set.Lookup has turned the form
// with the issuer's path last into these.
func (e *Endpoint) Routes() []tenant.Route {
	get := func(path string, handle tenant.Handler) tenant.Route {
		return tenant.Route{Path: path, Methods: []string{http.MethodGet, http.MethodHead}, Cost: tenant.Free, Audience: tenant.Programs, Handle: handle}
	}
	routes := []tenant.Route{
		get("/.well-known/"+oauth.ServerDocument, e.server),
		get("/.well-known/openid-configuration", e.openid),
		get(jwksPath, e.jwks),
		get("/.well-known/"+oauth.ResourceDocument, rootResource),
	}
	// Clients also look for each document by the MCP URL, with the well-known part
	// before its path (RFC 8414 §3.1, RFC 9728 §3.1) or behind it (OpenID Connect
	// Discovery §4, and clients that resolve it as a relative reference).
	for _, mcp := range []string{tenant.MCPPath, tenant.MCPPath + "/{backend}"} {
		for name, handle := range map[string]tenant.Handler{
			oauth.ServerDocument: e.server, "openid-configuration": e.openid, oauth.ResourceDocument: mcpResource,
		} {
			routes = append(routes, get("/.well-known/"+name+mcp, handle), get(mcp+"/.well-known/"+name, handle))
		}
	}
	return routes
}

// document is a metadata document. A map: the endpoints' names come from the
// routes, and absent members must be absent, never null.
type document map[string]any

func (e *Endpoint) document(t *tenant.Tenant) document {
	d := document{
		"issuer":                           t.Issuer, // byte-equal to what clients built this URL from, RFC 8414 §3.3
		"response_types_supported":         []string{"code"},
		"response_modes_supported":         []string{"query"},
		"grant_types_supported":            e.grantTypes(t),
		"code_challenge_methods_supported": []string{"S256"}, // MCP clients refuse to go on without
		"scopes_supported":                 t.Offered(),
		// RFC 9207 §3: oauth.Target.Location never leaves iss out.
		"authorization_response_iss_parameter_supported": true,
		"jwks_uri": t.Issuer + jwksPath, // for whoever gets assertions
		// Absent would mean true (OpenID Discovery §3). What is pushed comes back
		// as a request_uri of ours; no other is fetched.
		"request_uri_parameter_supported": false,
	}
	if !t.ClientDocuments.Off {
		// Absent where it is off: clients that see it do not register.
		d["client_id_metadata_document_supported"] = true
	}
	for _, route := range e.advertised {
		d.add(t, route)
	}
	return d
}

// add puts in a route's URL and how its callers prove who they are.
func (d document) add(t *tenant.Tenant, route tenant.Route) {
	switch route.Callers {
	case tenant.Clients:
		d[route.Advertise+"_auth_methods_supported"] = client.Methods()
		// Required beside private_key_jwt, RFC 8414 §2.
		d[route.Advertise+"_auth_signing_alg_values_supported"] = client.SigningAlgs()
	case tenant.ResourceServers:
		if len(t.ResourceServers) == 0 {
			return
		}
		d[route.Advertise+"_auth_methods_supported"] = resourceserver.Methods()
	}
	d[route.Advertise] = t.Issuer + route.Path
}

func (e *Endpoint) server(w http.ResponseWriter, _ *http.Request, t *tenant.Tenant) error {
	return oauth.WriteDocument(w, e.document(t))
}

// openid is the same document under the name that some clients ask for. We
// issue no id_token, but clients refuse the document without these members.
func (e *Endpoint) openid(w http.ResponseWriter, _ *http.Request, t *tenant.Tenant) error {
	d := e.document(t)
	d["subject_types_supported"] = []string{"public"}
	d["id_token_signing_alg_values_supported"] = []string{"EdDSA"}
	return oauth.WriteDocument(w, d)
}

// jwksPath is below the tenant's URL.
const jwksPath = "/.well-known/jwks.json"

// jwks answers the key set (RFC 7517 §5) of what the tenant signs. Codes and
// tokens are sealed, not signed; it is for assertions.
func (e *Endpoint) jwks(w http.ResponseWriter, _ *http.Request, t *tenant.Tenant) error {
	return oauth.WriteDocument(w, assertion.Keys(e.keys, t))
}

// resource describes the tenant's resource by the identifier from which the
// document's own address was built (RFC 9728 §3.3).
func resource(w http.ResponseWriter, t *tenant.Tenant, identifier string) error {
	return oauth.WriteDocument(w, oauth.NewResourceMetadata(identifier, t.DisplayName, t.Issuer, t.Offered()))
}

// mcpResource also answers for a resource that is elsewhere: the proxy in front
// of that one hands the document on (RFC 9728 §3.3 compares the identifier with
// the address that the client asked). For the same comparison each of several
// backends has a document with its own address in it.
func mcpResource(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	backend := chi.URLParam(r, "backend")
	if backend != "" && t.BackendAt(backend) == nil {
		return oauth.NotFound("no MCP server has this name")
	}
	return resource(w, t, t.ResourceAt(backend))
}

func rootResource(w http.ResponseWriter, _ *http.Request, t *tenant.Tenant) error {
	if !t.HasGateway() {
		return oauth.NotFound("the resource is elsewhere") // and the issuer no second name of it
	}
	return resource(w, t, t.Issuer)
}
