package main

import "github.com/sallyport/sallyport/sdk"

const settings = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "host": {
      "type": "string", "default": "github.com",
      "description": "github.com, or the host name of a GitHub Enterprise Server"
    },
    "base_url": {
      "type": "string", "default": "",
      "description": "Where users sign in, if that is not https://HOST; together with api_url"
    },
    "api_url": {
      "type": "string", "default": "",
      "description": "Root of the REST API, if that is neither https://api.github.com nor https://HOST/api/v3"
    },
    "revoke": {
      "enum": ["token", "grant"], "default": "token",
      "description": "What is deleted at GitHub when a connection ends: its token, or all that the user granted this app"
    }
  }
}`

func manifest() sdk.Manifest {
	return sdk.Manifest{
		Name:        "github",
		Version:     "1.1.0",
		DisplayName: "GitHub",
		HomePage:    "https://docs.github.com/apps/oauth-apps",
		Settings:    sdk.Raw(settings),
		Hosts:       []string{"{settings.host}", "api.github.com", "{settings.base_url}", "{settings.api_url}"},
		// The token endpoint, and where a token or the user's grant is deleted.
		SecretURLs: []string{
			"https://{settings.host}/login/oauth/access_token", "{settings.base_url}/login/oauth/access_token",
			"https://api.github.com/applications/{client_id}/token", "https://api.github.com/applications/{client_id}/grant",
			"https://{settings.host}/api/v3/applications/{client_id}/token", "https://{settings.host}/api/v3/applications/{client_id}/grant",
			"{settings.api_url}/applications/{client_id}/token", "{settings.api_url}/applications/{client_id}/grant",
		},
		Scopes: []sdk.Scope{
			{Name: "read:user", Description: "See your profile", Default: true},
			{Name: "user:email", Description: "See your e-mail addresses"},
			{Name: "user", Description: "See and change your profile"},
			{Name: "repo", Description: "Read and write all your repositories, public and private"},
			{Name: "public_repo", Description: "Read and write your public repositories"},
			{Name: "read:org", Description: "See your organizations and teams"},
			{Name: "gist", Description: "Create and change your gists"},
			{Name: "notifications", Description: "See and manage your notifications"},
			{Name: "workflow", Description: "Add and change workflow files of GitHub Actions"},
			{Name: "project", Description: "Read and write your projects"},
			{Name: "read:project", Description: "See your projects"},
			{Name: "read:packages", Description: "Download your packages"},
		},
		Capabilities: sdk.Capabilities{PKCE: true, Refresh: true, Revoke: true, Identity: true},
		// Of GitHub Apps; OAuth Apps give no refresh token.
		Refresh: sdk.RefreshRules{Rotates: true, SingleUse: true},
	}
}
