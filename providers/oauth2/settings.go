package main

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/providers/oidc/issuers"
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

// apply lays a tenant's settings over a table. What is not set stays: that is
// why the schema gives these settings no defaults.
func apply(c *sdk.Conversation, cfg *oauth2.Config) error {
	for _, s := range texts(cfg) {
		if v := c.Setting(s.name); v.Exists() {
			*s.field = v.Str()
		}
	}
	if issuers.Entra(hostOf(cfg.TokenURL)) {
		cfg.RefreshScope, cfg.RefreshAsked = true, true
	}
	for _, s := range flags(cfg) {
		if v := c.Setting(s.name); v.Exists() {
			*s.field = v.Bool()
		}
	}
	for _, s := range numbers(cfg) {
		if v := c.Setting(s.name); v.Exists() {
			*s.field, _ = v.Int()
		}
	}
	for _, s := range lists(cfg) {
		if v := c.Setting(s.name); v.Exists() {
			*s.field = v.Strings()
		}
	}
	for _, s := range pairs(cfg) {
		if v := c.Setting(s.name); v.Exists() {
			*s.field = form(v)
		}
	}
	for _, s := range maps(cfg) {
		if v := c.Setting(s.name); v.Exists() {
			*s.field = texted(v)
		}
	}
	if v, ok := c.Setting("refresh_grace").Int(); ok {
		cfg.RefreshGrace = int(v)
	}
	return oneOf(cfg)
}

// oneOf refuses what is not among the values of a setting.
func oneOf(cfg *oauth2.Config) error {
	for _, s := range []struct{ name, value, values string }{
		{"client_auth", cfg.ClientAuth, "post basic basic_secret none private_key_jwt client_secret_jwt"},
		{"revoke_client_auth", cfg.Revocation.ClientAuth, "post basic basic_secret none private_key_jwt client_secret_jwt"},
		{"token_body", cfg.Body, "form json"},
		{"token_format", cfg.Token.Format, "form json"},
		{"refresh_policy", cfg.RefreshPolicy, "none stable tolerant grace strict"},
		{"revoke_shape", cfg.Revocation.Shape, "form bearer url json"},
	} {
		if s.value != "" && !slices.Contains(strings.Fields(s.values), s.value) {
			return sdk.Misconfigured("", s.name+" must be one of "+s.values)
		}
	}
	if cfg.Query.Issuer && (cfg.Issuer == "" || strings.Contains(cfg.Issuer, "{")) {
		return sdk.Misconfigured("", "require_iss needs the setting issuer, complete: it is what iss is compared with")
	}
	if cfg.Lookup.URL != "" && cfg.Lookup.Keep == "" {
		return sdk.Misconfigured("", "lookup_url without lookup_keep")
	}
	return nil
}

// setting is a setting and the field of the table that it sets.
type setting[T any] struct {
	name  string
	field *T
}

func texts(cfg *oauth2.Config) []setting[string] {
	return []setting[string]{
		{"authorize_url", &cfg.AuthorizeURL},
		{"token_url", &cfg.TokenURL},
		{"refresh_url", &cfg.RefreshURL},
		{"revoke_url", &cfg.RevokeURL},
		{"userinfo_url", &cfg.UserinfoURL},
		{"lookup_url", &cfg.Lookup.URL},
		{"issuer", &cfg.Issuer},
		{"client_auth", &cfg.ClientAuth},
		{"audience", &cfg.Audience},
		{"token_body", &cfg.Body},
		{"accept", &cfg.Accept},
		{"scope_param", &cfg.ScopeParam},
		{"scope_separator", &cfg.ScopeSeparator},
		{"second_scope_param", &cfg.SecondScopeParam},
		{"refresh_policy", &cfg.RefreshPolicy},
		{"callback_code", &cfg.Query.Code},
		{"callback_scope", &cfg.Query.Scope},
		{"token_format", &cfg.Token.Format},
		{"answer_access_token", &cfg.Token.AccessToken},
		{"answer_refresh_token", &cfg.Token.RefreshToken},
		{"answer_id_token", &cfg.Token.IDToken},
		{"answer_scope", &cfg.Token.Scope},
		{"answer_scope_separators", &cfg.Token.ScopeSeparators},
		{"expires_in", &cfg.Token.ExpiresIn},
		{"expires_at", &cfg.Token.ExpiresAt},
		{"refresh_expires_in", &cfg.Token.RefreshExpiresIn},
		{"success", &cfg.Failure.Success},
		{"success_value", &cfg.Failure.SuccessValue},
		{"error_code", &cfg.Failure.Code},
		{"error_description", &cfg.Failure.Description},
		{"account_tenant", &cfg.Identity.Tenant},
		{"account_id", &cfg.Identity.ID},
		{"account_name", &cfg.Identity.Name},
		{"account_email", &cfg.Identity.Email},
		{"account_picture", &cfg.Identity.Picture},
		{"account_email_verified", &cfg.Identity.EmailVerified},
		{"account_organizations", &cfg.Identity.Organizations},
		{"userinfo_method", &cfg.Identity.Method},
		{"userinfo_body", &cfg.Identity.Body},
		{"lookup_list", &cfg.Lookup.List},
		{"lookup_value", &cfg.Lookup.Value},
		{"lookup_choice", &cfg.Lookup.Choice},
		{"lookup_keep", &cfg.Lookup.Keep},
		{"revoke_shape", &cfg.Revocation.Shape},
		{"revoke_method", &cfg.Revocation.Method},
		{"revoke_param", &cfg.Revocation.Param},
		{"revoke_client_auth", &cfg.Revocation.ClientAuth},
	}
}

func flags(cfg *oauth2.Config) []setting[bool] {
	return []setting[bool]{
		{"pkce", &cfg.PKCE},
		{"require_iss", &cfg.Query.Issuer},
		{"token_scope", &cfg.TokenScope},
		{"refresh_scope", &cfg.RefreshScope},
		{"refresh_redirect_uri", &cfg.RefreshRedirectURI},
		{"userinfo_introspect", &cfg.Identity.Introspect},
		{"userinfo_always", &cfg.Identity.Userinfo},
		{"revoke_access_token", &cfg.Revocation.AccessToken},
	}
}

func numbers(cfg *oauth2.Config) []setting[int64] {
	return []setting[int64]{
		{"lifetime", &cfg.Token.Lifetime},
		{"refresh_lifetime", &cfg.Token.RefreshLifetime},
		{"grant_lifetime", &cfg.Token.GrantLifetime},
	}
}

func lists(cfg *oauth2.Config) []setting[[]string] {
	return []setting[[]string]{
		{"default_scopes", &cfg.DefaultScopes},
		{"prompts", &cfg.Prompts},
		{"second_scopes", &cfg.SecondScopes},
		{"callback_keep", &cfg.Query.Keep},
		{"lookup_match", &cfg.Lookup.Match},
	}
}

func pairs(cfg *oauth2.Config) []setting[sdk.Form] {
	return []setting[sdk.Form]{
		{"authorize_params", &cfg.AuthorizeParams},
		{"token_params", &cfg.TokenParams},
		{"refresh_params", &cfg.RefreshParams},
		{"answer_keep", &cfg.Token.Keep},
		{"headers", (*sdk.Form)(&cfg.Headers)},
		{"userinfo_headers", (*sdk.Form)(&cfg.Identity.Headers)},
	}
}

func maps(cfg *oauth2.Config) []setting[map[string]string] {
	return []setting[map[string]string]{
		{"rename", &cfg.Rename},
		{"error_kinds", &cfg.Failure.Kinds},
	}
}

// form reads an object of texts as pairs, in the order written.
func form(v tree.Value) sdk.Form {
	var f sdk.Form
	for _, m := range v.Members() {
		f.Add(m.Name, m.Value.Text())
	}
	return f
}

func texted(v tree.Value) map[string]string {
	out := map[string]string{}
	for _, m := range v.Members() {
		out[m.Name] = m.Value.Str()
	}
	return out
}
