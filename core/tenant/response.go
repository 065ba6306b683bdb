package tenant

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// RelaysHeader reports whether a backend's header crosses to the client: what
// describes the answer itself, MCP's own, and what the tenant lists beyond. All
// other names speak about the host, which the backend may share with other
// tenants, to the browser, or for the gateway. The name is canonical.
func (t *Tenant) RelaysHeader(name string) bool {
	switch name {
	case "Allow", "Cache-Control", "Etag", "Last-Modified", "Expires", "Vary", "Date", "Retry-After", "Link",
		"Server-Timing", "Traceparent", "Deprecation", "Sunset":
		return true
	case "Content-Security-Policy", "Content-Security-Policy-Report-Only":
		return false
	}
	return slices.ContainsFunc([]string{"Content-", "Mcp-", "Ratelimit", "X-Ratelimit"}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	}) || slices.Contains(t.ResponseHeaders, name)
}

// ParseResponseHeader returns the canonical form of a name for
// Tenant.ResponseHeaders, or an error for one that is never the backend's to
// send.
func ParseResponseHeader(name string) (string, error) {
	canonical := http.CanonicalHeaderKey(name)
	if !headerForm.MatchString(name) {
		return "", errors.New("a header's name is letters, digits and '-'")
	}
	if !CanRelay(canonical) {
		return "", errors.New("this header is never the backend's to send: cookies, CORS, HSTS, the challenge, and what speaks about the whole host, the connection or the proxies before it; take it out")
	}
	return canonical, nil
}

// CanRelay reports whether the operator may list a header in
// Tenant.ResponseHeaders.
func CanRelay(name string) bool {
	return !slices.ContainsFunc([]string{
		"set-cookie", "access-control-", "content-security-policy", "proxy-", "www-authenticate", "x-accel-", "cross-origin-",
	}, func(prefix string) bool { return HeaderBegins(name, prefix) }) && !slices.ContainsFunc([]string{
		"strict-transport-security", "public-key-pins", "authentication-info", "alt-svc", "clear-site-data", "service-worker-allowed",
		"x-content-type-options", "x-request-id", "x-sendfile", "location", "refresh", "nel", "report-to", "reporting-endpoints",
		"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade",
	}, func(other string) bool { return SameHeader(name, other) })
}
