package plugins

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// provider is a module with a tenant's binding.
type provider struct {
	module   *Module
	binding  Binding
	manifest abi.Manifest // the module's, with the tenant's settings filled in
	settings abi.Raw
	hosts    []string     // which may be asked
	named    upstreamName // which upstream it is
	places   secretPlaces // where a secret may go
	secrets  eraser       // of the client secret
	key      *clientKey
	answers  answers

	issuer            string // whose accounts these are, as check answers
	manyOrganizations bool
}

func (p *provider) name() string { return p.module.name() }

func (p *provider) Describe() upstream.Description {
	m := p.manifest
	d := upstream.Description{
		Name: m.Name, Version: m.Version, Digest: p.module.digest, DisplayName: m.DisplayName, HomePage: m.HomePage,
		ScopeText: map[string]string{}, PKCE: m.Capabilities.PKCE, CanRefresh: m.Capabilities.Refresh, CanRevoke: m.Capabilities.Revoke,
	}
	p.named.describe(&d, m.Name, p.binding.ClientID)
	d.Issuer, d.ManyOrganizations = p.issuer, p.manyOrganizations
	d.Refresh = upstream.RefreshRules{
		Rotates: m.Refresh.Rotates, SingleUse: m.Refresh.SingleUse, Grace: time.Duration(m.Refresh.GraceSeconds) * time.Second,
		EndsAccessToken: m.Refresh.EndsAccessToken, None: m.Refresh.None,
	}
	for _, s := range m.Scopes {
		if s.Default {
			d.DefaultScopes = append(d.DefaultScopes, s.Name)
		}
		if s.Description != "" {
			d.ScopeText[s.Name] = s.Description
		}
	}
	return d
}

// operation holds a conversation with typed input and result.
func operation[R any](ctx context.Context, p *provider, op string, input any, keep *keeper) (R, error) {
	var result R
	var text abi.Raw
	var err error
	if input != nil {
		text, err = json.Marshal(input)
	}
	if err != nil {
		return result, &upstream.Error{Kind: upstream.Bug, Detail: op + ": the input cannot be written as JSON"}
	}
	raw, err := p.converse(ctx, op, text, keep)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, p.bad(op, "its result has another shape than sdk/ABI.md says")
	}
	return result, nil
}

// bad is a result that cannot be used.
func (p *provider) bad(op, what string) error {
	return &upstream.Error{Kind: upstream.Bug, Detail: fmt.Sprintf("plugin %s, %s: %s", p.name(), op, what)}
}

// Authorize checks the URL: a plugin must
// not send a browser anywhere but to its upstream, nor drop what ties the
// answer to this browser.
func (p *provider) Authorize(ctx context.Context, req upstream.AuthorizeRequest) (string, error) {
	in := abi.AuthorizeInput{State: req.State, Scopes: list(req.Scopes), CodeChallenge: req.CodeChallenge, Prompt: req.Prompt}
	result, err := operation[abi.AuthorizeResult](ctx, p, abi.OpAuthorize, in, nil)
	if err != nil {
		return "", err
	}
	if err := rules.CheckAuthorize(result.URL, req.State, req.CodeChallenge); err != nil {
		return "", p.bad(abi.OpAuthorize, err.Error())
	}
	u, err := url.Parse(result.URL)
	if err != nil {
		return "", p.bad(abi.OpAuthorize, "the authorize URL is not a usable URL")
	}
	if err := p.module.cfg.Fetch.CheckURL(u, p.hosts); err != nil {
		return "", &upstream.Error{Kind: upstream.Misconfigured, Detail: fmt.Sprintf("plugin %s, authorize URL", p.name()), Err: err}
	}
	return result.URL, nil
}

func (p *provider) Exchange(ctx context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	in := abi.ExchangeInput{Query: []abi.Header{}, CodeVerifier: req.CodeVerifier.Reveal(), Scopes: list(req.Scopes), Needs: req.Needs}
	for _, name := range slices.Sorted(maps.Keys(req.Query)) {
		for _, v := range req.Query[name] {
			in.Query = append(in.Query, abi.Header{name, v})
		}
	}
	got, err := operation[abi.Credential](ctx, p, abi.OpExchange, in, nil)
	if err != nil {
		return nil, err
	}
	if err := rules.CheckExchange(got); err != nil {
		return nil, p.bad(abi.OpExchange, err.Error())
	}
	return p.merge(abi.OpExchange, got, upstream.Credential{Scopes: req.Scopes})
}

func (p *provider) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	if !p.module.manifest.Capabilities.Refresh {
		return nil, &upstream.Error{Kind: upstream.InvalidGrant, Detail: "plugin " + p.name() + " cannot refresh"}
	}
	in := abi.RefreshInput{Credential: toWire(req.Credential), Scopes: list(req.Scopes)}
	got, err := operation[abi.Credential](ctx, p, abi.OpRefresh, in, newKeeper(req.Journal, req.Credential))
	if err != nil {
		return nil, err
	}
	return p.merge(abi.OpRefresh, got, *req.Credential)
}

func (p *provider) Revoke(ctx context.Context, cred *upstream.Credential) error {
	if !p.module.manifest.Capabilities.Revoke {
		return nil
	}
	_, err := operation[struct{}](ctx, p, abi.OpRevoke, abi.RevokeInput{Credential: toWire(cred)}, nil)
	return err
}

// merge lays what a provider returned over what is known.
func (p *provider) merge(op string, got abi.Credential, known upstream.Credential) (*upstream.Credential, error) {
	if err := rules.CheckRefresh(got, known.Account.ID); err != nil {
		return nil, p.bad(op, err.Error())
	}
	known.AccessToken = seal.NewSecret(got.AccessToken)
	known.TokenType = cmp.Or(got.TokenType, known.TokenType)
	known.ExpiresAt = instant(got.ExpiresAt)
	if got.RefreshToken != "" {
		known.RefreshToken = seal.NewSecret(got.RefreshToken)
		known.RefreshExpiresAt = instant(got.RefreshExpiresAt)
	} else if got.RefreshExpiresAt != 0 {
		known.RefreshExpiresAt = instant(got.RefreshExpiresAt)
	}
	if len(got.Scopes) > 0 {
		known.Scopes = got.Scopes
	}
	if a := got.Account; a != nil {
		known.Account = upstream.Account{
			ID: a.ID, Name: a.Name, Email: a.Email, Picture: a.Picture,
			EmailVerified: a.EmailVerified, Organizations: a.Organizations,
		}
	}
	if len(got.Extra) > 0 && string(got.Extra) != "null" {
		known.Extra = got.Extra
	}
	return &known, nil
}

func toWire(c *upstream.Credential) abi.Credential {
	return abi.Credential{
		AccessToken: c.AccessToken.Reveal(), TokenType: c.TokenType, RefreshToken: c.RefreshToken.Reveal(),
		ExpiresAt: seconds(c.ExpiresAt), RefreshExpiresAt: seconds(c.RefreshExpiresAt), Scopes: c.Scopes,
		Account: &abi.Account{
			ID: c.Account.ID, Name: c.Account.Name, Email: c.Account.Email, Picture: c.Account.Picture,
			EmailVerified: c.Account.EmailVerified, Organizations: c.Account.Organizations,
		},
		Extra: c.Extra,
	}
}

// instant is a time of a plugin's, zero for none. One beyond the year 9999 could
// not be stored (RFC 3339 §1), and is as good as none.
func instant(unix int64) time.Time {
	const last = 253402300799 // 9999-12-31T23:59:59Z
	if unix <= 0 || unix > last {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// list makes sure that none is written as [] and not as null.
func list(s []string) []string { return append([]string{}, s...) }
