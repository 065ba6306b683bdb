package oauth

import (
	"net/http"
	"net/url"
	"slices"
)

// Credentials returns the id and the secret that a request brings, in the
// Authorization header or in the body (RFC 6749 §2.3.1); the secret may be
// empty. There can be two readings of each, and any pair of them may be the
// one that was meant. An id in the body beside the header is let through as
// long as both name one caller (the Python SDK sends it). Errors are
// invalid_client and, for contradictions, invalid_request.
func Credentials(r *http.Request, p Params) (ids, secrets []string, err error) {
	ids, secrets, basic, err := basicAuth(r)
	if err != nil {
		return nil, nil, err
	}
	bodyID, bodySecret := p.Get("client_id"), p.Get("client_secret")
	switch {
	case !basic:
		ids, secrets = []string{bodyID}, []string{bodySecret}
	case bodyID != "" && !slices.Contains(ids, bodyID):
		return nil, nil, Errorf(InvalidRequest, "client_id in the body is not the client of the Authorization header")
	case bodySecret != "" && secrets[0] != "":
		return nil, nil, Errorf(InvalidRequest, "send the client secret in the Authorization header or in the body, not in both")
	case bodySecret != "":
		secrets = []string{bodySecret}
	}
	if ids[0] == "" {
		return nil, nil, Errorf(InvalidClient, "client_id is missing")
	}
	return ids, secrets, nil
}

// basicAuth reads the Authorization header and returns the readings of id and
// secret, at least one of each if ok.
func basicAuth(r *http.Request) (ids, secrets []string, ok bool, err error) {
	if r.Header.Get("Authorization") == "" {
		return nil, nil, false, nil
	}
	id, secret, ok := r.BasicAuth()
	if !ok {
		return nil, nil, false, Errorf(InvalidClient, "the Authorization header must use the Basic scheme here")
	}
	return readings(id), readings(secret), true, nil
}

// readings returns s decoded and as it stands. Id and secret are form-encoded
// in the header (RFC 6749 §2.3.1), but the TypeScript SDK does not encode: its
// '+' is a plus sign and its '%' begins nothing.
func readings(s string) []string {
	if decoded, err := url.QueryUnescape(s); err == nil && decoded != s {
		return []string{decoded, s}
	}
	return []string{s}
}
