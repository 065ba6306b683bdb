package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// printableForm is what a client id and a client secret consist of: visible
// ASCII and spaces (RFC 6749 §A.1, §A.2).
var printableForm = regexp.MustCompile(`^[\x20-\x7e]*$`)

// placeholderForm is a text that a template or a shell should have replaced:
// <your-client-id>, {{ secret }}, $NAME and %NAME%, as a whole.
var placeholderForm = regexp.MustCompile(`^(<[^<>]*>|\{\{.*\}\}|\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%)$`)

// checkCredential checks our client id or client secret at the upstream, which
// otherwise refuses it at the first login.
func checkCredential(text string) *problem {
	switch {
	case !printableForm.MatchString(text):
		return &problem{"has a line break, an invisible character or another one beyond printable ASCII", "copy it again from the upstream; RFC 6749 §A.1 allows no such character"}
	case strings.TrimSpace(text) != text:
		return &problem{"has a space at its beginning or end", "take the space out"}
	case placeholderForm.MatchString(text):
		return &problem{"is a placeholder that was not replaced", "write the value, or ${env:NAME} or ${file:/path} for one that is kept elsewhere"}
	}
	return nil
}

// checkOwn refuses a backend that is this server itself: each call would be
// forwarded to the gateway again, without an end.
func checkOwn(c *Config, names []string, backend string) *problem {
	u, err := url.Parse(backend)
	if err != nil || u.Host == "" {
		return nil // told elsewhere
	}
	for _, name := range names {
		mcp, err := url.Parse(c.TenantURL(name) + "/mcp")
		if err == nil && u.Scheme == mcp.Scheme && u.Hostname() == mcp.Hostname() && portOf(u) == portOf(mcp) && (u.Path == mcp.Path || strings.HasPrefix(u.Path, mcp.Path+"/")) {
			return &problem{"is the address at which clients reach tenant " + printable(name) + ", which is this server", "name the MCP server behind it, such as http://127.0.0.1:9000/mcp"}
		}
	}
	for _, listen := range []struct{ key, address string }{{"server/listen", c.Server.Listen}, {"server/operator_listen", c.Server.OperatorListen}} {
		if listensAt(listen.address, u) {
			return &problem{"is the address that this server listens at (" + listen.key + ")", "name the MCP server's own address, such as http://127.0.0.1:9000/mcp"}
		}
	}
	return nil
}

// portOf is the port of an http or https URL.
func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

// listensAt reports whether u leads to a listener of this machine at address.
func listensAt(address string, u *url.URL) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "0" || port != portOf(u) || !isLoopback(u.Hostname()) {
		return false
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		return true
	}
	return host == u.Hostname() || isLoopback(host) && (host == "localhost" || u.Hostname() == "localhost")
}
