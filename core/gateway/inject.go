package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/tenant"
)

// headers are those a backend of the tenant gets from us.
func (g *gate) headers(t *tenant.Tenant) []tenant.Header {
	if t.Inject == nil {
		return g.inject
	}
	return t.Inject
}

// vouch returns what a backend at origin is told of whoever was let in.
func (g *gate) vouch(t *tenant.Tenant, p *pass, origin string) (http.Header, error) {
	said := http.Header{}
	for _, h := range g.headers(t) {
		if p.anonymous() && h.Value.NeedsUser() {
			continue
		}
		value, err := h.Value.Expand(func(name tenant.Placeholder) (string, error) { return g.value(name, t, p, origin) })
		if err != nil {
			return nil, err
		}
		said.Set(h.Name, value)
	}
	return said, nil
}

// strip takes out of a client's header what only we may say to a backend, and
// every name that a backend could take for another.
func (g *gate) strip(h http.Header, t *tenant.Tenant) {
	inject := g.headers(t)
	for name := range h {
		if !tenant.CanCross(name) || ours(name) || fills(inject, name) {
			delete(h, name)
		}
	}
}

// fills reports whether one of the headers has the name, in any spelling.
func fills(inject []tenant.Header, name string) bool {
	return slices.ContainsFunc(inject, func(i tenant.Header) bool { return tenant.SameHeader(i.Name, name) })
}

// ours reports whether a header says who the user is, where a request comes from
// or what it really is, which only the gateway says, whether it does for this
// tenant or not: the names under which proxies tell servers, so that those which
// believe them do not believe a client.
func ours(header string) bool {
	return slices.ContainsFunc([]string{
		"X-Sallyport-", "X-Forwarded-", "X-Original-", "X-Envoy-", "X-Auth-Request-", "X-Authenticated-", "X-Webauth-",
		"Client-Cert", "X-Client-Cert", "X-Ssl-Client-", "Ssl-Client-", // RFC 9440 §2
		"X-Amzn-Oidc-", "X-Goog-Authenticated-User-", "X-Goog-Iap-", "X-Ms-Client-Principal",
	}, func(prefix string) bool { return tenant.HeaderBegins(header, prefix) }) ||
		slices.ContainsFunc([]string{
			"Authorization", "Cookie", "Forwarded", "X-Forwarded", "X-Real-Ip", "Client-Ip", "X-Client-Ip", "True-Client-Ip",
			"X-Cluster-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fastly-Client-Ip", "X-Azure-Clientip", "X-Appengine-User-Ip",
			"Remote-User", "X-Remote-User", "Remote-Addr", "X-Auth-User",
			// Another path or method than the one that was judged.
			"X-Rewrite-Url", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
			"Proxy", // HTTP_PROXY, where CGI programs look for a proxy (CVE-2016-5385)
		}, func(name string) bool { return tenant.SameHeader(header, name) })
}

// value fills in one placeholder.
func (g *gate) value(name tenant.Placeholder, t *tenant.Tenant, p *pass, origin string) (string, error) {
	switch name {
	case tenant.Token:
		return p.cred.AccessToken.Reveal(), nil
	case tenant.Assertion:
		return g.assertions.Issue(t, p.live, origin)
	case tenant.Subject:
		return headerSafe(p.live.Record.Subject), nil
	case tenant.AccountKey:
		return p.live.Record.Account(t).Hash(), nil
	case tenant.Account:
		return headerSafe(p.live.Record.AccountName), nil
	case tenant.ClientHash:
		return p.live.Record.ClientHash, nil
	case tenant.Scope:
		return strings.Join(p.live.Record.Scopes, " "), nil
	case tenant.TenantName:
		return t.Name, nil
	}
	return "", fmt.Errorf("gateway: no value for the placeholder %q", name)
}

// headerSafe writes what people and upstreams call somebody so that any header
// can hold it: printable ASCII as it is, the rest and '%' percent-encoded.
func headerSafe(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c > ' ' && c < 0x7f && c != '%' || c == ' ' && i > 0 && i < len(s)-1 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
