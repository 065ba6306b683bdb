package main

import (
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

// metadata is what discovery says, checked.
type metadata struct {
	issuer, authorize, token, userinfo, revoke string

	sendsIssuer bool // the callback carries iss, RFC 9207 §3
}

// discover asks the issuer for its metadata, OpenID Connect Discovery §4, or
// takes what it said at most maxAge seconds ago.
func discover(c *sdk.Conversation, s settled, maxAge int) (metadata, error) {
	resp, err := c.Do(sdk.Get(s.discoveryURL).Header("accept", "application/json").MaxAge(maxAge))
	if err != nil {
		return metadata{}, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return metadata{}, oauth2.Placed(err, "discovery at "+s.discoveryURL)
	}
	switch {
	case resp.Status == 404:
		return metadata{}, sdk.Misconfigured("", "discovery: status 404 at "+s.discoveryURL+"; if the issuer has its document elsewhere set discovery_url, and if it has none use the provider oauth2 with its setting issuer")
	case resp.Status/100 == 3:
		return metadata{}, sdk.Misconfigured("", "discovery: redirected, which is not followed; if that is the issuer's document set discovery_url to its address; "+sdk.UpstreamText(resp.Header("location"), ""))
	case !resp.OK():
		return metadata{}, resp.Unreadable("discovery at " + s.discoveryURL)
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
		return m, sdk.Misconfigured("", "discovery: the issuer must be the setting issuer to the letter; "+sdk.UpstreamText(m.issuer, "")+s.otherIssuer(m.issuer))
	}
	if err := m.endpoints(v, s); err != nil {
		return m, err
	}
	if s.revokeURL != "" {
		m.revoke = s.revokeURL
	}
	return m, nil
}

// otherIssuer says what to do about a document of another issuer.
func (s *settled) otherIssuer(says string) string {
	switch {
	case says == "":
		return "; it names none, so this may not be a discovery document: set discovery_url to where it is"
	case strings.TrimSuffix(says, "/") == strings.TrimSuffix(s.issuer, "/"):
		return "; they differ by the slash at the end: write the setting as the document does"
	}
	return "; if its ID tokens say so too, set issuer to that and discovery_url to " + s.discoveryURL +
		"; if the issuer is right, set discovery_url to its own document; if its documents never agree, use the provider oauth2 with its setting issuer"
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
			return sdk.Misconfigured("", "discovery: "+e.name+" is not https, or on another host than the issuer; if that is right, add its host to the setting hosts; "+sdk.UpstreamText(url, ""))
		}
		*e.field = url
	}
	return nil
}

// trusts reports whether an endpoint may be used: https on a known host, or,
// where the operator set the issuer or its document without TLS, on that host.
// Braces would be taken for a place to fill in.
func (s *settled) trusts(url string) bool {
	if strings.ContainsAny(url, "{}\\# ") {
		return false
	}
	host := hostOf(url)
	for _, set := range []string{s.issuer, s.discoveryURL} {
		scheme, _, found := strings.Cut(set, "://")
		if found && host == hostOf(set) && strings.HasPrefix(url, scheme+"://") {
			return true
		}
	}
	for _, known := range s.hosts {
		if host == known && strings.HasPrefix(url, "https://") {
			return true
		}
	}
	return false
}
