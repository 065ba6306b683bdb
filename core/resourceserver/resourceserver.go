// Package resourceserver answers whether a request comes from one of a
// tenant's resource servers: programs of the operator's that get our access
// tokens from clients and ask us about them. It owns their authentication; it
// leaves what they may ask to the endpoints, and OAuth clients, which are
// somebody else's programs, to package client.
package resourceserver

import (
	"net/http"
	"slices"

	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
)

// Methods lists how a resource server may authenticate, for the metadata.
func Methods() []client.Method { return []client.Method{client.Basic, client.Post} }

// Authenticate returns the resource server that sent the request, by its id
// and secret (RFC 6749 §2.3.1). Whatever is wrong is one invalid_client: an
// unknown id, a wrong secret, an OAuth client's credentials.
func Authenticate(t *tenant.Tenant, r *http.Request, p oauth.Params) (*tenant.ResourceServer, error) {
	ids, secrets, err := oauth.Credentials(r, p)
	if err != nil {
		return nil, err
	}
	var found *tenant.ResourceServer
	for i, s := range t.ResourceServers {
		for _, secret := range secrets {
			// The secret is compared, in constant time, whether the id is right
			// or not: the answer comes no sooner for a wrong one.
			if s.Secret.Equal(secret) && slices.Contains(ids, s.ID) {
				found = &t.ResourceServers[i]
			}
		}
	}
	if found == nil {
		return nil, oauth.Errorf(oauth.InvalidClient, "this is for the tenant's resource servers, and authentication as one failed")
	}
	return found, nil
}
