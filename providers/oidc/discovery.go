package main

import (
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// metadata is what discovery says, checked.
type metadata struct {
	issuer, authorize, token, userinfo, revoke string

	sendsIssuer bool // the callback carries iss, RFC 9207 §3
}

// discover asks the issuer for its metadata, OpenID Connect Discovery §4.
func discover(c *sdk.Conversation, s settled) (metadata, error) {
	resp, err := c.Do(sdk.Get(strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration").Header("accept", "application/json"))
	if err != nil {
		return metadata{}, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return metadata{}, err
	}
	switch {
	case resp.Status == 404:
		return metadata{}, sdk.Misconfigured("", "discovery: status 404; the setting issuer leads to no OpenID Connect issuer")
	case !resp.OK():
		return metadata{}, resp.Unreadable("discovery")
	}
	v, err := resp.JSON()
	if err != nil {
		return metadata{}, err
	}
	m := metadata{
		issuer:      v.Get("issuer").Str(),
		sendsIssuer: v.Get("authorization_response_iss_parameter_supported").Bool(),
	}
	if !s.is(m.issuer) {
		return m, sdk.Misconfigured("", "discovery: the issuer calls itself otherwise than the setting, to the letter: "+sdk.UpstreamText(m.issuer, ""))
	}
	return m, m.endpoints(v, s)
}

// is tells whether the issuer in a metadata document is the one set. They must
// be the same to the letter (Discovery §4.3), but for Entra: asked for common
// or organizations it answers with a template, asked for a domain or for
// consumers with the number of the tenant.
func (s *settled) is(issuer string) bool {
	if issuer == s.issuer {
		return true
	}
	before, after, ok := around(s.issuer)
	start, end, ok2 := around(issuer)
	if !s.manyTenants || !ok || !ok2 || before != start {
		return false
	}
	if after == "common" || after == "organizations" {
		return end == "{tenantid}"
	}
	return guid(end) && !guid(after)
}

// ownTenant reports whether the issuer set is the one that Entra answers with.
func (s *settled) ownTenant() bool {
	_, tenant, ok := around(s.issuer)
	return ok && guid(tenant)
}

// around cuts BASE/TENANT/v2.0.
func around(issuer string) (base, tenant string, ok bool) {
	rest, ok := strings.CutSuffix(issuer, "/v2.0")
	at := strings.LastIndexByte(rest, '/')
	if !ok || at < 0 {
		return "", "", false
	}
	return rest[:at], rest[at+1:], true
}

func guid(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		digit := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
		if hyphen != (c == '-') || !hyphen && !digit {
			return false
		}
	}
	return true
}

// endpoints reads the endpoints. That a document names one earns it no trust:
// it has to be on the issuer's host, or on one that a preset or the operator
// names, or else whoever writes the document could have codes and tokens sent
// anywhere.
func (m *metadata) endpoints(v tree.Value, s settled) error {
	for _, e := range []struct {
		name     string
		field    *string
		required bool
	}{
		{"authorization_endpoint", &m.authorize, true},
		{"token_endpoint", &m.token, true},
		{"userinfo_endpoint", &m.userinfo, false},
		{"revocation_endpoint", &m.revoke, false},
	} {
		url := v.Get(e.name).Str()
		switch {
		case url == "" && e.required:
			return sdk.Unavailable("The upstream does not answer as expected. Please try again later.", "discovery: no "+e.name)
		case url == "":
			continue
		case !s.trusts(url):
			return sdk.Misconfigured("", "discovery: "+e.name+" is not https, or on another host than the issuer; if that is right, add its host to the setting hosts")
		}
		*e.field = url
	}
	return nil
}

// trusts tells whether an endpoint may be used: https on a known host, or, for
// an issuer that the operator set without TLS, on the issuer itself. Braces
// would be taken for a place to fill in.
func (s *settled) trusts(url string) bool {
	if strings.ContainsAny(url, "{}\\# ") {
		return false
	}
	scheme, _, _ := strings.Cut(s.issuer, "://")
	host := hostOf(url)
	if host == hostOf(s.issuer) && strings.HasPrefix(url, scheme+"://") {
		return true
	}
	for _, known := range s.hosts {
		if host == known && strings.HasPrefix(url, "https://") {
			return true
		}
	}
	return false
}
