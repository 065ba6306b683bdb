package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// whoamiCall is a tool call as it goes over the wire, for the requests that
// must be refused: a session of the SDK would log in again and hide it.
const whoamiCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + ToolWhoami + `","arguments":{}}}`

// call sends a tool call with the token, if any, and returns the bearer
// challenge of the 401 it expects.
func (v *visit) call(ctx context.Context, token string) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.tenant.URL, strings.NewReader(whoamiCall))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := v.httpClient().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		return nil, fmt.Errorf("expected status 401, got %s", resp.Status)
	}
	challenges, err := oauthex.ParseWWWAuthenticate(resp.Header.Values("WWW-Authenticate"))
	if err != nil {
		return nil, err
	}
	for _, c := range challenges {
		if c.Scheme == "bearer" && c.Params["resource_metadata"] != "" {
			return c.Params, nil
		}
	}
	return nil, fmt.Errorf("expected a Bearer challenge with resource_metadata (RFC 9728 §5.1), got %q",
		resp.Header.Values("WWW-Authenticate"))
}

// challenge expects a call without a token to be told where to go, and no
// error code, since nothing was wrong with a token (RFC 6750 §3.1).
func (v *visit) challenge(ctx context.Context) (string, error) {
	params, err := v.call(ctx, "")
	if err != nil {
		return "", err
	}
	if fault := params["error"]; fault != "" {
		return "", fmt.Errorf("expected no error in the challenge, got %s", fault)
	}
	return params["resource_metadata"], nil
}

// refused expects a call with this token to be answered invalid_token.
func (v *visit) refused(ctx context.Context, token string) error {
	params, err := v.call(ctx, token)
	if err == nil && params["error"] != "invalid_token" {
		err = fmt.Errorf("expected error invalid_token in the challenge, got %q", params["error"])
	}
	return err
}

// discover reads the documents a client reads, with the SDK's checks (resource
// and issuer as strings, PKCE listed) and those that matter to other clients.
func (v *visit) discover(ctx context.Context) (string, error) {
	params, err := v.call(ctx, "")
	if err != nil {
		return "", err
	}
	resource, err := oauthex.GetProtectedResourceMetadata(ctx, params["resource_metadata"], v.tenant.URL, v.httpClient())
	if err != nil {
		return "", err
	}
	issuer, err := issuerOf(v.tenant.URL)
	if err != nil {
		return "", err
	}
	if !slices.Equal(resource.AuthorizationServers, []string{issuer}) {
		return "", fmt.Errorf("expected the authorization server %s, got %v", issuer, resource.AuthorizationServers)
	}
	server, err := auth.GetAuthServerMetadata(ctx, issuer, v.httpClient())
	if err != nil {
		return "", err
	}
	if server == nil {
		return "", errors.New("expected authorization server metadata, got none")
	}
	switch {
	case server.Issuer != issuer:
		return "", fmt.Errorf("expected the issuer %s byte for byte, got %s", issuer, server.Issuer)
	case !slices.Equal(server.CodeChallengeMethodsSupported, []string{"S256"}):
		return "", fmt.Errorf("expected PKCE with S256 alone, got %v", server.CodeChallengeMethodsSupported)
	case !server.AuthorizationResponseIssParameterSupported:
		return "", errors.New("expected iss in authorization responses (RFC 9207), got none advertised")
	case server.RegistrationEndpoint == "":
		return "", errors.New("expected a registration endpoint, got none")
	}
	v.server = endpoints{registration: server.RegistrationEndpoint, token: server.TokenEndpoint}
	return issuer, nil
}

func (v *visit) httpClient() *http.Client {
	return &http.Client{Transport: v.trace, Timeout: requestTimeout}
}
