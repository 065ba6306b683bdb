package main

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/providers/oidc/issuers"
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

// settled is what the settings come to, over those of a preset. Of the
// settings, only those without a default in the schema can be a preset's.
type settled struct {
	title, home     string
	issuer          string   // {tenant} in it is the setting tenant
	discoveryURL    string   // where its metadata is
	elsewhere       bool     // which is not at the issuer
	revokeURL       string   // instead of what the metadata names
	hosts           []string // beside the issuer's own
	clientAuth      string
	prompts         []string // nil: all of them
	params          sdk.Form
	pkce            bool
	tokenParams     sdk.Form
	refreshParams   sdk.Form
	refreshScope    bool // repeat the login's scopes with a refresh token
	errorKinds      map[string]string
	claims          sdk.Form // of the ID token, and what each must be
	offlineAccess   bool     // ask for the scope offline_access
	idTokenOnly     bool     // userinfo does not take tokens for another service
	refreshPolicy   string
	refreshGrace    int
	refreshLifetime int64
	accountID       string
	accountTenant   string
	organizations   string
	requireIss      bool // every callback carries iss (RFC 9207), and it is the issuer
	manyTenants     bool // discovery may answer with another tenant's issuer, or {tenantid}
}

const googleIssuer = "https://accounts.google.com"

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
			issuer:        googleIssuer,
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
			accountID: "/oid", accountTenant: "/tid", manyTenants: true, idTokenOnly: true,
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
		{"issuer", &s.issuer}, {"discovery_url", &s.discoveryURL}, {"revoke_url", &s.revokeURL}, {"client_auth", &s.clientAuth}, {"refresh_policy", &s.refreshPolicy},
		{"account_id", &s.accountID}, {"account_tenant", &s.accountTenant},
		{"account_organizations", &s.organizations},
	} {
		if v := c.Setting(text.name); v.Exists() {
			*text.field = v.Str()
		}
	}
	for _, pairs := range []struct {
		name  string
		field *sdk.Form
	}{{"authorize_params", &s.params}, {"token_params", &s.tokenParams}, {"refresh_params", &s.refreshParams}} {
		if v := c.Setting(pairs.name); v.Exists() {
			*pairs.field = nil
			for _, m := range v.Members() {
				pairs.field.Add(m.Name, m.Value.Text())
			}
		}
	}
	for _, m := range c.Setting("error_kinds").Members() {
		if s.errorKinds == nil {
			s.errorKinds = map[string]string{}
		}
		s.errorKinds[m.Name] = m.Value.Str()
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
	s.reach(c)
	s.pkce = hostOf(s.issuer) != "www.linkedin.com" // answers a code_verifier with invalid_client
	if v := c.Setting("pkce"); v.Exists() {
		s.pkce = v.Bool()
	}
	s.refreshScope = issuers.Entra(hostOf(s.issuer))
	if v := c.Setting("refresh_scope"); v.Exists() {
		s.refreshScope = v.Bool()
	}
	if domain := s.params.Get("hd"); domain != "" && domain != "*" && s.issuer == googleIssuer {
		// Google takes hd for a wish: another account can be chosen all the same.
		s.claims = sdk.Form{{"hd", domain}}
	}
	return s, s.check()
}

// reach fills in where the metadata is and which hosts may be asked.
func (s *settled) reach(c *sdk.Conversation) {
	s.hosts = append([]string{hostOf(s.issuer)}, s.hosts...)
	for _, url := range []string{s.discoveryURL, s.revokeURL} {
		if url != "" {
			s.hosts = append(s.hosts, hostOf(url))
		}
	}
	for _, host := range c.Setting("hosts").Strings() {
		s.hosts = append(s.hosts, hostOf(host))
	}
	s.elsewhere = s.discoveryURL != ""
	if !s.elsewhere { // OpenID Connect Discovery §4
		s.discoveryURL = strings.TrimSuffix(s.issuer, "/") + "/.well-known/openid-configuration"
	}
}

// loginScopes returns the scopes that a login asks for: those that make it
// OpenID Connect (Core §3.1.2.1), and that make the upstream send a refresh
// token (§11).
func (s *settled) loginScopes(scopes []string) []string {
	if !slices.Contains(scopes, "openid") {
		scopes = append([]string{"openid"}, scopes...)
	}
	if s.offlineAccess && !slices.Contains(scopes, "offline_access") {
		scopes = append(slices.Clip(scopes), "offline_access")
	}
	return scopes
}

func (s *settled) check() error {
	switch {
	case s.issuer == "":
		return sdk.Misconfigured("", "the setting issuer has no value")
	case !isURL(s.issuer):
		return sdk.Misconfigured("", "the setting issuer is no URL")
	case !isURL(s.discoveryURL) || strings.Contains(s.discoveryURL, "#"):
		return sdk.Misconfigured("", "the setting discovery_url is not a URL such as https://id.example.com/.well-known/openid-configuration")
	case s.revokeURL != "" && (!isURL(s.revokeURL) || strings.ContainsAny(s.revokeURL, "{}#")):
		return sdk.Misconfigured("", "the setting revoke_url is not a URL such as https://id.example.com/revoke")
	case strings.ContainsAny(s.issuer, "?#"): // OpenID Connect Discovery §3
		return sdk.Misconfigured("", "the setting issuer has a query or a fragment")
	case s.requireIss && s.manyTenants && !s.ownTenant():
		return sdk.Misconfigured("", "require_iss needs an issuer with one tenant's number: of others it is not known beforehand what iss says")
	case !slices.Contains([]string{sdk.ClientSecretPost, sdk.ClientSecretBasic, sdk.ClientPublic, sdk.PrivateKeyJWT, sdk.ClientSecretJWT}, s.clientAuth):
		return sdk.Misconfigured("", "client_auth must be one of post basic none private_key_jwt client_secret_jwt")
	}
	return nil
}

func isURL(text string) bool {
	return hostOf(text) != "" && (strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://"))
}
