package sdk

import (
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// How the host authenticates our client at the upstream; see Request.Auth.
const (
	ClientPublic      = abi.AuthNone
	ClientSecretBasic = abi.AuthBasic
	ClientSecretUser  = abi.AuthBasicSecret
	ClientSecretPost  = abi.AuthPost
	PrivateKeyJWT     = abi.AuthPrivateKeyJWT
	ClientSecretJWT   = abi.AuthClientSecretJWT
)

// Request is what a provider asks the host to perform. Its methods change and
// return it, so that a request reads as one line.
type Request struct {
	head abi.Request
	body []byte
}

// NewRequest returns a request without headers and body. The host refuses
// URLs that are not https or whose host the manifest does not name.
func NewRequest(method, url string) *Request {
	return &Request{head: abi.Request{Method: method, URL: url}}
}

// Get returns a GET request. It may be repeated, so it is idempotent.
func Get(url string) *Request { return NewRequest("GET", url).Idempotent() }

// PostForm returns a POST request with a form as its body.
func PostForm(url string, form Form) *Request { return NewRequest("POST", url).Form(form) }

// PostJSON returns a POST request with a JSON value as its body.
func PostJSON(url string, v tree.Value) *Request { return NewRequest("POST", url).JSON(v) }

// Header adds a header. The host refuses Host, cookies and hop-by-hop names.
func (r *Request) Header(name, value string) *Request {
	r.head.Headers = append(r.head.Headers, abi.Header{strings.ToLower(name), value})
	return r
}

// Bearer authenticates with an access token, RFC 6750 §2.1.
func (r *Request) Bearer(token string) *Request {
	return r.Header("authorization", "Bearer "+token)
}

// Auth has the host authenticate our client as the request leaves; the secret
// never comes here. ClientPublic, ClientSecretPost, PrivateKeyJWT and
// ClientSecretJWT need a form or a JSON object as the body.
func (r *Request) Auth(method string) *Request {
	return r.AuthWith(ClientAuth{Method: method})
}

// AuthWith is Auth for an upstream that has its own names for the parameters,
// or wants a particular audience.
func (r *Request) AuthWith(auth ClientAuth) *Request {
	r.head.ClientAuth = &auth
	return r
}

// Idempotent allows the host to send the request again after a failure of the
// transport. Never for a code or a single-use refresh token.
func (r *Request) Idempotent() *Request {
	r.head.Idempotent = true
	return r
}

// MaxAge allows the host to answer with what the upstream said to the same
// request of this tenant, at most so many seconds ago, as long as the upstream
// says that it is fresh (RFC 9111), or a day if it does not say. It is for a GET
// without credentials whose answer changes rarely, such as discovery. If the
// operation fails, the host asks anew the next time.
func (r *Request) MaxAge(seconds int) *Request {
	r.head.MaxAge = seconds
	return r
}

// Form makes a form the body.
func (r *Request) Form(form Form) *Request {
	r.body = []byte(form.Encode())
	return r.Header("content-type", "application/x-www-form-urlencoded")
}

// JSON makes a JSON value the body.
func (r *Request) JSON(v tree.Value) *Request {
	r.body = v.Bytes()
	return r.Header("content-type", "application/json")
}
