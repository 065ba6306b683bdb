// Package oauth is the vocabulary of the front door: the error and its three
// ways to the wire (JSON, redirect, challenge), PKCE, scopes, resource
// indicators and redirect URIs. It is a leaf: it knows no tenant, no client and
// no store. Every OAuth error that leaves Sallyport is written here.
package oauth

import (
	"net/http"
	"net/url"
	"strings"
)

// Code is an OAuth error code as it stands on the wire.
type Code string

// The codes in use, by the RFC that defines them.
const (
	InvalidRequest          Code = "invalid_request"           // RFC 6749 §5.2
	InvalidClient           Code = "invalid_client"            // RFC 6749 §5.2
	InvalidGrant            Code = "invalid_grant"             // RFC 6749 §5.2
	UnauthorizedClient      Code = "unauthorized_client"       // RFC 6749 §5.2
	UnsupportedGrantType    Code = "unsupported_grant_type"    // RFC 6749 §5.2
	InvalidScope            Code = "invalid_scope"             // RFC 6749 §5.2
	UnsupportedResponseType Code = "unsupported_response_type" // RFC 6749 §4.1.2.1
	AccessDenied            Code = "access_denied"             // RFC 6749 §4.1.2.1
	ServerError             Code = "server_error"              // RFC 6749 §4.1.2.1
	TemporarilyUnavailable  Code = "temporarily_unavailable"   // RFC 6749 §4.1.2.1
	InvalidToken            Code = "invalid_token"             // RFC 6750 §3.1
	InsufficientScope       Code = "insufficient_scope"        // RFC 6750 §3.1
	InvalidTarget           Code = "invalid_target"            // RFC 8707 §2
	InvalidRequestURI       Code = "invalid_request_uri"       // RFC 9101 §7
	RequestNotSupported     Code = "request_not_supported"     // OpenID Connect Core §3.1.2.6
	InteractionRequired     Code = "interaction_required"      // OpenID Connect Core §3.1.2.6
	InvalidRedirectURI      Code = "invalid_redirect_uri"      // RFC 7591 §3.2.2
	InvalidClientMetadata   Code = "invalid_client_metadata"   // RFC 7591 §3.2.2
)

// Params are the parameters of one request. A parameter without a value counts
// as absent (RFC 6749 §3.1).
type Params struct{ values url.Values }

// QueryParams reads the parameters of a GET request. A repeated one is an
// error (RFC 6749 §3.1), except resource, which RFC 8707 §2 lets repeat; the
// Params returned beside the error hold the first of each.
func QueryParams(r *http.Request) (Params, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return Params{values}, Errorf(InvalidRequest, "the query string is not well-formed")
	}
	return Params{values}, repeated(values)
}

// FormParams reads the parameters of a form POST from the body alone: secrets
// and codes in a query string would end up in access logs.
func FormParams(r *http.Request) (Params, error) {
	mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(mediaType), "application/x-www-form-urlencoded") {
		return Params{}, Errorf(InvalidRequest, "the body must be application/x-www-form-urlencoded")
	}
	if err := r.ParseForm(); err != nil {
		return Params{}, Errorf(InvalidRequest, "the body is not a well-formed form")
	}
	return Params{r.PostForm}, repeated(r.PostForm)
}

// Once refuses a request in which one of the names stands more than once.
func (p Params) Once(names ...string) error {
	for _, name := range names {
		if len(p.values[name]) > 1 {
			return Errorf(InvalidRequest, "the parameter %s stands more than once", name)
		}
	}
	return nil
}

// Get returns the value of name, or "".
func (p Params) Get(name string) string { return p.values.Get(name) }

// All returns every value of a parameter that may repeat.
func (p Params) All(name string) []string {
	var all []string
	for _, v := range p.values[name] {
		if v != "" {
			all = append(all, v)
		}
	}
	return all
}

func repeated(values url.Values) error {
	for name, v := range values {
		if len(v) > 1 && name != "resource" {
			return Errorf(InvalidRequest, "the parameter %s stands more than once", clean(name))
		}
	}
	return nil
}
