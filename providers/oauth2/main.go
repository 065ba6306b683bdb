// Package main is the provider for any upstream that needs no code: all that
// is particular about it stands in the tenant's settings. It leaves discovery
// and ID tokens to the provider oidc.
package main

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

func init() { sdk.Register(provider()) }

func main() {}

func provider() *oauth2.Provider {
	return &oauth2.Provider{Info: manifest(), Configure: configure}
}

// configure makes the table of the settings. The schema gives every one of
// them a default but the two endpoints that it requires.
func configure(c *sdk.Conversation, cfg *oauth2.Config) error {
	text := func(name string) string { return c.Setting(name).Str() }
	*cfg = oauth2.Config{
		AuthorizeURL:    text("authorize_url"),
		TokenURL:        text("token_url"),
		RefreshURL:      text("refresh_url"),
		RevokeURL:       text("revoke_url"),
		UserinfoURL:     text("userinfo_url"),
		ClientAuth:      text("client_auth"),
		PKCE:            c.Setting("pkce").Bool(),
		ScopeParam:      text("scope_param"),
		ScopeSeparator:  text("scope_separator"),
		AuthorizeParams: params(c.Setting("authorize_params")),
		TokenParams:     params(c.Setting("token_params")),
		RefreshParams:   params(c.Setting("refresh_params")),
		Headers:         params(c.Setting("headers")),
		Token: oauth2.TokenAnswer{
			Format:    text("token_format"),
			ExpiresAt: text("expires_at"),
		},
		Failure: oauth2.Failure{Success: text("success"), Kinds: kinds(c.Setting("error_kinds"))},
		Identity: oauth2.Identity{
			ID: text("account_id"), Name: text("account_name"), Email: text("account_email"), Picture: text("account_picture"),
		},
	}
	switch cfg.ClientAuth {
	case abi.AuthPost, abi.AuthBasic, abi.AuthNone, "":
		return nil
	}
	return sdk.Misconfigured("", "client_auth must be post, basic or none")
}

// params reads an object of texts as pairs, in the order written.
func params(v tree.Value) sdk.Form {
	var f sdk.Form
	for _, m := range v.Members() {
		f.Add(m.Name, m.Value.Text())
	}
	return f
}

func kinds(v tree.Value) map[string]string {
	kinds := map[string]string{}
	for _, m := range v.Members() {
		kinds[m.Name] = m.Value.Str()
	}
	return kinds
}
