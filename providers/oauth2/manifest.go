package main

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk"
)

const (
	defaultName = "OAuth 2.0"
	defaultHome = "https://www.rfc-editor.org/rfc/rfc6749"
)

// settings has defaults in words only, with these exceptions: the host fills
// defaults in, and then a preset could not tell what was set.
const settings = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "preset": {"enum": ["", "airtable", "asana", "atlassian", "bitbucket", "box", "clickup", "discord", "dropbox", "figma", "gitlab", "hubspot", "intercom", "linear", "linkedin", "notion", "reddit", "salesforce", "sentry", "spotify", "strava", "twitch", "x", "zoom"], "default": "", "description": "A well-known upstream; every other setting overrides what it says, an object as a whole"},
    "display_name": {"type": "string", "default": "OAuth 2.0", "description": "What the consent page calls the upstream; a preset brings a name along"},
    "home_page": {"type": "string", "default": "https://www.rfc-editor.org/rfc/rfc6749", "description": "Where the upstream is described; a preset brings one along"},
    "base_url": {"type": "string", "format": "uri", "description": "Root of a self-hosted or regional upstream, for presets that allow it (gitlab, salesforce, sentry)"},

    "authorize_url": {"type": "string", "format": "uri", "description": "Authorization endpoint"},
    "token_url": {"type": "string", "format": "uri", "description": "Token endpoint"},
    "refresh_url": {"type": "string", "description": "Token endpoint for refreshing; default: token_url"},
    "client_auth": {"enum": ["post", "basic", "basic_secret", "none", "private_key_jwt", "client_secret_jwt"], "description": "How the token endpoint knows the client; default post. basic_secret: the secret is the user, the password empty; client_secret_jwt: an assertion with a MAC made with the secret"},
    "audience": {"type": "string", "description": "For private_key_jwt: whom the assertion is for; default: the URL asked"},
    "rename": {"type": "object", "additionalProperties": {"type": "string"}, "description": "The upstream's names of RFC 6749's parameters, such as client_id: client_key; - leaves one out. Not for state and code_challenge"},
    "token_body": {"enum": ["form", "json"], "description": "What the token endpoint reads; default form"},
    "headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Headers sent with every request"},
    "accept": {"type": "string", "description": "The header Accept; default application/json"},
    "pkce": {"type": "boolean", "description": "Send a PKCE challenge (S256); default true, but not for linkedin, which refuses it"},
    "require_iss": {"type": "boolean", "description": "Refuse a callback without iss (RFC 9207), which is compared with issuer; tenants with different issuers may share a callback then; default false"},

    "scope_param": {"type": "string", "description": "Parameter that carries the scopes; - sends none; default scope"},
    "scope_separator": {"type": "string", "minLength": 1, "maxLength": 1, "description": "What stands between scopes; in answers a space does too; default a space"},
    "default_scopes": {"type": "array", "items": {"type": "string"}, "description": "Scopes asked for when the tenant names none"},
    "second_scope_param": {"type": "string", "description": "A second parameter for scopes, such as user_scope"},
    "second_scopes": {"type": "array", "items": {"type": "string"}, "description": "The scopes that go there"},
    "prompts": {"type": "array", "items": {"enum": ["login", "select_account"]}, "description": "The values of the parameter prompt that the upstream knows; what a client asks of these is passed on; default: none"},
    "authorize_params": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Further parameters for the authorization endpoint"},
    "token_params": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Further parameters sent with a code"},
    "refresh_params": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Further parameters sent with a refresh token"},
    "token_scope": {"type": "boolean", "description": "Repeat the scopes with a code; default false"},
    "refresh_scope": {"type": "boolean", "description": "Repeat the scopes with a refresh token; default false, but true if token_url is at Microsoft Entra"},
    "refresh_redirect_uri": {"type": "boolean", "description": "Repeat the redirect URI with a refresh token; default false"},
    "refresh_policy": {"enum": ["none", "stable", "tolerant", "grace", "strict"], "description": "What refreshing does to the old refresh token: none: there is none; stable: no new one; tolerant: both live; grace: the old one lives for refresh_grace; strict (default): the old one is dead"},
    "refresh_grace": {"type": "integer", "minimum": 0, "description": "Seconds, with refresh_policy grace"},

    "callback_code": {"type": "string", "description": "Parameter of the callback that holds the code; default code"},
    "callback_scope": {"type": "string", "description": "Parameter of the callback that tells the scopes granted; default: the token answer does"},
    "callback_keep": {"type": "array", "items": {"type": "string"}, "description": "Parameters of the callback to keep with the credential"},
    "token_format": {"enum": ["", "json", "form"], "description": "Format of the token answer; default: by its content type"},
    "answer_access_token": {"type": "string", "description": "JSON pointer to the access token; default /access_token"},
    "answer_refresh_token": {"type": "string", "description": "JSON pointer to the refresh token; default /refresh_token"},
    "answer_id_token": {"type": "string", "description": "JSON pointer to the ID token, read if issuer is set; default /id_token"},
    "answer_scope": {"type": "string", "description": "JSON pointer to the scopes granted, text or a list; default /scope"},
    "answer_scope_separators": {"type": "string", "description": "What stands between them, each character; default a space and scope_separator"},
    "answer_keep": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Names and JSON pointers into the token answer: what to keep with the credential"},
    "expires_in": {"type": "string", "description": "JSON pointer to the seconds that the access token lives; default /expires_in"},
    "expires_at": {"type": "string", "description": "JSON pointer to an absolute expiry (seconds, milliseconds or RFC 3339); default: expires_in only"},
    "lifetime": {"type": "integer", "minimum": 0, "description": "Seconds that an access token lives if the answer does not say; default: not known"},
    "refresh_expires_in": {"type": "string", "description": "JSON pointer to the seconds that the refresh token lives; default /refresh_expires_in"},
    "refresh_lifetime": {"type": "integer", "minimum": 0, "description": "Seconds that a new refresh token lives if the answer does not say; default: not known"},
    "grant_lifetime": {"type": "integer", "minimum": 0, "description": "Seconds from consent after which no refresh token works; default: not known"},

    "success": {"type": "string", "description": "JSON pointer to what every good answer has, such as /ok; default: nothing"},
    "success_value": {"type": "string", "description": "What is there; default true"},
    "error_code": {"type": "string", "description": "JSON pointer to an error code, with any status; default /error"},
    "error_description": {"type": "string", "description": "JSON pointer to its description; default /error_description"},
    "error_kinds": {
      "type": "object",
      "additionalProperties": {"enum": ["access_denied", "invalid_grant", "invalid_scope", "interaction_required", "rate_limited", "unavailable", "misconfigured"]},
      "description": "What the upstream's own error codes mean; a status such as 400 stands for an answer of the token endpoint without a code"
    },

    "userinfo_url": {"type": "string", "description": "Where to look up the account with the access token, which may stand in it as {access_token}; default: the token answer tells"},
    "userinfo_method": {"type": "string", "description": "Default GET, or POST with a body"},
    "userinfo_body": {"type": "string", "description": "JSON sent along, such as a GraphQL query"},
    "userinfo_headers": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Headers sent along"},
    "userinfo_introspect": {"type": "boolean", "description": "Send the token in a form and authenticate the client (RFC 7662); default false"},
    "userinfo_always": {"type": "boolean", "description": "Ask also if an ID token tells the account; default false"},
    "issuer": {"type": "string", "description": "Whose ID tokens tell the account (OpenID Connect); default: none are read"},
    "account_tenant": {"type": "string", "description": "JSON pointer to what the account's identifier is unique in, such as a team; default: nothing"},
    "account_id": {"type": "string", "description": "JSON pointer to the account's stable identifier; never a login or an e-mail address; default /sub"},
    "account_name": {"type": "string", "description": "JSON pointer to the account's name; default /name"},
    "account_email": {"type": "string", "description": "JSON pointer to the account's e-mail address; default /email"},
    "account_email_verified": {"type": "string", "description": "JSON pointer to what is true if the e-mail address is verified; default /email_verified"},
    "account_organizations": {"type": "string", "description": "JSON pointer to the organization that the account belongs to, or to a list of them, by identifiers; the value of account_tenant is one as well; default: none"},
    "account_picture": {"type": "string", "description": "JSON pointer to the URL of the account's picture; default /picture"},

    "lookup_url": {"type": "string", "description": "One request after consent for something the user may have several of, such as sites; default: none"},
    "lookup_list": {"type": "string", "description": "JSON pointer to the list; default: the answer is the list"},
    "lookup_value": {"type": "string", "description": "JSON pointer in an item to what is kept; default /id"},
    "lookup_match": {"type": "array", "items": {"type": "string"}, "description": "JSON pointers in an item to what lookup_choice is compared with; default lookup_value"},
    "lookup_choice": {"type": "string", "description": "Which item; default: there has to be exactly one"},
    "lookup_keep": {"type": "string", "description": "The name under which it is kept with the credential"},

    "revoke_url": {"type": "string", "description": "Revocation endpoint; may hold {client_id}; default: there is none"},
    "revoke_shape": {"enum": ["form", "bearer", "url", "json"], "description": "Where the token goes: form (RFC 7009, default), bearer: the header, url: {access_token} or {refresh_token} in revoke_url, json: an object"},
    "revoke_method": {"type": "string", "description": "Default POST"},
    "revoke_param": {"type": "string", "description": "Name of the token in a form or an object; default token"},
    "revoke_access_token": {"type": "boolean", "description": "Send the access token even if there is a refresh token; default false"},
    "revoke_client_auth": {"enum": ["post", "basic", "basic_secret", "none", "private_key_jwt", "client_secret_jwt"], "description": "How the endpoint knows the client; default: client_auth"}
  }
}`

func manifest() sdk.Manifest {
	return sdk.Manifest{
		Name:         "oauth2",
		Version:      "1.2.0",
		DisplayName:  "{settings.display_name}",
		HomePage:     "{settings.home_page}",
		Settings:     sdk.Raw(settings),
		Hosts:        allHosts(),
		SecretURLs:   allSecretURLs(),
		Capabilities: sdk.Capabilities{PKCE: true, Refresh: true, Revoke: true, Identity: true},
		// Not known beforehand, so the careful answer; Describe knows better.
		Refresh: sdk.RefreshRules{Rotates: true, SingleUse: true},
	}
}

// allHosts names what settings name and what any preset needs: a manifest is
// read before settings are. Describe narrows it to one tenant's upstream.
func allHosts() []string {
	list := []string{
		"{settings.base_url}", "{settings.authorize_url}", "{settings.token_url}", "{settings.refresh_url}",
		"{settings.revoke_url}", "{settings.userinfo_url}", "{settings.lookup_url}",
	}
	for _, p := range presets() {
		for _, url := range urls(&p.config) {
			*url = strings.ReplaceAll(*url, "{base}", p.base)
		}
		list = hosts(list, &p.config)
	}
	return list
}

// allSecretURLs names the same way where a secret may go: what settings name,
// and the endpoints of every preset, at its own root or at the setting
// base_url. Hosts narrows it to one tenant's upstream.
func allSecretURLs() []string {
	list := []string{
		"{settings.token_url}", "{settings.refresh_url}", "{settings.revoke_url}", "{settings.userinfo_url}",
		"issuer:{settings.audience}", "issuer:{settings.issuer}",
	}
	for _, p := range presets() {
		roots := []string{p.base, "{settings.base_url}"}
		if p.base == "" {
			roots = roots[1:]
		}
		for _, url := range p.config.SecretURLs() {
			if !strings.Contains(url, "{base}") {
				list = append(list, url)
				continue
			}
			for _, root := range roots {
				list = append(list, strings.ReplaceAll(url, "{base}", root))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
