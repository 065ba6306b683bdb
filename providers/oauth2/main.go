// Package main is the provider for any upstream that needs no code: all that
// is particular about it stands in the tenant's settings, or in one of the
// presets and what the settings change of it. It leaves discovery and nonces
// to the provider oidc.
package main

import (
	"strings"

	"github.com/sallyport/sallyport/providers/oidc/issuers"
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

func init() { sdk.Register(provider()) }

func main() {}

// settled is the table plus what the settings say of the manifest.
type settled struct {
	oauth2.Provider
}

var _ sdk.Describer = (*settled)(nil)

func provider() *settled {
	return &settled{oauth2.Provider{Info: manifest(), Configure: configure}}
}

// configure makes the table: the preset's, and over it the settings.
func configure(c *sdk.Conversation, cfg *oauth2.Config) error {
	p, err := presetOf(c)
	if err != nil {
		return err
	}
	*cfg = p.config
	base := strings.TrimSuffix(c.Setting("base_url").Str(), "/")
	if base == "" {
		base = p.base
	}
	for _, url := range urls(cfg) {
		*url = strings.ReplaceAll(*url, "{base}", base)
	}
	return apply(c, cfg)
}

// presetOf returns the preset that a tenant names, or an empty one.
func presetOf(c *sdk.Conversation) (preset, error) {
	name := c.Setting("preset").Str()
	if name == "" {
		return preset{config: oauth2.Config{PKCE: true}}, nil
	}
	var known []string
	for _, p := range presets() {
		if p.name == name {
			return p, nil
		}
		known = append(known, p.name)
	}
	return preset{}, sdk.Misconfigured("", "no preset "+name+"; there are "+strings.Join(known, ", "))
}

// urls returns every URL of a table.
func urls(cfg *oauth2.Config) []*string {
	return []*string{&cfg.AuthorizeURL, &cfg.TokenURL, &cfg.RefreshURL, &cfg.RevokeURL, &cfg.UserinfoURL, &cfg.Lookup.URL}
}

// hosts adds to list the hosts of a table that are not yet in it.
func hosts(list []string, cfg *oauth2.Config) []string {
	seen := map[string]bool{"": true}
	for _, host := range list {
		seen[host] = true
	}
	for _, url := range urls(cfg) {
		host := hostOf(*url)
		if !seen[host] {
			list, seen[host] = append(list, host), true
		}
	}
	return list
}

// hostOf returns the host of a URL, with its port if it names one.
func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return strings.ToLower(rest)
}

// Describe refuses bad settings, and narrows the manifest of many upstreams to
// the one that they name.
func (s *settled) Describe(c *sdk.Conversation) (*sdk.CheckResult, error) {
	cfg, err := s.Resolve(c)
	if err != nil {
		return nil, err
	}
	p, err := presetOf(c)
	if err != nil {
		return nil, err
	}
	rules := cfg.RefreshRules()
	rules.None = cfg.RefreshPolicy == oauth2.RefreshNone
	result := &sdk.CheckResult{Hosts: hosts(nil, cfg), Refresh: &rules, Identity: cfg.UpstreamName(), Issuer: cfg.Issuer}
	result.ManyOrganizations = cfg.Issuer != "" && issuers.ManyOrganizations(cfg.Issuer)
	if !cfg.PKCE {
		result.PKCE = &cfg.PKCE
	}
	if cfg.Query.Issuer {
		result.CallbackIssuer = cfg.Issuer
	}
	for _, scope := range cfg.DefaultScopes {
		result.Scopes = append(result.Scopes, sdk.Scope{Name: scope, Default: true})
	}
	if c.Setting("display_name").Str() == defaultName {
		result.DisplayName = p.title
	}
	if c.Setting("home_page").Str() == defaultHome {
		result.HomePage = p.home
	}
	return result, nil
}
