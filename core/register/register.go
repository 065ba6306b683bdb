// Package register is the registration endpoint (RFC 7591) and the management
// of what was registered (RFC 7592): any MCP client may ask for a client id,
// read its registration and delete it. It owns reading and answering the
// client metadata; it leaves the id itself to package client and what may be
// registered to the tenant's redirect policy.
package register

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers /register and what is below it.
type Endpoint struct {
	Clients *client.Registry
	Audit   *audit.Log
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{
		{
			Path: path, Methods: []string{http.MethodPost}, Advertise: "registration_endpoint",
			Cost: tenant.Registration, Audience: tenant.Programs, Handle: e.register,
		},
		// Not PUT (RFC 7592 §2.2): the id is the registration, so changing one
		// makes another. A client that wants other metadata registers anew.
		{
			Path: path + "/{" + idParameter + "}", Methods: []string{http.MethodGet, http.MethodDelete},
			Cost: tenant.Registration, Audience: tenant.Programs, Handle: e.manage,
		},
	}
}

const (
	path        = "/register"
	idParameter = "client_id"
)

// metadata is the part of the client metadata (RFC 7591 §2) that matters here.
// Unknown members are ignored, as the RFC wants.
type metadata struct {
	ClientName    string   `json:"client_name,omitempty"`
	RedirectURIs  []string `json:"redirect_uris"`
	Method        string   `json:"token_endpoint_auth_method"`
	GrantTypes    []string `json:"grant_types"`
	ResponseTypes []string `json:"response_types"`
	JWKSURI       string   `json:"jwks_uri,omitempty"`
	// ApplicationType is echoed. It decides nothing: real clients register web
	// and native redirect URIs together, and each URI has the policy to pass.
	ApplicationType string `json:"application_type,omitempty"`
}

// answer is the client information response (RFC 7591 §3.2.1, RFC 7592 §3):
// everything that was registered is echoed.
type answer struct {
	ClientID        string `json:"client_id"`
	ClientIDIssued  int64  `json:"client_id_issued_at"`
	ClientSecret    string `json:"client_secret,omitempty"`
	ClientSecretExp *int64 `json:"client_secret_expires_at,omitempty"` // required beside a secret; 0: never
	AccessToken     string `json:"registration_access_token"`
	ClientURI       string `json:"registration_client_uri"`
	metadata
}

const maxRedirectURIs = 16

func (e *Endpoint) register(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	m, err := read(r, t)
	if err != nil {
		return err
	}
	reg, err := e.Clients.Register(t, client.Registration{
		Name: m.ClientName, RedirectURIs: m.RedirectURIs, Method: client.Method(m.Method), JWKSURI: m.JWKSURI,
	})
	if err != nil {
		return err
	}
	e.Audit.Record(r.Context(), audit.Event{Action: audit.Registered, Tenant: t.Name, Client: grant.HashClient(reg.ID)})
	oauth.WriteJSON(w, http.StatusCreated, describe(t, reg, m))
	return nil
}

// describe answers with the registration and what of the metadata is not part
// of it.
func describe(t *tenant.Tenant, reg *client.Registered, m metadata) answer {
	m.ClientName, m.RedirectURIs, m.Method, m.JWKSURI = reg.Name, reg.RedirectURIs, string(reg.Method), reg.JWKSURI
	a := answer{
		ClientID: reg.ID, ClientIDIssued: reg.Issued.Unix(), ClientSecret: reg.Secret.Reveal(),
		AccessToken: reg.AccessToken.Reveal(), ClientURI: t.Issuer + path + "/" + url.PathEscape(reg.ID), metadata: m,
	}
	if !reg.Secret.IsZero() {
		a.ClientSecretExp = new(int64)
	}
	return a
}

func read(r *http.Request, t *tenant.Tenant) (metadata, error) {
	var m struct {
		metadata
		JWKS json.RawMessage `json:"jwks"`
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return m.metadata, oauth.Errorf(oauth.InvalidClientMetadata, "the body must be a JSON object")
	}
	if len(m.RedirectURIs) == 0 || len(m.RedirectURIs) > maxRedirectURIs {
		return m.metadata, oauth.Errorf(oauth.InvalidRedirectURI, "redirect_uris must hold 1 to %d URIs", maxRedirectURIs)
	}
	for _, uri := range m.RedirectURIs {
		if err := t.Redirects.Check(uri); err != nil {
			return m.metadata, err
		}
	}
	m.ClientName = strings.TrimSpace(m.ClientName)
	if utf8.RuneCountInString(m.ClientName) > client.MaxName {
		return m.metadata, oauth.Errorf(oauth.InvalidClientMetadata, "client_name must have at most %d characters", client.MaxName)
	}
	if m.Method == "" {
		m.Method = string(client.Basic) // the default of RFC 7591 §2
	}
	if m.Method == string(client.None) && slices.ContainsFunc(m.RedirectURIs, wantsSecret) {
		m.Method = string(client.Post) // RFC 7591 §3.2.1: the server may replace what was asked for
	}
	if !client.Supported(client.Method(m.Method)) {
		return m.metadata, oauth.Errorf(oauth.InvalidClientMetadata, "token_endpoint_auth_method must be one of %v", client.Methods())
	}
	if err := m.checkKeys(len(m.JWKS) > 0); err != nil {
		return m.metadata, err
	}
	// What we do not offer is left out rather than refused: clients list all
	// they know (RFC 7591 §2 lets the server replace values).
	m.GrantTypes = offered(m.GrantTypes, grantTypes()...)
	m.ResponseTypes = offered(m.ResponseTypes, responseTypes()...)
	return m.metadata, nil
}

// checkKeys holds private_key_jwt to keys that can be found later. The id has
// room for an address but not for keys, which could not be replaced in it
// either. Other methods need no keys, and jwks_uri is left out.
func (m *metadata) checkKeys(inline bool) error {
	if client.Method(m.Method) != client.PrivateKeyJWT {
		m.JWKSURI = ""
		return nil
	}
	if m.JWKSURI == "" && inline {
		return oauth.Errorf(oauth.InvalidClientMetadata, "private_key_jwt needs jwks_uri here; jwks is not kept")
	}
	if u, err := url.Parse(m.JWKSURI); err != nil || u.Scheme != "https" || u.Host == "" {
		return oauth.Errorf(oauth.InvalidClientMetadata, "private_key_jwt needs an https jwks_uri")
	}
	return nil
}

// wantsSecret knows the redirect URIs of clients that register with none and
// stop where the answer holds no secret. Who else registers one of them gains
// nothing: the codes go to the client it belongs to.
func wantsSecret(redirectURI string) bool {
	return redirectURI == "https://www.perplexity.ai/rest/connections/oauth_callback" ||
		redirectURI == "https://enterprise.perplexity.ai/rest/connections/oauth_callback"
}

func grantTypes() []string    { return []string{"authorization_code", "refresh_token"} }
func responseTypes() []string { return []string{"code"} }

func offered(asked []string, have ...string) []string {
	both := slices.DeleteFunc(slices.Clone(have), func(s string) bool { return len(asked) > 0 && !slices.Contains(asked, s) })
	if len(both) == 0 {
		return have
	}
	return both
}
