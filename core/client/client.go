// Package client answers who an OAuth client is and whether a request really
// comes from it. It owns the three origins of clients (written into the config,
// registered dynamically with the registration sealed into the id, described by
// a metadata document) and client authentication; it leaves the registration
// endpoint to package register and what a client may do to the endpoints.
package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

// ErrUnknown says that there is no such client at this tenant.
var ErrUnknown = errors.New("client: unknown")

// Method is how a client authenticates at the token endpoint (RFC 7591 §2,
// token_endpoint_auth_method).
type Method string

// The methods. One that sends its secret may send it either way.
const (
	None  Method = "none"
	Basic Method = "client_secret_basic"
	Post  Method = "client_secret_post"
)

// Methods lists what the token endpoint understands, for the metadata.
func Methods() []Method { return []Method{None, Basic, Post} }

// Client is a client of one tenant.
type Client struct {
	ID           string
	Name         string // chosen by the client unless Verified
	Verified     bool   // the operator registered it
	RedirectURIs []string
	Method       Method

	secret seal.Secret // empty: public
}

// Public tells whether the client has no credentials of its own.
func (c *Client) Public() bool { return c.secret.IsZero() }

// Match returns the redirect target for a request of this client. The
// tenant's policy is asked again, so narrowing it works on clients that
// registered before; what the operator wrote down needs no second opinion.
func (c *Client) Match(t *tenant.Tenant, redirectURI string) (oauth.Target, error) {
	target, err := oauth.MatchRedirect(c.RedirectURIs, redirectURI)
	if err != nil {
		return oauth.Target{}, err
	}
	if !c.Verified {
		if err := t.Redirects.Check(target.String()); err != nil {
			return oauth.Target{}, err
		}
	}
	return target, nil
}

// Registry finds clients and makes new ones.
type Registry struct {
	keys *seal.Keyring
	now  func() time.Time
}

// NewRegistry returns a Registry. A nil now means time.Now.
func NewRegistry(keys *seal.Keyring, now func() time.Time) *Registry {
	if now == nil {
		now = time.Now
	}
	return &Registry{keys: keys, now: now}
}

// Find returns the client with that id, or ErrUnknown.
func (g *Registry) Find(_ context.Context, t *tenant.Tenant, id string) (*Client, error) {
	for _, c := range t.Clients {
		if c.ID == id {
			method := None
			if !c.Secret.IsZero() {
				method = Basic
			}
			return &Client{ID: id, Name: c.Name, Verified: true, RedirectURIs: c.RedirectURIs, Method: method, secret: c.Secret}, nil
		}
	}
	return g.unseal(t, id)
}

// Registration is what a dynamically registered client told about itself.
type Registration struct {
	Name         string
	RedirectURIs []string
	Method       Method
}

// sealedClient is a Registration inside a client id: short names, because an
// id travels in URLs.
type sealedClient struct {
	Name         string   `json:"n,omitempty"`
	RedirectURIs []string `json:"r"`
	Method       string   `json:"m,omitempty"` // first letter matters: b(asic), p(ost), else none
	Issued       int64    `json:"t"`
}

const (
	idPrefix = "sp_cl_"
	maxID    = 1024 // characters
)

// Register makes a client out of a registration. Nothing is stored: the id is
// the registration, sealed for this tenant, and the secret of a confidential
// client is a MAC of the id. So registering cannot fill a store, and a store
// that was lost strands no client.
func (g *Registry) Register(t *tenant.Tenant, reg Registration) (c *Client, secret seal.Secret, issued time.Time, err error) {
	issued = g.now()
	s := sealedClient{Name: reg.Name, RedirectURIs: reg.RedirectURIs, Issued: issued.Unix()}
	switch reg.Method {
	case Basic:
		s.Method = "b"
	case Post:
		s.Method = "p"
	}
	plain, err := json.Marshal(s)
	if err != nil {
		return nil, seal.Secret{}, issued, err
	}
	id := idPrefix + base64.RawURLEncoding.EncodeToString(g.keys.Seal(idPurpose(t), plain))
	if len(id) > maxID {
		return nil, seal.Secret{}, issued, oauth.Errorf(oauth.InvalidClientMetadata,
			"the registration is too large: client_name and redirect_uris must fit into about %d characters together", (maxID-len(idPrefix))*3/4-seal.Overhead-40)
	}
	c, err = g.unseal(t, id)
	if err != nil {
		return nil, seal.Secret{}, issued, err
	}
	return c, c.secret, issued, nil
}

// unseal returns the client that an id made by Register describes.
func (g *Registry) unseal(t *tenant.Tenant, id string) (*Client, error) {
	encoded, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(id) > maxID || strings.ContainsAny(id, "\r\n") { // which base64 would skip
		return nil, ErrUnknown
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, ErrUnknown
	}
	plain, err := g.keys.Open(idPurpose(t), sealed)
	if err != nil {
		return nil, ErrUnknown
	}
	var s sealedClient
	if err := json.Unmarshal(plain, &s); err != nil {
		return nil, ErrUnknown
	}
	c := &Client{ID: id, Name: s.Name, RedirectURIs: s.RedirectURIs, Method: None}
	if s.Method != "" {
		c.Method = map[string]Method{"b": Basic, "p": Post}[s.Method]
		mac, err := g.keys.MAC(seal.Purpose{Use: "client-secret", Tenant: t.Name}, sealed)
		if err != nil {
			return nil, ErrUnknown
		}
		c.secret = seal.NewSecret("sp_cs_" + base64.RawURLEncoding.EncodeToString(mac))
	}
	return c, nil
}

func idPurpose(t *tenant.Tenant) seal.Purpose {
	return seal.Purpose{Use: "client", Tenant: t.Name}
}

// Supported tells whether the token endpoint understands a method.
func Supported(m Method) bool { return slices.Contains(Methods(), m) }

// checkSecret tells whether one of the readings of what was presented is the
// secret, in constant time. A public client's secret is empty.
func (c *Client) checkSecret(presented []string) bool {
	ok := false
	for _, reading := range presented {
		ok = c.secret.Equal(reading) || ok
	}
	return ok
}
