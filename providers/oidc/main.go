// Package main is the provider for any upstream that speaks OpenID Connect:
// its endpoints come from discovery, the account from the ID token or from
// userinfo. It leaves upstreams without discovery to the provider oauth2.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

func init() { sdk.Register(provider()) }

func main() {}

// oidc is a table that discovery completes in every conversation.
type oidc struct {
	oauth2.Provider
}

var _ sdk.Describer = (*oidc)(nil)

func provider() *oidc {
	return &oidc{oauth2.Provider{Info: manifest(), Configure: configure}}
}

// configure makes the table. Discovery is the first request of the operation.
func configure(c *sdk.Conversation, cfg *oauth2.Config) error {
	s, err := settle(c)
	if err != nil {
		return err
	}
	m, err := discover(c, s)
	if err != nil {
		return err
	}
	*cfg = oauth2.Config{
		AuthorizeURL:    m.authorize,
		TokenURL:        m.token,
		UserinfoURL:     m.userinfo,
		RevokeURL:       m.revoke,
		Issuer:          m.issuer,
		Nonce:           nonce,
		ClientAuth:      s.clientAuth,
		PKCE:            c.Setting("pkce").Bool(),
		Prompts:         s.prompts,
		AuthorizeParams: s.params,
		RefreshPolicy:   s.refreshPolicy,
		RefreshGrace:    s.refreshGrace,
		Query:           oauth2.CallbackQuery{Issuer: m.sendsIssuer || s.requireIss},
		Token:           oauth2.TokenAnswer{RefreshLifetime: s.refreshLifetime},
		Identity: oauth2.Identity{
			Tenant:  s.accountTenant,
			ID:      s.accountID,
			Name:    c.Setting("account_name").Str(),
			Email:   c.Setting("account_email").Str(),
			Picture: c.Setting("account_picture").Str(),

			EmailVerified: c.Setting("account_email_verified").Str(),
			Organizations: s.organizations,
			// Only the ID token has the claims of a composite identifier.
			Userinfo: c.Setting("userinfo_always").Bool() && s.accountTenant == "",
		},
	}
	return nil
}

// nonce hashes the state: see oauth2.Config.Nonce.
func nonce(state string) string {
	sum := sha256.Sum256([]byte("sallyport nonce\n" + state))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Authorize adds the scopes that make it OpenID Connect (Core §3.1.2.1) and
// that make the upstream send a refresh token (§11).
func (p *oidc) Authorize(c *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	s, err := settle(c)
	if err != nil {
		return "", err
	}
	if !slices.Contains(in.Scopes, "openid") {
		in.Scopes = append([]string{"openid"}, in.Scopes...)
	}
	if s.offlineAccess && !slices.Contains(in.Scopes, "offline_access") {
		in.Scopes = append(slices.Clip(in.Scopes), "offline_access")
	}
	return p.Provider.Authorize(c, in)
}

// Describe refuses bad settings, and narrows the manifest to one issuer. What
// discovery says comes too late for it: check makes no requests.
func (p *oidc) Describe(c *sdk.Conversation) (*sdk.CheckResult, error) {
	s, err := settle(c)
	if err != nil {
		return nil, err
	}
	table := oauth2.Config{RefreshPolicy: s.refreshPolicy, RefreshGrace: s.refreshGrace}
	rules := table.RefreshRules()
	result := &sdk.CheckResult{Hosts: s.hosts, Refresh: &rules, Identity: s.issuer}
	if pkce := c.Setting("pkce").Bool(); !pkce {
		result.PKCE = &pkce
	}
	if s.requireIss {
		result.CallbackIssuer = s.issuer
	}
	if c.Setting("display_name").Str() == defaultName {
		result.DisplayName = s.title
	}
	if c.Setting("home_page").Str() == defaultHome {
		result.HomePage = s.home
	}
	return result, nil
}

// hostOf returns the host of a URL, with its port if it names one; a host
// alone is its own.
func hostOf(url string) string {
	if _, rest, found := strings.Cut(url, "://"); found {
		url = rest
	}
	if i := strings.IndexAny(url, "/?#"); i >= 0 {
		url = url[:i]
	}
	return strings.ToLower(url)
}
