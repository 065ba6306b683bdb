package authorize

import (
	"net/http"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/session"
	"github.com/sallyport/sallyport/core/tenant"
)

// push answers /par (RFC 9126): a client authenticates, hands over its
// authorization request and gets a name for it, which it takes to /authorize.
func (e *Endpoint) push(w http.ResponseWriter, r *http.Request, t *tenant.Tenant) error {
	params, err := oauth.FormParams(r)
	if err != nil {
		return err
	}
	uri, err := e.sealed(r, t, params)
	if err != nil {
		e.audit(r, t, params.Get("client_id"), err)
		return err
	}
	oauth.WriteJSON(w, http.StatusCreated, struct { // RFC 9126 §2.2
		RequestURI string `json:"request_uri"`
		ExpiresIn  int64  `json:"expires_in"`
	}{uri, int64(session.PushedLife / time.Second)})
	return nil
}

// sealed returns the request_uri of a request that is valid in every respect
// that can be checked without its user.
func (e *Endpoint) sealed(r *http.Request, t *tenant.Tenant, params oauth.Params) (string, error) {
	// RFC 9126 §2: as at the token endpoint, public clients included.
	c, err := e.Clients.Authenticate(r.Context(), t, r, params)
	if err != nil {
		return "", err
	}
	if params.Get("request_uri") != "" { // RFC 9126 §2.1
		return "", oauth.Errorf(oauth.InvalidRequest, "request_uri cannot be pushed")
	}
	target, err := c.Match(t, params.Get("redirect_uri"))
	if err != nil {
		return "", err
	}
	req, err := validate(t, c, target, params)
	if err != nil {
		return "", err
	}
	return e.Sessions.SealPushed(t, req)
}
