package oauth2

import (
	"strings"

	"github.com/sallyport/sallyport/sdk"
)

// Revoke ends a credential at the upstream, RFC 7009 §2.1: by its refresh
// token, which takes the access tokens along, or else by its access token.
func (p *Provider) Revoke(c *sdk.Conversation, in sdk.RevokeInput) error {
	cfg, err := p.Resolve(c)
	if err != nil || cfg.RevokeURL == "" {
		return err
	}
	request, ok := cfg.revocation(c, in.Credential)
	if !ok {
		return nil
	}
	resp, err := c.Do(cfg.decorate(request).Idempotent())
	if err != nil {
		return err
	}
	if resp.OK() { // RFC 7009 §2.2: also for a token that is dead already
		return nil
	}
	if err := resp.Overload(c.Now()); err != nil {
		return err
	}
	if resp.Status/100 == 3 {
		return moved("revocation endpoint", resp)
	}
	// Without a client to authenticate, a refusal is about the token; a token
	// named like a resource is gone as one is.
	gone := resp.Status == 401 && cfg.Revocation.Shape == RevokeBearer ||
		resp.Status == 404 && (cfg.Revocation.Shape == RevokeURL || cfg.Revocation.Shape == RevokeJSON)
	if gone {
		return nil
	}
	if answer, err := resp.JSON(); err == nil {
		if answer.Pointer(cfg.Failure.Code).Text() == "invalid_token" {
			return nil
		}
		if err := cfg.failed(answer); err != nil {
			return dead(err)
		}
	}
	if resp.Status == 401 {
		return sdk.OAuthError("invalid_client", "revocation: status 401")
	}
	return resp.Unreadable("revocation refused")
}

// revocation returns the request that ends a credential, or false if the
// credential lacks the token for it.
func (cfg *Config) revocation(c *sdk.Conversation, cred sdk.Credential) (*sdk.Request, bool) {
	r := cfg.Revocation
	token, hint := cred.RefreshToken, "refresh_token"
	if token == "" || r.AccessToken || r.Shape == RevokeBearer {
		token, hint = cred.AccessToken, "access_token"
	}
	url := strings.ReplaceAll(cfg.RevokeURL, "{client_id}", sdk.PathEscape(c.Client().ID))
	if r.Shape == RevokeURL {
		needed := url
		url = strings.ReplaceAll(url, "{access_token}", sdk.PathEscape(cred.AccessToken))
		url = strings.ReplaceAll(url, "{refresh_token}", sdk.PathEscape(cred.RefreshToken))
		missing := cred.RefreshToken == "" && strings.Contains(needed, "{refresh_token}")
		return sdk.NewRequest(r.Method, url), !missing
	}
	if token == "" {
		return nil, false
	}
	request := sdk.NewRequest(r.Method, url)
	switch r.Shape {
	case RevokeBearer:
		return request.Bearer(token), true
	case RevokeJSON:
		request.JSON(object(sdk.Form{{r.Param, token}}))
	default:
		request.Form(sdk.Form{{r.Param, token}, {"token_type_hint", hint}})
	}
	return request.AuthWith(cfg.clientAuth(r.ClientAuth)), true
}

// dead returns nil if err says that the token is dead already.
func dead(err error) error {
	if endsToken(err) {
		return nil
	}
	return err
}
