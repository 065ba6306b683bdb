package oauth

import (
	"net/url"
	"slices"
	"strings"
)

// OfflineAccess is the scope by which OpenID Connect asks for a refresh token
// (Core §11). Here a code always brings one, so it means nothing to us; MCP
// wants it in no metadata of a resource, and clients that send it all the same
// are not to fail.
const OfflineAccess = "offline_access"

// ParseScope splits a scope parameter (RFC 6749 §3.3). Clients send stray
// spaces and repeat themselves; both are forgiven. OfflineAccess is dropped.
func ParseScope(s string) []string {
	var scopes []string
	for _, scope := range strings.Fields(s) {
		if scope != OfflineAccess && !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// GrantScopes returns what is granted of requested: the part that is offered,
// in the order asked for. Unknown scopes are dropped, not fatal (RFC 6749 §3.3
// lets the server ignore them as long as the answer says what was granted);
// with nothing left, everything offered is granted.
func GrantScopes(requested, offered []string) []string {
	if granted := Intersect(requested, offered); len(granted) > 0 {
		return granted
	}
	return slices.Clone(offered)
}

// Intersect returns the scopes of a that are in b, in the order of a.
func Intersect(a, b []string) []string {
	var both []string
	for _, s := range a {
		if slices.Contains(b, s) {
			both = append(both, s)
		}
	}
	return both
}

// SameResource tells whether two resource indicators (RFC 8707 §2) name one
// resource. Scheme and host compare without case, and a single trailing slash
// does not matter: clients that build the value with a URL library add it to a
// bare origin. Nothing else is normalised.
func SameResource(a, b string) bool {
	ca, oka := canonicalResource(a)
	cb, okb := canonicalResource(b)
	return oka && okb && ca == cb
}

func canonicalResource(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() || u.Host == "" || strings.Contains(s, "#") || u.User != nil {
		return "", false // RFC 8707 §2: an absolute URI without fragment
	}
	canonical := strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Host) + strings.TrimSuffix(u.EscapedPath(), "/")
	if u.RawQuery != "" {
		canonical += "?" + u.RawQuery
	}
	return canonical, true
}
