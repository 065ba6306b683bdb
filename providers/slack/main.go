// Package main is the provider for Slack: bot and user tokens of OAuth v2,
// with and without token rotation, the user flow of Slack's own MCP server,
// and Sign in with Slack. It leaves out what is no user's and no workspace's
// token (app-level and configuration tokens) and the migration of old tokens
// to rotation.
package main

import (
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

// The tokens that a consent can yield.
const (
	user = "user"
	bot  = "bot"
)

func init() { sdk.Register(provider()) }

func main() {}

// slack is a table for the authorization request. Everything after it is
// Slack's own: its methods answer 200 whatever happens, one answer holds two
// sets of tokens, and a user is a pair.
type slack struct {
	oauth2.Provider
}

func provider() *slack {
	return &slack{oauth2.Provider{Info: manifest(), Configure: configure}}
}

func configure(c *sdk.Conversation, cfg *oauth2.Config) error {
	const root = "{settings.base_url}"
	*cfg = oauth2.Config{
		Upstream:       hostOf(c.Setting("base_url").Str()),
		AuthorizeURL:   root + "/oauth/v2/authorize",
		TokenURL:       root + "/api/oauth.v2.access",
		UserinfoURL:    root + "/api/auth.test",
		RevokeURL:      root + "/api/auth.revoke",
		ClientAuth:     sdk.ClientSecretBasic,
		PKCE:           true, // an app without it ignores the challenge
		ScopeSeparator: ",",
		Failure:        oauth2.Failure{Kinds: kinds()},
	}
	switch c.Setting("flow").Str() {
	case "user":
		cfg.AuthorizeURL = root + "/oauth/v2_user/authorize"
		cfg.TokenURL = root + "/api/oauth.v2.user.access"
	case "openid":
		cfg.AuthorizeURL = root + "/openid/connect/authorize"
		cfg.TokenURL = root + "/api/openid.connect.token"
		cfg.UserinfoURL = root + "/api/openid.connect.userInfo"
		cfg.ScopeSeparator = " "
		cfg.DefaultScopes = []string{"openid", "profile", "email"}
		cfg.ClientAuth = sdk.ClientSecretPost // its reference knows no other
	default:
		if wanted(c) == user {
			cfg.ScopeParam = "user_scope" // scope is the bot's
		}
	}
	if c.Setting("token").Str() != wanted(c) {
		return sdk.Misconfigured("", "only flow v2 gives a bot token; leave token out or set flow to v2")
	}
	if c.Setting("public").Bool() {
		cfg.ClientAuth = sdk.ClientPublic
		cfg.Token.RefreshLifetime = 30 * 24 * 3600 // of apps with PKCE enabled
	}
	return nil
}

// hostOf returns the host of a URL in lower case, with its port and path if it
// has them.
func hostOf(url string) string {
	_, host, _ := strings.Cut(url, "://")
	return strings.ToLower(strings.TrimSuffix(host, "/"))
}

// wanted returns the kind of token that the settings ask for.
func wanted(c *sdk.Conversation) string {
	if c.Setting("flow").Str() == "v2" && c.Setting("token").Str() == bot {
		return bot
	}
	return user
}

// Authorize refuses to send a user off without scopes, which Slack's page
// would refuse in words that help nobody.
func (p *slack) Authorize(c *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	if len(in.Scopes) == 0 && c.Setting("flow").Str() != "openid" {
		return "", sdk.Fail(abi.KindMisconfigured, "Slack has no default scopes; name the tenant's scopes")
	}
	return p.Provider.Authorize(c, in)
}

// Exchange redeems the code, takes the set of tokens that the settings ask
// for, and looks up whose it is.
func (p *slack) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return nil, err
	}
	if err := cfg.Callback(in); err != nil {
		return nil, err
	}
	answer, err := call(c, sdk.PostForm(cfg.TokenURL, in.CodeForm()).Auth(cfg.ClientAuth))
	if err != nil {
		return nil, err
	}
	cred, err := credential(c, cfg, wanted(c), answer)
	if err != nil {
		return nil, err
	}
	cred.Account, err = account(c, cfg, cred.AccessToken, answer)
	return cred, err
}

// Refresh renews one set of tokens; bot and user have a refresh token each.
func (p *slack) Refresh(c *sdk.Conversation, in sdk.RefreshInput) (*sdk.Credential, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return nil, err
	}
	old := in.Credential
	if old.RefreshToken == "" {
		return nil, sdk.InvalidGrant("The connection has ended. Please connect again.", "there is no refresh token")
	}
	form := sdk.Form{{"grant_type", "refresh_token"}, {"refresh_token", old.RefreshToken}}
	answer, err := call(c, sdk.PostForm(cfg.TokenURL, form).Auth(cfg.ClientAuth))
	if err != nil {
		return nil, err
	}
	cred, err := credential(c, cfg, kept(old), answer)
	if err != nil {
		return nil, err
	}
	if cred.RefreshToken == "" {
		cred.RefreshToken, cred.RefreshExpiresAt = old.RefreshToken, old.RefreshExpiresAt
	}
	if len(cred.Scopes) == 0 {
		cred.Scopes = old.Scopes
	}
	cred.Account = old.Account
	return cred, nil
}

// Revoke ends the tokens with auth.revoke, which takes one at a time. Without
// rotation it ends the authorization behind the token, and a bot's is the
// whole workspace's: so that is left alone unless the settings say otherwise.
func (p *slack) Revoke(c *sdk.Conversation, in sdk.RevokeInput) error {
	cfg, err := p.Resolve(c)
	if err != nil {
		return err
	}
	cred := in.Credential
	if kept(cred) == bot && cred.RefreshToken == "" && !c.Setting("revoke_bot").Bool() {
		return nil
	}
	for _, token := range []string{cred.RefreshToken, cred.AccessToken} {
		if token == "" {
			continue
		}
		answer, err := call(c, sdk.PostForm(cfg.RevokeURL, nil).Bearer(token).Idempotent())
		switch answer.Get("error").Str() {
		case "token_revoked", "token_expired", "account_inactive", "invalid_auth": // dead already
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// credential reads the set of tokens of one kind out of an answer. What it was
// is kept in Extra, since the settings may have changed by the next refresh.
func credential(c *sdk.Conversation, cfg *oauth2.Config, kind string, answer tree.Value) (*sdk.Credential, error) {
	set, ok := tokens(answer, kind)
	if !ok {
		return nil, sdk.Fail(abi.KindMisconfigured, "Slack issued no "+kind+" token; the settings and the scopes must ask for the same kind")
	}
	cred, err := cfg.Credential(c, set)
	if err != nil {
		return nil, err
	}
	cred.TokenType = "Bearer" // Slack says user or bot here, which is no scheme
	var extra tree.Object
	extra.Set("token", tree.String(kind))
	cred.Extra = extra.Value().Bytes()
	return cred, nil
}

// tokens finds the set of one kind. The bot's is the answer itself; the user's
// is nested in it after a consent, and the answer itself after a refresh and
// in the other flows.
func tokens(answer tree.Value, kind string) (tree.Value, bool) {
	if nested := answer.Get("authed_user"); kind == user && nested.Get("access_token").Exists() {
		return nested, true
	}
	is := answer.Get("token_type").Str()
	return answer, answer.Get("access_token").Exists() && (is == "" || (is == bot) == (kind == bot))
}

// kept returns the kind of token that a credential holds.
func kept(cred sdk.Credential) string {
	if extra, err := tree.Parse(cred.Extra); err == nil && extra.Get("token").Str() == bot {
		return bot
	}
	return user
}
