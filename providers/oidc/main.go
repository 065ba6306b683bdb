// Package main is the provider for any upstream that speaks OpenID Connect:
// its endpoints come from discovery, the account from the ID token or from
// userinfo. It leaves upstreams without discovery to the provider oauth2.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/sallyport/sallyport/providers/oidc/issuers"
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
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
	return &oidc{oauth2.Provider{Info: manifest()}}
}

// How old the metadata may be, in seconds: a browser is not sent to an address
// that was left behind, and a code comes back soon. Renewals go on with what is
// known for a day, or as the issuer says; if one fails, the metadata is asked
// for anew.
const (
	ageAtLogin    = 60
	ageAtCallback = 600
	ageAtRenewal  = 24 * 3600
)

// asking returns the table for an operation that takes metadata of that age.
func (p *oidc) asking(maxAge int) *oauth2.Provider {
	table := p.Provider
	table.Configure = func(c *sdk.Conversation, cfg *oauth2.Config) error { return configure(c, cfg, maxAge) }
	return &table
}

// configure makes the table. Discovery is the first request of the operation.
func configure(c *sdk.Conversation, cfg *oauth2.Config, maxAge int) error {
	s, err := settle(c)
	if err != nil {
		return err
	}
	m, err := discover(c, s, maxAge)
	if err != nil {
		return err
	}
	audience := ""
	if s.elsewhere {
		// The issuer does not know the name that its token endpoint is asked by
		// (RFC 7523 §3, 3: the issuer is an audience too).
		audience = m.issuer
	}
	*cfg = oauth2.Config{
		AuthorizeURL:    m.authorize,
		TokenURL:        m.token,
		UserinfoURL:     m.userinfo,
		RevokeURL:       m.revoke,
		Issuer:          m.issuer,
		Nonce:           nonce,
		ClientAuth:      s.clientAuth,
		Audience:        audience,
		PKCE:            s.pkce,
		Prompts:         s.prompts,
		AuthorizeParams: s.params,
		TokenParams:     s.tokenParams,
		RefreshParams:   s.refreshParams,
		RefreshScope:    s.refreshScope,
		RefreshAsked:    issuers.Entra(hostOf(s.issuer)),
		Failure:         oauth2.Failure{Kinds: s.errorKinds},
		Claims:          s.claims,
		RefreshPolicy:   s.refreshPolicy,
		RefreshGrace:    s.refreshGrace,
		Query:           oauth2.CallbackQuery{Issuer: m.sendsIssuer || s.requireIss},
		Token:           oauth2.TokenAnswer{RefreshLifetime: s.refreshLifetime},
		Identity:        account(c, s),
	}
	return nil
}

// account says where an account's members are.
func account(c *sdk.Conversation, s settled) oauth2.Identity {
	return oauth2.Identity{
		Tenant:  s.accountTenant,
		ID:      s.accountID,
		Name:    c.Setting("account_name").Str(),
		Email:   c.Setting("account_email").Str(),
		Picture: c.Setting("account_picture").Str(),

		EmailVerified: c.Setting("account_email_verified").Str(),
		Organizations: s.organizations,
		// Only the ID token has the claims of a composite identifier.
		Userinfo:   c.Setting("userinfo_always").Bool() && s.accountTenant == "",
		NoUserinfo: s.idTokenOnly,
	}
}

// nonce hashes the state: see oauth2.Config.Nonce.
func nonce(state string) string {
	sum := sha256.Sum256([]byte("sallyport nonce\n" + state))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Authorize asks for the scopes of a login.
func (p *oidc) Authorize(c *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	s, err := settle(c)
	if err != nil {
		return "", err
	}
	in.Scopes = s.loginScopes(in.Scopes)
	return p.asking(ageAtLogin).Authorize(c, in)
}

// Exchange is that of the table, with the scopes of the login. Where the issuer
// refuses them, it says that one was added here.
func (p *oidc) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	s, err := settle(c)
	if err != nil {
		return nil, err
	}
	in.Scopes = s.loginScopes(in.Scopes)
	cred, err := p.asking(ageAtCallback).Exchange(c, in)
	if e, ok := errors.AsType[*sdk.Error](err); ok && e.Kind == abi.KindInvalidScope && in.Query.Get("error") != "" && s.offlineAccess {
		e.Detail += "; offline_access is added unless offline_access: false is set"
	}
	return cred, err
}

// Refresh is that of the table, with the scopes of the login.
func (p *oidc) Refresh(c *sdk.Conversation, in sdk.RefreshInput) (*sdk.Credential, error) {
	s, err := settle(c)
	if err != nil {
		return nil, err
	}
	in.Scopes = s.loginScopes(in.Scopes)
	return p.asking(ageAtRenewal).Refresh(c, in)
}

// Revoke is that of the table.
func (p *oidc) Revoke(c *sdk.Conversation, in sdk.RevokeInput) error {
	return p.asking(ageAtRenewal).Revoke(c, in)
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
	rules.None = table.RefreshPolicy == oauth2.RefreshNone
	result := &sdk.CheckResult{Hosts: s.hosts, Refresh: &rules, Identity: s.issuer, Issuer: s.issuer}
	result.ManyOrganizations = issuers.ManyOrganizations(s.issuer) && len(s.claims) == 0
	if !s.pkce {
		result.PKCE = &s.pkce
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
