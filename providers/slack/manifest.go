package main

import "github.com/sallyport/sallyport/sdk"

const settings = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "flow": {
      "enum": ["v2", "user", "openid"], "default": "v2",
      "description": "v2: an app's bot or user token; user: the user token flow of Slack's own MCP server; openid: Sign in with Slack, which only tells who the user is"
    },
    "token": {
      "enum": ["user", "bot"], "default": "user",
      "description": "Which token flow v2 asks for and hands to the MCP server; a bot token is one for the whole workspace"
    },
    "public": {
      "type": "boolean", "default": false,
      "description": "The Slack app has PKCE enabled and no client secret is given; its refresh tokens last 30 days"
    },
    "revoke_bot": {
      "type": "boolean", "default": false,
      "description": "When a connection ends, also revoke a bot token that does not rotate, which ends it for every user of the workspace"
    },
    "base_url": {
      "type": "string", "format": "uri", "default": "https://slack.com",
      "description": "Root of the login pages and of the Web API"
    }
  }
}`

func manifest() sdk.Manifest {
	return sdk.Manifest{
		Name:        "slack",
		Version:     "1.1.0",
		DisplayName: "Slack",
		HomePage:    "https://docs.slack.dev/authentication/installing-with-oauth",
		Settings:    sdk.Raw(settings),
		Hosts:       []string{"{settings.base_url}"},
		SecretURLs: []string{
			"{settings.base_url}/api/oauth.v2.access", "{settings.base_url}/api/oauth.v2.user.access", "{settings.base_url}/api/openid.connect.token",
		},
		Scopes: []sdk.Scope{
			{Name: "users:read", Description: "See the people in the workspace"},
			{Name: "users:read.email", Description: "See the e-mail addresses of people in the workspace"},
			{Name: "team:read", Description: "See the workspace's name, domain and icon"},
			{Name: "channels:read", Description: "See public channels and who is in them"},
			{Name: "channels:history", Description: "Read messages in public channels"},
			{Name: "groups:read", Description: "See private channels and who is in them"},
			{Name: "groups:history", Description: "Read messages in private channels"},
			{Name: "im:read", Description: "See direct messages' participants"},
			{Name: "im:history", Description: "Read direct messages"},
			{Name: "mpim:read", Description: "See group direct messages' participants"},
			{Name: "mpim:history", Description: "Read group direct messages"},
			{Name: "search:read", Description: "Search messages and files"},
			{Name: "chat:write", Description: "Send messages"},
			{Name: "reactions:read", Description: "See reactions to messages"},
			{Name: "reactions:write", Description: "Add and remove reactions"},
			{Name: "files:read", Description: "See and download files"},
			{Name: "files:write", Description: "Upload, change and delete files"},
			{Name: "canvases:read", Description: "Read canvases"},
			{Name: "canvases:write", Description: "Create, change and delete canvases"},
			{Name: "openid", Description: "Know who you are"},
			{Name: "profile", Description: "See your name and picture"},
			{Name: "email", Description: "See your e-mail address"},
		},
		Capabilities: sdk.Capabilities{PKCE: true, Refresh: true, Revoke: true, Identity: true},
		// Of apps with token rotation; the others give no refresh token. How
		// long the old one goes on working, Slack does not say.
		Refresh: sdk.RefreshRules{Rotates: true, SingleUse: true},
	}
}
