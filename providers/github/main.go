// Package main is the provider for GitHub and GitHub Enterprise Server: user
// tokens of OAuth Apps (which never expire) and of GitHub Apps (which expire
// and rotate unless the app says otherwise). It leaves installation tokens of
// GitHub Apps, which belong to no user, out.
package main

import (
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

func init() { sdk.Register(provider()) }

func main() {}

// github is the table plus what GitHub does in its own way: revoking, and
// telling more of an account the more scopes there are.
type github struct {
	oauth2.Provider
}

func provider() *github {
	return &github{oauth2.Provider{Info: manifest(), Configure: configure}}
}

const apiVersion = "2022-11-28"

func configure(c *sdk.Conversation, cfg *oauth2.Config) error {
	web, api, err := roots(c)
	if err != nil {
		return err
	}
	*cfg = oauth2.Config{
		Upstream:     upstreamName(web, api),
		AuthorizeURL: web + "/login/oauth/authorize",
		TokenURL:     web + "/login/oauth/access_token",
		UserinfoURL:  api + "/user",
		PKCE:         true,
		Prompts:      []string{"select_account"},
		// The token endpoint sends a form unless it is asked for JSON; the API
		// refuses requests without a User-Agent.
		Headers: []abi.Header{{"user-agent", "sallyport"}},
		Token: oauth2.TokenAnswer{
			RefreshExpiresIn: "/refresh_token_expires_in",
			ScopeSeparators:  ", ", // asked for with spaces, answered with commas
		},
		// All of these arrive with status 200 or in the callback; only an
		// unknown client identifier is a 404.
		Failure: oauth2.Failure{Kinds: map[string]string{
			"bad_verification_code":        abi.KindInvalidGrant,
			"bad_refresh_token":            abi.KindInvalidGrant,
			"incorrect_client_credentials": abi.KindMisconfigured,
			"redirect_uri_mismatch":        abi.KindMisconfigured,
			"application_suspended":        abi.KindMisconfigured,
			"Not Found":                    abi.KindMisconfigured,
			"unverified_user_email":        abi.KindInteractionRequired,
		}},
		// A login can be renamed and taken over, the number cannot.
		Identity: oauth2.Identity{
			ID: "/id", Name: "/login", Email: "/email", Picture: "/avatar_url",
			Headers: []abi.Header{{"x-github-api-version", apiVersion}},
		},
	}
	return nil
}

// roots returns where users sign in and where the REST API is, without a slash
// at the end. Both follow from the host unless they are set.
func roots(c *sdk.Conversation) (web, api string, err error) {
	web = strings.TrimSuffix(c.Setting("base_url").Str(), "/")
	api = strings.TrimSuffix(c.Setting("api_url").Str(), "/")
	if (web == "") != (api == "") {
		return "", "", sdk.Misconfigured("", "base_url and api_url go together; set both, or host alone")
	}
	if web != "" {
		return web, api, nil
	}
	host := c.Setting("host").Str()
	switch {
	case host == "github.com":
		return "https://github.com", "https://api.github.com", nil
	case host == "" || strings.ContainsAny(host, "/?#@"):
		return "", "", sdk.Misconfigured("", "host is a name like github.example.com, without https:// and path")
	case strings.HasSuffix(host, ".ghe.com"):
		return "", "", sdk.Misconfigured("", "for "+host+" set base_url to https://"+host+" and api_url to https://api."+host)
	}
	return "https://" + host, "https://" + host + "/api/v3", nil
}

// upstreamName is the host that users sign in at. The REST API is another
// upstream's only where an operator put it elsewhere.
func upstreamName(web, api string) string {
	_, host, _ := strings.Cut(web, "://")
	_, apiHost, _ := strings.Cut(api, "://")
	apiHost = strings.TrimPrefix(strings.TrimSuffix(apiHost, "/api/v3"), "api.")
	if host == apiHost {
		return strings.ToLower(host)
	}
	return strings.ToLower(host + " " + apiHost)
}

// apiRequest is a request to the REST API.
func apiRequest(method, url string) *sdk.Request {
	return sdk.NewRequest(method, url).
		Header("accept", "application/vnd.github+json").
		Header("user-agent", "sallyport").
		Header("x-github-api-version", apiVersion)
}

// Revoke deletes the access token (a GitHub App's refresh token dies with it)
// or, if the settings say so, all that the user ever granted the app.
func (p *github) Revoke(c *sdk.Conversation, in sdk.RevokeInput) error {
	_, api, err := roots(c)
	if err != nil {
		return err
	}
	what := "/token"
	if c.Setting("revoke").Str() == "grant" {
		what = "/grant"
	}
	var body tree.Object
	body.Set("access_token", tree.String(in.Credential.AccessToken))
	resp, err := c.Do(apiRequest("DELETE", api+"/applications/"+sdk.PathEscape(c.Client().ID)+what).
		JSON(body.Value()).
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
