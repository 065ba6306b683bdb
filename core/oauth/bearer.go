package oauth

import (
	"errors"
	"strings"
)

// ErrNoBearer is an Authorization header without a bearer token. RFC 6750 §3.1
// has it answered as if nothing had been sent.
var ErrNoBearer = errors.New("oauth: another scheme, or no token")

// Bearer returns the token of the Authorization header, whose values are given,
// or "" if there is no such header. The query string is not looked at, except
// to say so (OAuth 2.1 §5.2). Errors are ErrNoBearer and, for requests that are
// wrong whatever the token is worth, invalid_request.
func Bearer(authorization []string, query string) (string, error) {
	if strings.Contains(query, "access_token=") {
		return "", Errorf(InvalidRequest, "send the access token in the Authorization header, never in the URL")
	}
	switch len(authorization) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", Errorf(InvalidRequest, "send one Authorization header")
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if token = strings.TrimSpace(token); token == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", ErrNoBearer
	}
	return token, nil
}
