package main

import "github.com/sallyport/sallyport/sdk"

const settings = `{
  "type": "object",
  "additionalProperties": false,
  "required": ["authorize_url", "token_url"],
  "properties": {
    "authorize_url": {"type": "string", "format": "uri", "description": "Authorization endpoint"},
    "token_url": {"type": "string", "format": "uri", "description": "Token endpoint"},
    "refresh_url": {"type": "string", "default": "", "description": "Token endpoint for refreshing; empty: token_url"},
    "revoke_url": {"type": "string", "default": "", "description": "Revocation endpoint (RFC 7009); empty: there is none"},
    "userinfo_url": {"type": "string", "default": "", "description": "Where to look up the account with the access token; empty: the token answer tells"},
    "client_auth": {"enum": ["post", "basic", "none"], "default": "post", "description": "How the token endpoint knows the client"},
    "pkce": {"type": "boolean", "default": true, "description": "Send a PKCE challenge (S256)"},
    "scope_param": {"type": "string", "default": "scope", "description": "Parameter that carries the scopes; - sends none"},
    "scope_separator": {"type": "string", "default": " ", "minLength": 1, "maxLength": 1, "description": "What stands between scopes; in answers a space does too"},
    "authorize_params": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}, "description": "Further parameters for the authorization endpoint"},
    "token_params": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}, "description": "Further parameters sent with a code"},
    "refresh_params": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}, "description": "Further parameters sent with a refresh token"},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}, "default": {}, "description": "Headers sent with every request"},
    "token_format": {"enum": ["", "json", "form"], "default": "", "description": "Format of the token answer; empty: by its content type"},
    "expires_at": {"type": "string", "default": "", "description": "JSON pointer to an absolute expiry (seconds, milliseconds or RFC 3339); empty: expires_in only"},
    "success": {"type": "string", "default": "", "description": "JSON pointer to what is true in every good answer, such as /ok; empty: nothing"},
    "error_kinds": {
      "type": "object", "default": {},
      "additionalProperties": {"enum": ["access_denied", "invalid_grant", "invalid_scope", "interaction_required", "rate_limited", "unavailable", "misconfigured"]},
      "description": "What the upstream's own error codes mean"
    },
    "account_id": {"type": "string", "default": "/sub", "description": "JSON pointer to the account's stable identifier; never a login or an e-mail address"},
    "account_name": {"type": "string", "default": "/name", "description": "JSON pointer to the account's name"},
    "account_email": {"type": "string", "default": "/email", "description": "JSON pointer to the account's e-mail address"},
    "account_picture": {"type": "string", "default": "/picture", "description": "JSON pointer to the URL of the account's picture"}
  }
}`

func manifest() sdk.Manifest {
	return sdk.Manifest{
		Name:        "oauth2",
		Version:     "1.0.0",
		DisplayName: "OAuth 2.0",
		HomePage:    "https://www.rfc-editor.org/rfc/rfc6749",
		Settings:    sdk.Raw(settings),
		Hosts: []string{
			"{settings.authorize_url}", "{settings.token_url}", "{settings.refresh_url}",
			"{settings.revoke_url}", "{settings.userinfo_url}",
		},
		Capabilities: sdk.Capabilities{PKCE: true, Refresh: true, Revoke: true, Identity: true},
		// Not known beforehand, so the careful answer.
		Refresh: sdk.RefreshRules{Rotates: true, SingleUse: true},
	}
}
