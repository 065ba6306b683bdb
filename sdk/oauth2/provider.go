package oauth2

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
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

	_ sdk.Identifier = (*Provider)(nil)
)

// Manifest returns Info. Where it names no SecretURLs, they are the table's. Where
// it has no Refresh, the table's RefreshPolicy says it; without one a refresh token
// is taken to be dead after use, the careful answer.
func (p *Provider) Manifest() sdk.Manifest {
	m := p.Info
	if m.SecretURLs == nil {
		m.SecretURLs = p.Config.SecretURLs()
	}
	if m.Capabilities.Refresh && m.Refresh == (sdk.RefreshRules{}) {
		m.Refresh = p.Config.RefreshRules()
	}
	return m
}

// SecretURLs returns the URLs of the table that the client's credentials are
// sent to, and the audience of its assertions, as a manifest names them.
func (cfg *Config) SecretURLs() []string {
	list := []string{cfg.TokenURL, cfg.RefreshURL}
	if shape := cfg.Revocation.Shape; shape != RevokeBearer && shape != RevokeURL {
		list = append(list, cfg.RevokeURL)
	}
	if cfg.Identity.Introspect {
		list = append(list, cfg.UserinfoURL)
	}
	if cfg.Audience != "" {
		list = append(list, abi.SecretIssuer+cfg.Audience)
	}
	var named []string
	for _, url := range list {
		if url != "" && !slices.Contains(named, url) {
			named = append(named, url)
		}
	}
	return named
}

// Check refuses settings that leave a URL of the table without a value.
func (p *Provider) Check(c *sdk.Conversation) error {
	_, err := p.Resolve(c)
	return err
}

// UpstreamIdentity returns the table's name of the upstream.
func (p *Provider) UpstreamIdentity(c *sdk.Conversation) (string, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return "", err
	}
	return cfg.UpstreamName(), nil
}

// UpstreamName returns Upstream or its default. It needs a table that Resolve
// has completed.
func (cfg *Config) UpstreamName() string {
	switch {
	case cfg.Upstream != "":
		return cfg.Upstream
	case cfg.RefreshURL != cfg.TokenURL: // it is sent refresh tokens and secrets as well
		return cfg.TokenURL + " " + cfg.RefreshURL
	}
	return cfg.TokenURL
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
	if err := p.checkKinds(&cfg); err != nil {
		return nil, err
	}
	if cfg.AuthorizeURL == "" || cfg.TokenURL == "" {
		return nil, sdk.Misconfigured("", "no authorization endpoint or no token endpoint")
	}
	if _, err := tree.Parse([]byte(cfg.Identity.Body)); err != nil && cfg.Identity.Body != "" {
		return nil, sdk.Misconfigured("", "the body for userinfo is no JSON")
	}
	for _, url := range []*string{&cfg.AuthorizeURL, &cfg.TokenURL, &cfg.RefreshURL, &cfg.RevokeURL, &cfg.UserinfoURL, &cfg.Lookup.URL} {
		var err error
		if *url, err = Expand(c, *url); err != nil {
			return nil, err
		}
	}
	return &cfg, nil
}

// checkKinds refuses kinds of Failure.Kinds that the host does not know: an
// error of one would be a bug at the first failure. In the table itself it is the
// author's mistake, from settings the operator's.
func (p *Provider) checkKinds(cfg *Config) error {
	wrong := ""
	for code, kind := range cfg.Failure.Kinds {
		if !sdk.KnownKind(kind) && (wrong == "" || code < wrong) { // the same one every time
			wrong = code
		}
	}
	if wrong == "" {
		return nil
	}
	detail := "unknown error kind \"" + cfg.Failure.Kinds[wrong] + "\" for the code \"" + wrong + "\"; sdk/abi has the kinds"
	if _, ours := p.Config.Failure.Kinds[wrong]; ours {
		return sdk.Bug("", detail)
	}
	return sdk.Misconfigured("", detail)
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
	protocol := sdk.Form{
		{"response_type", "code"},
		{"client_id", c.Client().ID},
		{"redirect_uri", c.Client().RedirectURI},
	}
	q := append(sdk.Form{}, cfg.AuthorizeParams...)
	for _, pair := range append(cfg.renamed(protocol), cfg.scopeParams(in.Scopes)...) {
		q.Set(pair[0], pair[1])
	}
	if prompt := cfg.prompt(q.Get("prompt"), in.Prompt); prompt != "" {
		q.Set("prompt", prompt)
	}
	q.Set("state", in.State)
	if in.CodeChallenge != "" && cfg.PKCE {
		q.Set("code_challenge", in.CodeChallenge)
		q.Set("code_challenge_method", "S256")
	}
	if nonce := cfg.nonce(in.Nonce, in.State); nonce != "" {
		q.Set("nonce", nonce)
	}
	return sdk.AddQuery(cfg.AuthorizeURL, q), nil
}

// prompt adds to ours, which the table always sends, what the client wants asked
// and the upstream knows.
func (cfg *Config) prompt(ours, clients string) string {
	values := strings.Fields(ours)
	for _, v := range strings.Fields(clients) {
		if slices.Contains(cfg.Prompts, v) && !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	return strings.Join(values, " ")
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
	answer, err := cfg.RequestToken(c, cfg.TokenURL, cfg.codeForm(in))
	if err != nil {
		return nil, err
	}
	cred, err := cfg.Credential(c, answer)
	if err != nil {
		return nil, err
	}
	if cfg.Query.Scope != "" {
		cred.Scopes = cfg.split(in.Query.Get(cfg.Query.Scope))
	}
	if life := cfg.Token.GrantLifetime; life > 0 && cred.RefreshToken != "" {
		cred.RefreshExpiresAt = sooner(cred.RefreshExpiresAt, c.Now().Unix()+life)
	}
	if cred.Account, err = cfg.account(c, in, cred.AccessToken, answer); err != nil {
		return nil, err
	}
	kept := append(cfg.keptOf(in.Query), cfg.keptIn(answer)...)
	choice, err := cfg.lookUp(c, cred.AccessToken)
	if err != nil {
		return nil, err
	}
	cred.Extra = extra(nil, append(kept, choice...))
	return cred, nil
}

// Refresh renews a credential, RFC 6749 §6, and keeps of the old one what the
// answer does not replace. Unless the table wants them repeated, the scopes
// are not sent: then the same are meant.
func (p *Provider) Refresh(c *sdk.Conversation, in sdk.RefreshInput) (*sdk.Credential, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return nil, err
	}
	old := in.Credential
	if old.RefreshToken == "" || cfg.RefreshPolicy == RefreshNone {
		return nil, sdk.InvalidGrant("The connection has ended. Please connect again.", "there is no refresh token")
	}
	answer, err := cfg.RequestToken(c, cfg.RefreshURL, cfg.refreshForm(c, in))
	if err != nil {
		return nil, err
	}
	cred, err := cfg.Credential(c, answer)
	if err != nil {
		return nil, err
	}
	switch {
	case cred.RefreshToken == "":
		cred.RefreshToken, cred.RefreshExpiresAt = old.RefreshToken, old.RefreshExpiresAt
	case cfg.Token.GrantLifetime > 0: // a new refresh token does not outlive the consent
		cred.RefreshExpiresAt = sooner(cred.RefreshExpiresAt, old.RefreshExpiresAt)
	}
	if len(cred.Scopes) == 0 {
		cred.Scopes = old.Scopes
	}
	cred.Account, cred.Extra = old.Account, extra(old.Extra, cfg.keptIn(answer))
	return cred, nil
}

// codeForm is the token request for a code.
func (cfg *Config) codeForm(in sdk.ExchangeInput) sdk.Form {
	in.Query = sdk.Form{{"code", in.Query.Get(cfg.Query.Code)}}
	if !cfg.PKCE {
		in.CodeVerifier = ""
	}
	form := cfg.renamed(in.CodeForm())
	if cfg.TokenScope {
		form = append(form, cfg.scopeParams(in.Scopes)...)
	}
	return along(form, cfg.TokenParams)
}

// refreshForm is the token request for a refresh token. RFC 6749 §6: no scope
// that was not granted.
func (cfg *Config) refreshForm(c *sdk.Conversation, in sdk.RefreshInput) sdk.Form {
	form := sdk.Form{{"grant_type", "refresh_token"}, {"refresh_token", in.Credential.RefreshToken}}
	if cfg.RefreshRedirectURI {
		form.Add("redirect_uri", c.Client().RedirectURI)
	}
	form = cfg.renamed(form)
	if cfg.RefreshScope {
		form = append(form, cfg.scopeParams(cfg.scopesAgain(in))...)
	}
	return along(form, cfg.RefreshParams)
}

// scopesAgain returns the scopes to repeat with a refresh token. Answers often
// leave out offline_access, which the refresh token itself proves.
func (cfg *Config) scopesAgain(in sdk.RefreshInput) []string {
	const offline = "offline_access" // OpenID Connect Core §11
	granted := in.Credential.Scopes
	switch {
	case cfg.RefreshAsked || len(granted) == 0:
		return in.Scopes
	case slices.Contains(in.Scopes, offline) && !slices.Contains(granted, offline):
		return append(slices.Clip(granted), offline)
	}
	return granted
}

// renamed gives the protocol's parameters the upstream's names.
func (cfg *Config) renamed(form sdk.Form) sdk.Form {
	var out sdk.Form
	for _, pair := range form {
		name, ok := cfg.Rename[pair[0]]
		if !ok {
			name = pair[0]
		}
		if name != "-" {
			out.Add(name, pair[1])
		}
	}
	return out
}

// along adds the pairs of more whose names are free: RFC 6749 §3.2 allows no
// parameter twice.
func along(form, more sdk.Form) sdk.Form {
	for _, pair := range more {
		if !slices.ContainsFunc(form, func(have abi.Header) bool { return have[0] == pair[0] }) {
			form.Add(pair[0], pair[1])
		}
	}
	return form
}

// scopeParams puts the scopes into the one or two parameters that carry them.
func (cfg *Config) scopeParams(scopes []string) sdk.Form {
	if len(scopes) == 0 {
		scopes = cfg.DefaultScopes
	}
	var first, second []string
	for _, s := range scopes {
		if cfg.SecondScopeParam != "" && slices.Contains(cfg.SecondScopes, s) {
			second = append(second, s)
		} else {
			first = append(first, s)
		}
	}
	var form sdk.Form
	if len(first) > 0 && cfg.ScopeParam != "-" {
		form.Add(cfg.ScopeParam, strings.Join(first, cfg.ScopeSeparator))
	}
	if len(second) > 0 {
		form.Add(cfg.SecondScopeParam, strings.Join(second, cfg.ScopeSeparator))
	}
	return form
}

// clientAuth is the directive for a method, with the upstream's names of the
// parameters.
func (cfg *Config) clientAuth(method string) sdk.ClientAuth {
	auth := sdk.ClientAuth{Method: method}
	switch method {
	case sdk.ClientPublic, sdk.ClientSecretPost, sdk.PrivateKeyJWT, sdk.ClientSecretJWT:
		auth.IDParam = cfg.Rename["client_id"]
	}
	switch method {
	case sdk.ClientSecretPost:
		auth.SecretParam = cfg.Rename["client_secret"]
	case sdk.PrivateKeyJWT, sdk.ClientSecretJWT:
		auth.Audience = cfg.Audience
	}
	return auth
}

// decorate adds what the table sends along with every request.
func (cfg *Config) decorate(r *sdk.Request) *sdk.Request {
	r.Header("accept", cfg.Accept)
	for _, h := range cfg.Headers {
		r.Header(h[0], h[1])
	}
	return r
}
