package main

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

// settled is what the settings come to, over those of a preset. Of the
// settings, only those without a default in the schema can be a preset's.
type settled struct {
	title, home     string
	issuer          string   // {tenant} in it is the setting tenant
	hosts           []string // beside the issuer's own
	clientAuth      string
	prompts         []string // nil: all of them
	params          sdk.Form
	offlineAccess   bool // ask for the scope offline_access
	refreshPolicy   string
	refreshGrace    int
	refreshLifetime int64
	accountID       string
	accountTenant   string
	organizations   string
	requireIss      bool // every callback carries iss (RFC 9207), and it is the issuer
	manyTenants     bool // discovery may answer with another tenant's issuer, or {tenantid}
}

// presetOf returns what is particular about a well-known upstream, and false
// if it is not known.
func presetOf(name string) (settled, bool) {
	const day = 24 * 3600 // seconds
	switch name {
	case "":
		return settled{clientAuth: sdk.ClientSecretBasic, offlineAccess: true}, true
	case "auth0":
		return settled{
			title: "Auth0", home: "https://auth0.com",
			clientAuth: sdk.ClientSecretPost, offlineAccess: true,
		}, true
	case "google": // refuses the scope offline_access
		return settled{
			title: "Google", home: "https://accounts.google.com",
			issuer:        "https://accounts.google.com",
			hosts:         []string{"oauth2.googleapis.com", "openidconnect.googleapis.com"},
			clientAuth:    sdk.ClientSecretPost,
			prompts:       []string{"select_account"},
			params:        sdk.Form{{"access_type", "offline"}, {"prompt", "consent"}},
			refreshPolicy: oauth2.RefreshStable,
			organizations: "/hd", // the company's domain, which Google has verified
		}, true
	case "keycloak": // as it is installed; a realm may be made strict
		return settled{
			title: "Keycloak", home: "https://www.keycloak.org",
			clientAuth: sdk.ClientSecretBasic, offlineAccess: true, refreshPolicy: oauth2.RefreshTolerant,
		}, true
	case "microsoft": // sub is another one for every app: oid is the user's, within the tenant
		return settled{
			title: "Microsoft", home: "https://entra.microsoft.com",
			issuer:     "https://login.microsoftonline.com/{tenant}/v2.0",
			hosts:      []string{"graph.microsoft.com"},
			clientAuth: sdk.ClientSecretPost, offlineAccess: true,
			refreshPolicy: oauth2.RefreshTolerant, refreshLifetime: 90 * day,
			accountID: "/oid", accountTenant: "/tid", manyTenants: true,
		}, true
	case "okta":
		return settled{
			title: "Okta", home: "https://www.okta.com",
			prompts:    []string{"login"},
			clientAuth: sdk.ClientSecretBasic, offlineAccess: true,
		}, true
	}
	return settled{}, false
}

// settle reads and checks the settings.
func settle(c *sdk.Conversation) (settled, error) {
	s, known := presetOf(c.Setting("preset").Str())
	if !known {
		return s, sdk.Misconfigured("", "no preset "+c.Setting("preset").Str()+"; there are auth0, google, keycloak, microsoft and okta")
	}
	for _, text := range []struct {
		name  string
		field *string
	}{
		{"issuer", &s.issuer}, {"client_auth", &s.clientAuth}, {"refresh_policy", &s.refreshPolicy},
		{"account_id", &s.accountID}, {"account_tenant", &s.accountTenant},
		{"account_organizations", &s.organizations},
	} {
		if v := c.Setting(text.name); v.Exists() {
			*text.field = v.Str()
		}
	}
	if v := c.Setting("authorize_params"); v.Exists() {
		s.params = nil
		for _, m := range v.Members() {
			s.params.Add(m.Name, m.Value.Text())
		}
	}
	if v := c.Setting("prompts"); v.Exists() {
		s.prompts = v.Strings()
	} else if s.prompts == nil {
		s.prompts = []string{"login", "select_account"} // OpenID Connect Core §3.1.2.1
	}
	if v := c.Setting("offline_access"); v.Exists() {
		s.offlineAccess = v.Bool()
	}
	s.requireIss = c.Setting("require_iss").Bool()
	if n, ok := c.Setting("refresh_grace").Int(); ok {
		s.refreshGrace = int(n)
	}
	s.issuer = strings.ReplaceAll(s.issuer, "{tenant}", sdk.PathEscape(c.Setting("tenant").Str()))
	s.hosts = append([]string{hostOf(s.issuer)}, s.hosts...)
	for _, host := range c.Setting("hosts").Strings() {
		s.hosts = append(s.hosts, hostOf(host))
	}
	return s, s.check()
}

func (s *settled) check() error {
	switch {
	case s.issuer == "":
		return sdk.Misconfigured("", "the setting issuer has no value")
	case hostOf(s.issuer) == "" || !strings.HasPrefix(s.issuer, "https://") && !strings.HasPrefix(s.issuer, "http://"):
		return sdk.Misconfigured("", "the setting issuer is no URL")
	case strings.ContainsAny(s.issuer, "?#"): // OpenID Connect Discovery §3
		return sdk.Misconfigured("", "the setting issuer has a query or a fragment")
	case s.requireIss && s.manyTenants && !s.ownTenant():
		return sdk.Misconfigured("", "require_iss needs an issuer with one tenant's number: of others it is not known beforehand what iss says")
	case !slices.Contains([]string{sdk.ClientSecretPost, sdk.ClientSecretBasic, sdk.ClientPublic, sdk.PrivateKeyJWT}, s.clientAuth):
		return sdk.Misconfigured("", "client_auth must be one of post basic none private_key_jwt")
	}
	return nil
}
