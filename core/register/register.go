// Package register is the registration endpoint (RFC 7591): any MCP client
// may ask for a client id. It owns reading and answering the client metadata;
// it leaves the id itself to package client and what may be registered to the
// tenant's redirect policy.
package register

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Endpoint answers /register.
type Endpoint struct {
	Clients *client.Registry
	Audit   *audit.Log
}

// Routes returns the endpoint's routes.
func (e *Endpoint) Routes() []tenant.Route {
	return []tenant.Route{{
		Path: "/register", Methods: []string{http.MethodPost}, Advertise: "registration_endpoint",
		Audience: tenant.Programs, Handle: e.register,
	}}
}

// metadata is the part of the client metadata (RFC 7591 §2) that matters here.
// Unknown members are ignored, as the RFC wants.
type metadata struct {
	ClientName      string   `json:"client_name,omitempty"`
	RedirectURIs    []string `json:"redirect_uris"`
	Method          string   `json:"token_endpoint_auth_method"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"`
	ApplicationType string   `json:"application_type,omitempty"`
}

// answer is the client information response (RFC 7591 §3.2.1): everything that
// was registered is echoed.
type answer struct {
	ClientID        string `json:"client_id"`
	ClientIDIssued  int64  `json:"client_id_issued_at"`
	ClientSecret    string `json:"client_secret,omitempty"`
	ClientSecretExp *int64 `json:"client_secret_expires_at,omitempty"` // required beside a secret; 0: never
	metadata
}

const maxRedirectURIs = 16

func (e *Endpoint) register(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	m, err := read(w, r, t)
	if err != nil {
		return err
	}
	c, secret, issued, err := e.Clients.Register(t, client.Registration{
		Name: m.ClientName, RedirectURIs: m.RedirectURIs, Method: client.Method(m.Method),
	})
	if err != nil {
		return err
	}
	e.Audit.Record(r.Context(), audit.Event{Action: audit.Registered, Tenant: t.Name, Client: grant.HashClient(c.ID)})
	a := answer{ClientID: c.ID, ClientIDIssued: issued.Unix(), ClientSecret: secret.Reveal(), metadata: m}
	if !secret.IsZero() {
		a.ClientSecretExp = new(int64)
	}
	oauth.WriteJSON(w, http.StatusCreated, a)
	return nil
}

func read(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) (metadata, error) {
	var m metadata
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, oauth.MaxForm)).Decode(&m); err != nil {
		return m, oauth.Errorf(oauth.InvalidClientMetadata, "the body must be a JSON object of at most %d bytes", oauth.MaxForm)
	}
	if len(m.RedirectURIs) == 0 || len(m.RedirectURIs) > maxRedirectURIs {
		return m, oauth.Errorf(oauth.InvalidRedirectURI, "redirect_uris must hold 1 to %d URIs", maxRedirectURIs)
	}
	for _, uri := range m.RedirectURIs {
		if err := t.Redirects.Check(uri); err != nil {
			return m, err
		}
	}
	m.ClientName = strings.TrimSpace(m.ClientName)
	if utf8.RuneCountInString(m.ClientName) > 100 {
		return m, oauth.Errorf(oauth.InvalidClientMetadata, "client_name must have at most 100 characters")
	}
	if m.Method == "" {
		m.Method = string(client.Basic) // the default of RFC 7591 §2
	}
	if !client.Supported(client.Method(m.Method)) {
		return m, oauth.Errorf(oauth.InvalidClientMetadata, "token_endpoint_auth_method must be one of %v", client.Methods())
	}
	// What we do not offer is left out rather than refused: clients list all
	// they know (RFC 7591 §2 lets the server replace values).
	m.GrantTypes = offered(m.GrantTypes, "authorization_code", "refresh_token")
	m.ResponseTypes = offered(m.ResponseTypes, "code")
	return m, nil
}

func offered(asked []string, have ...string) []string {
	both := slices.DeleteFunc(slices.Clone(have), func(s string) bool { return len(asked) > 0 && !slices.Contains(asked, s) })
	if len(both) == 0 {
		return have
	}
	return both
}
