// Package issuers knows public issuers by name: what the providers oidc and oauth2
// have to know of them whatever preset is set. It owns the names; it leaves what
// follows from them to the providers.
package issuers

import "strings"

// Entra reports whether a host is a token endpoint's of Microsoft Entra, a
// national cloud's and those for customers among them. Entra wants the scopes
// of the login again with a refresh token: without them it takes the client
// itself for the resource asked for (AADSTS90009).
func Entra(host string) bool {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	switch host {
	case "login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.chinacloudapi.cn",
		"login.windows.net", "sts.windows.net", "login.microsoft.com":
		return true
	}
	return strings.HasSuffix(host, ".b2clogin.com") || strings.HasSuffix(host, ".ciamlogin.com")
}

// ManyOrganizations reports whether accounts of many organizations, or of
// anybody, come from one issuer, so that an e-mail address which the issuer
// does not call verified can be anybody's. It knows the public ones; an issuer
// of an operator's own is not among them.
func ManyOrganizations(issuer string) bool {
	_, rest, found := strings.Cut(strings.ToLower(issuer), "://")
	if !found {
		rest = strings.ToLower(issuer) // Google has used its name without a scheme
	}
	host, path, _ := strings.Cut(rest, "/")
	host, _, _ = strings.Cut(host, ":")
	if Entra(host) && !strings.HasSuffix(host, ".b2clogin.com") && !strings.HasSuffix(host, ".ciamlogin.com") {
		tenant, _, _ := strings.Cut(path, "/")
		switch tenant {
		case "", "common", "organizations", "consumers", "{tenantid}", "{tenant}",
			"9188040d-6c67-4c5b-b112-36a304b66dad": // personal accounts
			return true
		}
		return false
	}
	switch strings.TrimPrefix(host, "www.") {
	case "accounts.google.com", "securetoken.google.com", "appleid.apple.com", "facebook.com", "limited.facebook.com",
		"linkedin.com", "github.com", "token.actions.githubusercontent.com", "gitlab.com", "bitbucket.org", "api.bitbucket.org",
		"login.live.com", "api.login.yahoo.com", "login.yahoo.com", "id.twitch.tv", "slack.com", "discord.com", "x.com", "twitter.com",
		"login.salesforce.com", "test.salesforce.com", "auth.atlassian.com", "identity.xero.com", "oauth.platform.intuit.com",
		"accounts.spotify.com", "paypal.com", "amazon.com", "access.line.me", "kauth.kakao.com", "accounts.kakao.com", "nid.naver.com",
		"oauth.telegram.org", "huggingface.co", "zoom.us", "account.box.com", "app.asana.com", "secure.login.gov", "api.id.me", "orcid.org",
		"auth.openai.com", "cilogon.org", "login.xero.com", "accounts.zoho.com", "accounts.zoho.eu", "openid.yandex.ru", "login.yandex.ru", "id.vk.com":
		return true
	}
	return false
}
