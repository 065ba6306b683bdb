package core

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/oauth"
)

// OperatorHosts is a middleware for the operator's listener. It answers only
// requests whose Host header the public DNS cannot lead here: an IP address, a
// name of one label, a name below a suffix for private use, one of names, or no
// Host at all. So a web page whose own name was changed to resolve to this
// machine (DNS rebinding) reads neither metrics nor health. Forward auth is
// exempt: a proxy may ask it with the host of the request that it is about, and
// the answer depends on the token alone.
func OperatorHosts(names []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/forward-auth/") && !operatorHost(r.Host, names) {
			oauth.WriteJSON(w, http.StatusMisdirectedRequest, map[string]string{
				"error": "the operator's listener does not answer to this Host; ask by IP address, or add the name to server/operator_hosts",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// operatorHost reports whether the operator's listener answers to a Host header.
func operatorHost(header string, names []string) bool {
	host := strings.ToLower(header)
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(host, ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || !strings.Contains(host, ".") {
		return true
	}
	for _, suffix := range privateSuffixes() {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return slices.Contains(names, host)
}

// privateSuffixes are those under which the public DNS has no names: RFC 6761
// §6.3, ICANN's resolution 2024.07.29.06, and those of Kubernetes' DNS.
func privateSuffixes() []string {
	return []string{".localhost", ".internal", ".svc", ".cluster.local"}
}
