package main

import "github.com/sallyport/sallyport/sdk"

const (
	defaultName = "OpenID Connect"
	defaultHome = "https://openid.net/connect/"
)

// settings leaves out the defaults that a preset may have another of.
const settings = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "preset": {"enum": ["", "auth0", "google", "keycloak", "microsoft", "okta"], "default": "", "description": "A well-known upstream; every other setting overrides what it says"},
    "display_name": {"type": "string", "default": "OpenID Connect", "description": "What the consent page calls the upstream; a preset brings a name along"},
    "home_page": {"type": "string", "default": "https://openid.net/connect/", "description": "Where the upstream is described; a preset brings one along"},
    "issuer": {"type": "string", "format": "uri", "description": "The issuer, to the letter as its tokens have it, with or without a slash at the end; the presets google and microsoft know theirs. For national clouds of Microsoft: https://login.microsoftonline.us/TENANT/v2.0"},
    "discovery_url": {"type": "string", "format": "uri", "description": "Where the issuer's discovery document is, if it is not at ISSUER/.well-known/openid-configuration or is reached by another name, such as http://keycloak.internal:8080/realms/staff/.well-known/openid-configuration; its issuer must be the setting issuer. Endpoints may be on this host too, with its scheme"},
    "tenant": {"type": "string", "default": "organizations", "description": "For microsoft: a tenant's number or domain, organizations, consumers or common"},
    "hosts": {"type": "array", "items": {"type": "string"}, "default": [], "description": "Hosts beside the issuer's that its endpoints may be on"},
    "revoke_url": {"type": "string", "format": "uri", "description": "Revocation endpoint (RFC 7009), if discovery names none or another; default: what discovery names"},

    "client_auth": {"enum": ["post", "basic", "none", "private_key_jwt", "client_secret_jwt"], "description": "How the token endpoint knows the client; default basic, or the preset's"},
    "pkce": {"type": "boolean", "description": "Send a PKCE challenge (S256); default true, but not for LinkedIn, which refuses it"},
    "require_iss": {"type": "boolean", "default": false, "description": "Refuse a callback without iss (RFC 9207), whether or not discovery promises it; tenants with different issuers may share a callback then"},
    "prompts": {"type": "array", "items": {"enum": ["login", "select_account"]}, "description": "The values of the parameter prompt that the issuer knows; what a client asks of these is passed on; default both, but for google and okta"},
    "authorize_params": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Further parameters for the authorization endpoint, such as audience for auth0; some issuers send a refresh token only with prompt: consent"},
    "token_params": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Further parameters sent with a code, such as resource or audience"},
    "refresh_params": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Further parameters sent with a refresh token"},
    "refresh_scope": {"type": "boolean", "description": "Repeat the scopes of the login with a refresh token (RFC 6749 §6); default false, but true for Microsoft Entra, which takes the client itself for the resource otherwise (AADSTS90009)"},
    "error_kinds": {
      "type": "object",
      "additionalProperties": {"enum": ["access_denied", "invalid_grant", "invalid_scope", "interaction_required", "rate_limited", "unavailable", "misconfigured"]},
      "description": "What error codes of this issuer mean where it uses them otherwise than RFC 6749, such as invalid_request: invalid_grant of one that calls a dead refresh token so; a status such as 400 stands for an answer of the token endpoint without a code"
    },
    "offline_access": {"type": "boolean", "description": "Ask for the scope offline_access too, for a refresh token; default true, but not for google"},
    "refresh_policy": {"enum": ["none", "stable", "tolerant", "grace", "strict"], "description": "What refreshing does to the old refresh token: none: there is none; stable: no new one; tolerant: both live; grace: the old one lives for refresh_grace; strict: the old one is dead; default strict, or the preset's"},
    "refresh_grace": {"type": "integer", "minimum": 0, "description": "Seconds, with refresh_policy grace"},

    "account_tenant": {"type": "string", "description": "JSON pointer to the claim that the account's identifier is unique in; default: none; /tid for microsoft"},
    "account_id": {"type": "string", "description": "JSON pointer to the claim that is the account's stable identifier; default /sub; /oid for microsoft"},
    "account_name": {"type": "string", "default": "/name", "description": "JSON pointer to the account's name"},
    "account_email": {"type": "string", "default": "/email", "description": "JSON pointer to the account's e-mail address"},
    "account_picture": {"type": "string", "default": "/picture", "description": "JSON pointer to the URL of the account's picture"},
    "account_email_verified": {"type": "string", "default": "/email_verified", "description": "JSON pointer to what is true if the e-mail address is verified"},
    "account_organizations": {"type": "string", "description": "JSON pointer to the organization that the account belongs to, or to a list of them, such as /groups; default: none, /hd for google; the value of account_tenant is one as well"},
    "userinfo_always": {"type": "boolean", "default": false, "description": "Ask userinfo at every login; by default it is asked if the ID token leaves out what is needed: the name, or what accounts decides by; not with account_tenant"}
  }
}`

func manifest() sdk.Manifest {
	return sdk.Manifest{
		Name:        "oidc",
		Version:     "1.1.0",
		DisplayName: "{settings.display_name}",
		HomePage:    "{settings.home_page}",
		Settings:    sdk.Raw(settings),
		// What an issuer's metadata names counts for nothing here: see trusts.
		Hosts: []string{
			"{settings.issuer}", "{settings.discovery_url}", "{settings.revoke_url}", "{settings.hosts}",
			"accounts.google.com", "oauth2.googleapis.com", "openidconnect.googleapis.com",
			"login.microsoftonline.com", "graph.microsoft.com",
		},
		// The host reads the endpoints from the metadata itself.
		SecretURLs: []string{
			"discovery:{settings.issuer}", "discovery:{settings.discovery_url}", "{settings.revoke_url}", "discovery:https://accounts.google.com",
			"discovery:https://login.microsoftonline.com/{settings.tenant}/v2.0",
		},
		Scopes: []sdk.Scope{
			{Name: "openid", Description: "Know who you are", Default: true},
			{Name: "profile", Description: "See your name and picture", Default: true},
			{Name: "email", Description: "See your e-mail address", Default: true},
			{Name: "offline_access", Description: "Keep the connection while you are away"},
		},
		Capabilities: sdk.Capabilities{PKCE: true, Refresh: true, Revoke: true, Identity: true},
		// Not known beforehand, so the careful answer; Describe knows better.
		Refresh: sdk.RefreshRules{Rotates: true, SingleUse: true},
	}
}
