package client

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

// Registration is what a dynamically registered client told about itself
// (RFC 7591 §2).
type Registration struct {
	Name         string
	RedirectURIs []string
	Method       Method
	JWKSURI      string // for PrivateKeyJWT only
}

// Registered is a registration with what Register added to it.
type Registered struct {
	Registration
	ID     string
	Issued time.Time
	Secret seal.Secret // zero unless the method sends one
	// AccessToken proves the right to read and delete the registration (RFC
	// 7592 §3).
	AccessToken seal.Secret
}

// sealedClient is a Registration inside a client id: short names, because an
// id travels in URLs.
type sealedClient struct {
	Name         string   `json:"n,omitempty"`
	RedirectURIs []string `json:"r"`
	Method       string   `json:"m,omitempty"` // letterOf
	JWKSURI      string   `json:"j,omitempty"`
	Issued       int64    `json:"t"`
}

const (
	idPrefix = "sp_cl_"
	maxID    = 1024 // characters
)

// Register makes a client out of a registration. Nothing is stored: the id is
// the registration, sealed for this tenant, and the secret of a confidential
// client and the registration access token are MACs of the id. So registering
// cannot fill a store, and a store that was lost strands no client.
func (g *Registry) Register(t *tenant.Tenant, reg Registration) (*Registered, error) {
	plain, err := json.Marshal(sealedClient{
		Name: reg.Name, RedirectURIs: reg.RedirectURIs, Method: letterOf(reg.Method), JWKSURI: reg.JWKSURI, Issued: g.now().Unix(),
	})
	if err != nil {
		return nil, err
	}
	id := idPrefix + base64.RawURLEncoding.EncodeToString(g.keys.Seal(idPurpose(t), plain))
	if len(id) > maxID {
		return nil, oauth.Errorf(oauth.InvalidClientMetadata,
			"the registration is too large: client_name, redirect_uris and jwks_uri must fit into about %d characters together", (maxID-len(idPrefix))*3/4-seal.Overhead-40)
	}
	g.blocked.Vacant(t.Name, grant.HashClient(id)) // who registers mostly logs in at once
	return g.open(t, id)
}

// unseal returns the client that an id made by Register describes.
func (g *Registry) unseal(t *tenant.Tenant, id string) (*Client, error) {
	reg, err := g.open(t, id)
	if err != nil {
		return nil, err
	}
	c := &Client{
		ID: id, Name: reg.Name, RedirectURIs: reg.RedirectURIs, Methods: []Method{reg.Method},
		secret: reg.Secret, keys: keySource{uri: reg.JWKSURI},
	}
	if !reg.Secret.IsZero() {
		c.Methods = []Method{Basic, Post}
	}
	return c, nil
}

// open reads an id made by Register back, or returns ErrUnknown.
func (g *Registry) open(t *tenant.Tenant, id string) (*Registered, error) {
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
	reg := &Registered{
		Registration: Registration{Name: s.Name, RedirectURIs: s.RedirectURIs, Method: methodOf(s.Method), JWKSURI: s.JWKSURI},
		ID:           id, Issued: time.Unix(s.Issued, 0),
	}
	if reg.Method == Basic || reg.Method == Post {
		if reg.Secret, err = g.derive("sp_cs_", "client-secret", t, sealed); err != nil {
			return nil, err
		}
	}
	reg.AccessToken, err = g.derive("sp_ra_", "registration", t, sealed)
	return reg, err
}

// derive returns a secret that belongs to a sealed id and is stored nowhere.
func (g *Registry) derive(prefix, use string, t *tenant.Tenant, sealed []byte) (seal.Secret, error) {
	mac, err := g.keys.MAC(seal.Purpose{Use: use, Tenant: t.Name}, sealed)
	if err != nil {
		return seal.Secret{}, ErrUnknown
	}
	return seal.NewSecret(prefix + base64.RawURLEncoding.EncodeToString(mac)), nil
}

func idPurpose(t *tenant.Tenant) seal.Purpose {
	return seal.Purpose{Use: "client", Tenant: t.Name}
}

func letterOf(m Method) string {
	switch m {
	case Basic:
		return "b"
	case Post:
		return "p"
	case PrivateKeyJWT:
		return "j"
	}
	return ""
}

func methodOf(letter string) Method {
	switch letter {
	case "b":
		return Basic
	case "p":
		return Post
	case "j":
		return PrivateKeyJWT
	}
	return None
}
