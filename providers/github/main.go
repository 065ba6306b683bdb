// Package main is the provider for GitHub and GitHub Enterprise Server: user
// tokens of OAuth Apps (which never expire) and of GitHub Apps (which expire
// and rotate unless the app says otherwise). It leaves installation tokens of
// GitHub Apps, which belong to no user, out.
package main

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

func init() { sdk.Register(provider()) }

func main() {}

// github is the table plus the one thing GitHub does in its own way: revoking.
type github struct {
	oauth2.Provider
}

func provider() *github {
	return &github{oauth2.Provider{Info: manifest(), Config: config()}}
}

func config() oauth2.Config {
	return oauth2.Config{
		AuthorizeURL: "{settings.base_url}/login/oauth/authorize",
		TokenURL:     "{settings.base_url}/login/oauth/access_token",
		UserinfoURL:  "{settings.api_url}/user",
		PKCE:         true,
		// The token endpoint sends a form unless it is asked for JSON; the API
		// refuses requests without a User-Agent.
		Headers: []abi.Header{{"user-agent", "sallyport"}},
		Token: oauth2.TokenAnswer{
			RefreshExpiresIn: "/refresh_token_expires_in",
			ScopeSeparators:  ", ", // asked for with spaces, answered with commas
		},
		// All of these arrive with status 200.
		Failure: oauth2.Failure{Kinds: map[string]string{
			"bad_verification_code":        abi.KindInvalidGrant,
			"bad_refresh_token":            abi.KindInvalidGrant,
			"incorrect_client_credentials": abi.KindMisconfigured,
			"redirect_uri_mismatch":        abi.KindMisconfigured,
			"application_suspended":        abi.KindMisconfigured,
			"unverified_user_email":        abi.KindInteractionRequired,
		}},
		// A login can be renamed and taken over, the number cannot.
		Identity: oauth2.Identity{
			ID: "/id", Name: "/login", Email: "/email", Picture: "/avatar_url",
			Headers: []abi.Header{{"x-github-api-version", "2022-11-28"}},
		},
	}
}

// Revoke deletes the access token. A GitHub App's refresh token dies with it.
func (p *github) Revoke(c *sdk.Conversation, in sdk.RevokeInput) error {
	url, err := oauth2.Expand(c, "{settings.api_url}/applications/")
	if err != nil {
		return err
	}
	var body tree.Object
	body.Set("access_token", tree.String(in.Credential.AccessToken))
	resp, err := c.Do(sdk.NewRequest("DELETE", url+sdk.PathEscape(c.Client().ID)+"/token").
		JSON(body.Value()).
		Header("accept", "application/vnd.github+json").
		Header("user-agent", "sallyport").
		Auth(sdk.ClientSecretBasic).
		Idempotent())
	if err != nil {
		return err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return err
	}
	switch resp.Status {
	case 204, 404, 422: // gone; or not a token of this app, any more
		return nil
	case 401:
		return sdk.Fail(abi.KindMisconfigured, "revoke: client id or secret refused")
	}
	return resp.Unreadable("revoke")
}
