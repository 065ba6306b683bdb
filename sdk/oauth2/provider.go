package oauth2

import (
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// Provider is an upstream described by a table.
type Provider struct {
	Info   sdk.Manifest
	Config Config

	// Configure completes the table from the tenant's settings. It may be nil.
	Configure func(c *sdk.Conversation, cfg *Config) error
}

var (
	_ sdk.Provider  = (*Provider)(nil)
	_ sdk.Refresher = (*Provider)(nil)
	_ sdk.Revoker   = (*Provider)(nil)
	_ sdk.Checker   = (*Provider)(nil)
)

// Manifest returns Info.
func (p *Provider) Manifest() sdk.Manifest { return p.Info }

// Check refuses settings that leave a URL of the table without a value.
func (p *Provider) Check(c *sdk.Conversation) error {
	_, err := p.Resolve(c)
	return err
}

// Resolve returns the table for one tenant: completed by Configure, with its
// defaults, and with the settings put into its URLs.
func (p *Provider) Resolve(c *sdk.Conversation) (*Config, error) {
	cfg := p.Config
	if p.Configure != nil {
		if err := p.Configure(c, &cfg); err != nil {
			return nil, err
		}
	}
	cfg = cfg.filled()
	if cfg.AuthorizeURL == "" || cfg.TokenURL == "" {
		return nil, sdk.Misconfigured("", "no authorization endpoint or no token endpoint")
	}
	for _, url := range []*string{&cfg.AuthorizeURL, &cfg.TokenURL, &cfg.RefreshURL, &cfg.RevokeURL, &cfg.UserinfoURL} {
		var err error
		if *url, err = Expand(c, *url); err != nil {
			return nil, err
		}
	}
	return &cfg, nil
}

// Expand puts the tenant's settings into a URL of the table. A setting that is
// missing or empty is Misconfigured.
func Expand(c *sdk.Conversation, url string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(url, "{settings.")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		value := strings.TrimSuffix(c.Setting(name).Text(), "/")
		if !closed || value == "" {
			return "", sdk.Misconfigured("", "the setting "+name+" has no value")
		}
		out.WriteString(value)
		url = after
	}
}

// Authorize returns the authorization request, RFC 6749 §4.1.1. What the table
// sends along cannot displace what the protocol needs.
func (p *Provider) Authorize(c *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return "", err
	}
	q := append(sdk.Form{}, cfg.AuthorizeParams...)
	q.Set("response_type", "code")
	q.Set("client_id", c.Client().ID)
	q.Set("redirect_uri", c.Client().RedirectURI)
	if len(in.Scopes) > 0 && cfg.ScopeParam != "-" {
		q.Set(cfg.ScopeParam, strings.Join(in.Scopes, cfg.ScopeSeparator))
	}
	q.Set("state", in.State)
	if in.CodeChallenge != "" && cfg.PKCE {
		q.Set("code_challenge", in.CodeChallenge)
		q.Set("code_challenge_method", "S256")
	}
	return sdk.AddQuery(cfg.AuthorizeURL, q), nil
}

// Exchange redeems the code of the callback and looks up the account.
func (p *Provider) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return nil, err
	}
	if err := cfg.Callback(in); err != nil {
		return nil, err
	}
	if !cfg.PKCE {
		in.CodeVerifier = ""
	}
	answer, err := cfg.RequestToken(c, cfg.TokenURL, append(in.CodeForm(), cfg.TokenParams...))
	if err != nil {
		return nil, err
	}
	cred, err := cfg.Credential(c, answer)
	if err != nil {
		return nil, err
	}
	if cred.Account, err = cfg.Account(c, cred.AccessToken, answer); err != nil {
		return nil, err
	}
	return cred, nil
}

// Refresh renews a credential, RFC 6749 §6, and keeps of the old one what the
// answer does not replace. The scopes are not sent: then the same are meant.
func (p *Provider) Refresh(c *sdk.Conversation, in sdk.RefreshInput) (*sdk.Credential, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return nil, err
	}
	old := in.Credential
	if old.RefreshToken == "" {
		return nil, sdk.InvalidGrant("The connection has ended. Please connect again.", "there is no refresh token")
	}
	form := sdk.Form{{"grant_type", "refresh_token"}, {"refresh_token", old.RefreshToken}}
	answer, err := cfg.RequestToken(c, cfg.RefreshURL, append(form, cfg.RefreshParams...))
	if err != nil {
		return nil, err
	}
	cred, err := cfg.Credential(c, answer)
	if err != nil {
		return nil, err
	}
	if cred.RefreshToken == "" {
		cred.RefreshToken, cred.RefreshExpiresAt = old.RefreshToken, old.RefreshExpiresAt
	}
	if len(cred.Scopes) == 0 {
		cred.Scopes = old.Scopes
	}
	cred.Account, cred.Extra = old.Account, old.Extra
	return cred, nil
}

// Revoke ends a credential at the upstream, RFC 7009 §2.1: by its refresh
// token, which takes the access tokens along, or else by its access token.
func (p *Provider) Revoke(c *sdk.Conversation, in sdk.RevokeInput) error {
	cfg, err := p.Resolve(c)
	if err != nil || cfg.RevokeURL == "" {
		return err
	}
	form := sdk.Form{{"token", in.Credential.RefreshToken}, {"token_type_hint", "refresh_token"}}
	if in.Credential.RefreshToken == "" {
		form = sdk.Form{{"token", in.Credential.AccessToken}, {"token_type_hint", "access_token"}}
	}
	resp, err := c.Do(cfg.decorate(sdk.PostForm(cfg.RevokeURL, form)).Auth(cfg.ClientAuth).Idempotent())
	if err != nil {
		return err
	}
	if resp.OK() { // RFC 7009 §2.2: also for a token that is dead already
		return nil
	}
	if err := resp.Overload(c.Now()); err != nil {
		return err
	}
	if answer, err := resp.JSON(); err == nil {
		if err := cfg.failed(answer); err != nil {
			return err
		}
	}
	return resp.Unreadable("revocation refused")
}

// decorate adds what the table sends along with every request.
func (cfg *Config) decorate(r *sdk.Request) *sdk.Request {
	r.Header("accept", cfg.Accept)
	for _, h := range cfg.Headers {
		r.Header(h[0], h[1])
	}
	return r
}

// Account looks up whose token it is, or reads it from the token answer if the
// table names no UserinfoURL.
func (cfg *Config) Account(c *sdk.Conversation, accessToken string, answer tree.Value) (*sdk.Account, error) {
	if cfg.UserinfoURL == "" {
		return cfg.ReadAccount(answer)
	}
	r := cfg.decorate(sdk.Get(cfg.UserinfoURL).Bearer(accessToken))
	for _, h := range cfg.Identity.Headers {
		r.Header(h[0], h[1])
	}
	resp, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return nil, err
	}
	switch {
	case resp.Status == 401: // RFC 6750 §3.1 invalid_token
		return nil, sdk.InvalidGrant("The upstream did not accept its own token. Please connect again.", "userinfo: status 401")
	case resp.Status == 403: // RFC 6750 §3.1 insufficient_scope
		return nil, sdk.InvalidScope("The permissions granted do not allow to see who you are.", "userinfo: status 403")
	case !resp.OK():
		return nil, resp.Unreadable("userinfo")
	}
	user, err := resp.JSON()
	if err != nil {
		return nil, err
	}
	return cfg.ReadAccount(user)
}

// ReadAccount finds the account in an answer.
func (cfg *Config) ReadAccount(answer tree.Value) (*sdk.Account, error) {
	if err := cfg.failed(answer); err != nil {
		return nil, err
	}
	account := &sdk.Account{
		ID:      answer.Pointer(cfg.Identity.ID).Text(),
		Name:    answer.Pointer(cfg.Identity.Name).Text(),
		Email:   answer.Pointer(cfg.Identity.Email).Str(),
		Picture: answer.Pointer(cfg.Identity.Picture).Str(),
	}
	if account.ID == "" {
		return nil, sdk.Unavailable("The upstream did not say who you are.", "no account identifier at "+cfg.Identity.ID)
	}
	return account, nil
}
