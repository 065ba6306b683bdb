package main

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

// preset is the table of one well-known upstream. {base} in its URLs is base,
// or the setting base_url.
type preset struct {
	name   string // as the setting preset has it
	title  string // for the consent page
	home   string
	base   string
	noPKCE bool // refuses a code_verifier
	config oauth2.Config
}

const day = 24 * 3600 // seconds

// presets returns all of them, by name. PKCE is on unless a preset says that its
// upstream refuses it: one that does not know it should ignore it (RFC 6749
// §3.1), and most do. "Not known" in a comment
// means that the upstream's own pages say nothing, or contradict each other;
// where refreshing is concerned the careful answer, strict, then stands.
func presets() []preset {
	list := append(presetsAtoG(), presetsHtoZ()...)
	for i := range list {
		list[i].config.PKCE = !list[i].noPKCE
	}
	return list
}

func presetsAtoG() []preset {
	return []preset{
		// Whether refresh tokens rotate is not known; revocation is not in its
		// reference.
		{name: "airtable", title: "Airtable", home: "https://airtable.com", config: oauth2.Config{
			AuthorizeURL: "https://airtable.com/oauth2/v1/authorize", // refuses a request without scopes
			TokenURL:     "https://airtable.com/oauth2/v1/token",
			UserinfoURL:  "https://api.airtable.com/v0/meta/whoami",
			ClientAuth:   sdk.ClientSecretBasic, // none, if the integration has no secret
			Identity:     oauth2.Identity{ID: "/id"},
		}},
		// Whether refresh tokens rotate, and that revocation is where it is
		// here, is not known.
		{name: "asana", title: "Asana", home: "https://asana.com", config: oauth2.Config{
			AuthorizeURL:  "https://app.asana.com/-/oauth_authorize",
			TokenURL:      "https://app.asana.com/-/oauth_token",
			RevokeURL:     "https://app.asana.com/-/oauth_revoke",
			DefaultScopes: []string{"default"},
			Identity:      oauth2.Identity{ID: "/data/gid", Name: "/data/name", Email: "/data/email"},
		}},
		// A token is for several sites; which one this tenant works with is
		// the setting lookup_choice: a site's id, name or URL.
		{name: "atlassian", title: "Atlassian", home: "https://www.atlassian.com", config: oauth2.Config{
			AuthorizeURL:    "https://auth.atlassian.com/authorize",
			TokenURL:        "https://auth.atlassian.com/oauth/token",
			RevokeURL:       "https://auth.atlassian.com/oauth/revoke",
			UserinfoURL:     "https://api.atlassian.com/me",
			AuthorizeParams: sdk.Form{{"audience", "api.atlassian.com"}, {"prompt", "consent"}},
			DefaultScopes:   []string{"read:me", "offline_access"},
			RefreshPolicy:   oauth2.RefreshGraced, RefreshGrace: 600,
			Token:    oauth2.TokenAnswer{RefreshLifetime: 90 * day},
			Identity: oauth2.Identity{ID: "/account_id"},
			Lookup: oauth2.Lookup{
				URL: "https://api.atlassian.com/oauth/token/accessible-resources", Match: []string{"/id", "/name", "/url"}, Keep: "cloud_id",
			},
		}},
		// Whether refresh tokens rotate is not known.
		{name: "bitbucket", title: "Bitbucket", home: "https://bitbucket.org", config: oauth2.Config{
			AuthorizeURL: "https://bitbucket.org/site/oauth2/authorize",
			TokenURL:     "https://bitbucket.org/site/oauth2/access_token",
			UserinfoURL:  "https://api.bitbucket.org/2.0/user",
			ClientAuth:   sdk.ClientSecretBasic,
			ScopeParam:   "-", // ticked in the consumer
			Token:        oauth2.TokenAnswer{Scope: "/scopes"},
			Identity:     oauth2.Identity{ID: "/uuid", Name: "/display_name", Picture: "/links/avatar/href"},
		}},
		{name: "box", title: "Box", home: "https://www.box.com", config: oauth2.Config{
			AuthorizeURL:  "https://account.box.com/api/oauth2/authorize",
			TokenURL:      "https://api.box.com/oauth2/token",
			RevokeURL:     "https://api.box.com/oauth2/revoke",
			UserinfoURL:   "https://api.box.com/2.0/users/me",
			RefreshPolicy: oauth2.RefreshStrict,
			Token:         oauth2.TokenAnswer{RefreshLifetime: 60 * day},
			Identity:      oauth2.Identity{ID: "/id", Email: "/login", Picture: "/avatar_url"},
		}},
		{name: "clickup", title: "ClickUp", home: "https://clickup.com", config: oauth2.Config{
			AuthorizeURL:  "https://app.clickup.com/api",
			TokenURL:      "https://api.clickup.com/api/v2/oauth/token",
			UserinfoURL:   "https://api.clickup.com/api/v2/user",
			ScopeParam:    "-", // the user picks workspaces
			RefreshPolicy: oauth2.RefreshNone,
			Identity:      oauth2.Identity{ID: "/user/id", Name: "/user/username", Email: "/user/email", Picture: "/user/profilePicture"},
		}},
		// A new refresh token comes each time; what becomes of the old one is
		// not known. Revoking ends the whole authorization.
		{name: "discord", title: "Discord", home: "https://discord.com", config: oauth2.Config{
			AuthorizeURL:  "https://discord.com/oauth2/authorize",
			TokenURL:      "https://discord.com/api/oauth2/token",
			RevokeURL:     "https://discord.com/api/oauth2/token/revoke",
			UserinfoURL:   "https://discord.com/api/users/@me",
			DefaultScopes: []string{"identify"},
			Identity:      oauth2.Identity{ID: "/id", Name: "/username", EmailVerified: "/verified"},
		}},
		{name: "dropbox", title: "Dropbox", home: "https://www.dropbox.com", config: oauth2.Config{
			AuthorizeURL:    "https://www.dropbox.com/oauth2/authorize",
			TokenURL:        "https://api.dropboxapi.com/oauth2/token",
			RevokeURL:       "https://api.dropboxapi.com/2/auth/token/revoke",
			UserinfoURL:     "https://api.dropboxapi.com/2/users/get_current_account",
			AuthorizeParams: sdk.Form{{"token_access_type", "offline"}},
			RefreshPolicy:   oauth2.RefreshStable,
			Identity:        oauth2.Identity{ID: "/account_id", Name: "/name/display_name", Picture: "/profile_photo_url", Method: "POST"},
			Revocation:      oauth2.Revocation{Shape: oauth2.RevokeBearer},
		}},
		// The separator of scopes is not known.
		{name: "figma", title: "Figma", home: "https://www.figma.com", config: oauth2.Config{
			AuthorizeURL:   "https://www.figma.com/oauth",
			TokenURL:       "https://api.figma.com/v1/oauth/token",
			RefreshURL:     "https://api.figma.com/v1/oauth/refresh",
			UserinfoURL:    "https://api.figma.com/v1/me",
			ClientAuth:     sdk.ClientSecretBasic,
			ScopeSeparator: ",",
			DefaultScopes:  []string{"current_user:read"},
			RefreshPolicy:  oauth2.RefreshStable,
			Identity:       oauth2.Identity{ID: "/id", Name: "/handle", Picture: "/img_url"},
		}},
		{name: "gitlab", title: "GitLab", home: "https://gitlab.com", base: "https://gitlab.com", config: oauth2.Config{
			AuthorizeURL:       "{base}/oauth/authorize",
			TokenURL:           "{base}/oauth/token",
			RevokeURL:          "{base}/oauth/revoke",
			UserinfoURL:        "{base}/api/v4/user",
			DefaultScopes:      []string{"read_user"},
			RefreshPolicy:      oauth2.RefreshStrict, // the access token dies too
			RefreshRedirectURI: true,
			Identity:           oauth2.Identity{ID: "/id", Picture: "/avatar_url"},
		}},
	}
}

// kinds is short for the table of an upstream's own error codes.
type kinds = map[string]string

func presetsHtoZ() []preset {
	return []preset{
		// Whether refresh tokens rotate is not known, nor whether revocation
		// stays where it is when version 1 of the API ends on 2027-02-16.
		{name: "hubspot", title: "HubSpot", home: "https://www.hubspot.com", config: oauth2.Config{
			AuthorizeURL:     "https://app.hubspot.com/oauth/authorize",
			TokenURL:         "https://api.hubapi.com/oauth/v3/token",
			RevokeURL:        "https://api.hubapi.com/oauth/v1/refresh-tokens/{refresh_token}",
			UserinfoURL:      "https://api.hubapi.com/oauth/v3/token/introspect",
			DefaultScopes:    []string{"oauth"},
			SecondScopeParam: "optional_scope", // for those named by the setting second_scopes
			Identity:         oauth2.Identity{Tenant: "/hub_id", ID: "/user_id", Name: "/user", Introspect: true},
			Revocation:       oauth2.Revocation{Shape: oauth2.RevokeURL, Method: "DELETE"},
		}},
		{name: "intercom", title: "Intercom", home: "https://www.intercom.com", config: oauth2.Config{
			AuthorizeURL:  "https://app.intercom.com/oauth",
			TokenURL:      "https://api.intercom.io/auth/eagle/token", // of the US; other regions have other hosts
			UserinfoURL:   "https://api.intercom.io/me",
			ScopeParam:    "-",
			RefreshPolicy: oauth2.RefreshNone,
			Identity:      oauth2.Identity{Tenant: "/app/id_code", ID: "/id", Picture: "/avatar/image_url"},
		}},
		// How long the old refresh token goes on is not known.
		{name: "linear", title: "Linear", home: "https://linear.app", config: oauth2.Config{
			AuthorizeURL:    "https://linear.app/oauth/authorize",
			TokenURL:        "https://api.linear.app/oauth/token",
			RevokeURL:       "https://api.linear.app/oauth/revoke",
			UserinfoURL:     "https://api.linear.app/graphql",
			ScopeSeparator:  ",",
			DefaultScopes:   []string{"read"},
			AuthorizeParams: sdk.Form{{"prompt", "consent"}},
			RefreshPolicy:   oauth2.RefreshStrict,
			Identity: oauth2.Identity{
				Tenant: "/data/viewer/organization/id", ID: "/data/viewer/id", Name: "/data/viewer/name",
				Email: "/data/viewer/email", Picture: "/data/viewer/avatarUrl",
				Body: `{"query":"{ viewer { id name email avatarUrl organization { id } } }"}`,
			},
		}},
		// Any code_verifier is answered with 401 invalid_client, although the
		// secret is right. Only approved apps get refresh tokens; one lives for a
		// year from consent, and its answer repeats it. Where revocation is, is
		// not known.
		{name: "linkedin", title: "LinkedIn", home: "https://www.linkedin.com", noPKCE: true, config: oauth2.Config{
			AuthorizeURL:  "https://www.linkedin.com/oauth/v2/authorization",
			TokenURL:      "https://www.linkedin.com/oauth/v2/accessToken",
			UserinfoURL:   "https://api.linkedin.com/v2/userinfo",
			DefaultScopes: []string{"openid", "profile", "email"},
			RefreshPolicy: oauth2.RefreshStable,
			Token: oauth2.TokenAnswer{
				RefreshExpiresIn: "/refresh_token_expires_in", ScopeSeparators: " ,", GrantLifetime: 365 * day,
			},
		}},
		{name: "notion", title: "Notion", home: "https://www.notion.com", config: oauth2.Config{
			AuthorizeURL:    "https://api.notion.com/v1/oauth/authorize",
			TokenURL:        "https://api.notion.com/v1/oauth/token",
			RevokeURL:       "https://api.notion.com/v1/oauth/revoke",
			ClientAuth:      sdk.ClientSecretBasic,
			Body:            oauth2.BodyJSON,
			Headers:         []abi.Header{{"notion-version", "2022-06-28"}},
			ScopeParam:      "-", // set in the integration
			AuthorizeParams: sdk.Form{{"owner", "user"}},
			RefreshPolicy:   oauth2.RefreshStrict, // or there is none: then it is null
			Token:           oauth2.TokenAnswer{Keep: sdk.Form{{"workspace_id", "/workspace_id"}, {"bot_id", "/bot_id"}}},
			Identity: oauth2.Identity{
				ID: "/owner/user/id", Name: "/owner/user/name", Email: "/owner/user/person/email", Picture: "/owner/user/avatar_url",
			},
			Revocation: oauth2.Revocation{Shape: oauth2.RevokeJSON, AccessToken: true},
		}},
		// Whether it knows PKCE, and that revocation is where it is here, is
		// not known.
		{name: "reddit", title: "Reddit", home: "https://www.reddit.com", config: oauth2.Config{
			AuthorizeURL:    "https://www.reddit.com/api/v1/authorize",
			TokenURL:        "https://www.reddit.com/api/v1/access_token",
			RevokeURL:       "https://www.reddit.com/api/v1/revoke_token",
			UserinfoURL:     "https://oauth.reddit.com/api/v1/me",
			ClientAuth:      sdk.ClientSecretBasic,
			Headers:         []abi.Header{{"user-agent", "sallyport"}}, // 429 to the usual ones
			DefaultScopes:   []string{"identity"},
			AuthorizeParams: sdk.Form{{"duration", "permanent"}}, // else no refresh token
			RefreshPolicy:   oauth2.RefreshStable,
			Identity:        oauth2.Identity{ID: "/id", Picture: "/icon_img"},
		}},
		// base_url: https://test.salesforce.com or the company's own domain.
		{name: "salesforce", title: "Salesforce", home: "https://www.salesforce.com", base: "https://login.salesforce.com", config: oauth2.Config{
			AuthorizeURL:  "{base}/services/oauth2/authorize",
			TokenURL:      "{base}/services/oauth2/token",
			RevokeURL:     "{base}/services/oauth2/revoke",
			UserinfoURL:   "{base}/services/oauth2/userinfo",
			Prompts:       []string{"login", "select_account"},
			DefaultScopes: []string{"api", "openid", "refresh_token"},
			RefreshPolicy: oauth2.RefreshStable, // unless the app says otherwise
			// No expires_in: the company's session policy decides.
			Token:    oauth2.TokenAnswer{Keep: sdk.Form{{"instance_url", "/instance_url"}}},
			Identity: oauth2.Identity{Tenant: "/organization_id", ID: "/user_id"},
		}},
		// Whether refresh tokens rotate is not known.
		{name: "sentry", title: "Sentry", home: "https://sentry.io", base: "https://sentry.io", config: oauth2.Config{
			AuthorizeURL:  "{base}/oauth/authorize/",
			TokenURL:      "{base}/oauth/token/",
			DefaultScopes: []string{"org:read"},
			Token:         oauth2.TokenAnswer{ExpiresAt: "/expires_at"},
			Identity:      oauth2.Identity{ID: "/user/id", Name: "/user/name", Email: "/user/email"},
		}},
		{name: "spotify", title: "Spotify", home: "https://www.spotify.com", config: oauth2.Config{
			AuthorizeURL:  "https://accounts.spotify.com/authorize",
			TokenURL:      "https://accounts.spotify.com/api/token",
			UserinfoURL:   "https://api.spotify.com/v1/me",
			ClientAuth:    sdk.ClientSecretBasic, // none, with PKCE alone
			RefreshPolicy: oauth2.RefreshStable,
			Token:         oauth2.TokenAnswer{GrantLifetime: 180 * day}, // six months from consent
			Identity:      oauth2.Identity{ID: "/id", Name: "/display_name", Picture: "/images/0/url"},
		}},
		{name: "strava", title: "Strava", home: "https://www.strava.com", config: oauth2.Config{
			AuthorizeURL:   "https://www.strava.com/oauth/authorize",
			TokenURL:       "https://www.strava.com/oauth/token",
			RevokeURL:      "https://www.strava.com/oauth/deauthorize",
			ScopeSeparator: ",",
			DefaultScopes:  []string{"read"},
			Query:          oauth2.CallbackQuery{Scope: "scope"}, // the user may untick some
			Token:          oauth2.TokenAnswer{ExpiresAt: "/expires_at"},
			Identity:       oauth2.Identity{ID: "/athlete/id", Name: "/athlete/firstname", Picture: "/athlete/profile"},
			Revocation:     oauth2.Revocation{Shape: oauth2.RevokeBearer},
		}},
		// Twitch wants every token validated hourly, which nobody does here.
		{name: "twitch", title: "Twitch", home: "https://www.twitch.tv", config: oauth2.Config{
			AuthorizeURL: "https://id.twitch.tv/oauth2/authorize",
			TokenURL:     "https://id.twitch.tv/oauth2/token",
			RevokeURL:    "https://id.twitch.tv/oauth2/revoke",
			UserinfoURL:  "https://id.twitch.tv/oauth2/validate",
			Failure: oauth2.Failure{Code: "/message", Kinds: kinds{
				"Invalid refresh token":      abi.KindInvalidGrant,
				"Invalid authorization code": abi.KindInvalidGrant,
				"invalid client":             abi.KindMisconfigured,
				"invalid client secret":      abi.KindMisconfigured,
			}},
			Identity:   oauth2.Identity{ID: "/user_id", Name: "/login"},
			Revocation: oauth2.Revocation{ClientAuth: sdk.ClientPublic, AccessToken: true},
		}},
		// Whether the old refresh token dies is not known.
		{name: "x", title: "X", home: "https://x.com", config: oauth2.Config{
			AuthorizeURL:  "https://x.com/i/oauth2/authorize",
			TokenURL:      "https://api.x.com/2/oauth2/token",
			RevokeURL:     "https://api.x.com/2/oauth2/revoke",
			UserinfoURL:   "https://api.x.com/2/users/me",
			ClientAuth:    sdk.ClientSecretBasic, // none, for a public client
			DefaultScopes: []string{"users.read", "tweet.read", "offline.access"},
			RefreshPolicy: oauth2.RefreshStrict,
			Identity:      oauth2.Identity{ID: "/data/id", Name: "/data/name"},
		}},
		{name: "zoom", title: "Zoom", home: "https://zoom.us", config: oauth2.Config{
			AuthorizeURL:  "https://zoom.us/oauth/authorize",
			TokenURL:      "https://zoom.us/oauth/token",
			RevokeURL:     "https://zoom.us/oauth/revoke",
			UserinfoURL:   "https://api.zoom.us/v2/users/me",
			ClientAuth:    sdk.ClientSecretBasic,
			ScopeParam:    "-", // set in the app
			RefreshPolicy: oauth2.RefreshStrict,
			Token:         oauth2.TokenAnswer{RefreshLifetime: 90 * day},
			Identity:      oauth2.Identity{Tenant: "/account_id", ID: "/id", Name: "/display_name", Picture: "/pic_url"},
		}},
	}
}
