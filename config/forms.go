package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/core/redirecturi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// The functions here check the form of one value. They return nil if it is
// fine, and never repeat it: any text may turn out to hold a secret.

// off turns off what it is the value of.
const off = "off"

var (
	tenantForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	digestForm  = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	hostForm    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	segmentForm = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
	scopeForm   = regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`) // RFC 6749 §3.3
	clientForm  = regexp.MustCompile(`^[\x21-\x7e]+$`)              // RFC 6749 §A.1, without the space
	backendForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	headerForm  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110 §5.6.2
	valueForm   = regexp.MustCompile(`^([\x20-\x7a\x7c\x7e]|\{(token|assertion|subject|account_key|account|client|scope|tenant)\})+$`)
	colorForm   = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)
	methodForm  = regexp.MustCompile(`^[a-z][A-Za-z0-9_/-]*$`)
)

func checkTenantName(name string) *problem {
	if !tenantForm.MatchString(name) {
		return &problem{"is no name for a tenant", "use 1 to 63 lower-case letters, digits, '.', '_' and '-', a letter or digit first"}
	}
	return nil
}

func checkProvider(ref string) *problem {
	name, digest, pinned := strings.Cut(ref, "@")
	if err := rules.CheckName(name); err != nil {
		return &problem{"must be a plugin's name, or name@sha256:… to pin it", err.Error()}
	}
	if pinned && !digestForm.MatchString(digest) {
		return &problem{"must be a plugin's name, or name@sha256:… to pin it", "a digest is sha256: and 64 lower-case hex digits"}
	}
	return nil
}

// checkListen takes host:port as net.Listen does, the port as a number.
func checkListen(address string) *problem {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isPort(port, 0) || (host != "" && !isHost(host)) {
		return &problem{"must be an address to listen at, host:port", `for example "127.0.0.1:8080", or ":8080" for all of the machine's addresses`}
	}
	return nil
}

func checkAudit(target string) *problem {
	if !slices.Contains([]string{"stdout", "stderr", off}, target) && !filepath.IsAbs(target) {
		return &problem{"must be stdout, stderr, off or the absolute path of a file", ""}
	}
	return nil
}

func checkAdminSocket(target string) *problem {
	if target != off && !filepath.IsAbs(target) {
		return &problem{"must be off or the absolute path of a socket", "such as /run/sallyport/admin.sock"}
	}
	return nil
}

// checkStore looks at the scheme and that something follows; the driver reads
// the rest. A sentinel or cluster URL lists several hosts, which net/url does
// not parse.
func checkStore(store string) *problem {
	scheme, rest, _ := strings.Cut(store, "://")
	switch scheme {
	case "bolt":
		if !filepath.IsAbs(rest) {
			return &problem{"bolt needs the absolute path of a file", "after bolt: come three slashes, as in bolt:///var/lib/sallyport/state.db"}
		}
	case "redis", "rediss", "redis+sentinel", "redis+cluster":
		if rest == "" || rest[0] == '/' {
			return &problem{"names no host", "for example " + scheme + "://redis.example.com:6379"}
		}
	default:
		return &problem{"is no store", "begin with bolt://, redis://, rediss://, redis+sentinel:// or redis+cluster://"}
	}
	return nil
}

// checkTemplate checks server/url.
func checkTemplate(template string) *problem {
	const examples = "for example https://{tenant}.example.com or https://example.com/{tenant}"
	if strings.Count(template, tenantPlaceholder) != 1 {
		return &problem{"must have {tenant} exactly once", examples + "; a tenant with a URL of its own has it in its url"}
	}
	_, rest, _ := strings.Cut(template, "://")
	authority, below, _ := strings.Cut(rest, "/")
	host, _, _ := strings.Cut(authority, ":")
	if !slices.Contains(strings.Split(host, "."), tenantPlaceholder) && !slices.Contains(strings.Split(below, "/"), tenantPlaceholder) {
		return &problem{"{tenant} must be a whole label of the host or a whole segment of the path", examples}
	}
	return checkIssuer(strings.Replace(template, tenantPlaceholder, "tenant", 1))
}

// checkIssuer checks the URL of a tenant, which is its issuer identifier: https
// with no query and no fragment (RFC 8414 §2), and in one spelling only, since
// clients compare it byte by byte (RFC 8414 §3.3).
func checkIssuer(issuer string) *problem {
	u, what := parseURL(issuer)
	switch {
	case what != nil:
		return what
	case u.Scheme != "https" && !isLoopback(u.Hostname()):
		return &problem{"must be https", "http is for localhost and loopback addresses only"}
	case strings.ContainsAny(issuer, "?#"):
		return &problem{"must have no query and no fragment", "leave out everything from the ? or # on"}
	case strings.HasSuffix(issuer, "/"):
		return &problem{"must not end with a slash", "leave the slash out"}
	case u.Port() == "443" && u.Scheme == "https" || u.Port() == "80" && u.Scheme == "http":
		return &problem{"must not name its scheme's own port", "leave the port out"}
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(u.EscapedPath(), "/"), "/") {
		if u.Path != "" && (!segmentForm.MatchString(segment) || segment == "." || segment == "..") {
			return &problem{"has a path with an odd segment", "use letters, digits, '.', '_', '~' and '-' between single slashes"}
		}
	}
	return nil
}

// checkCallbackURL checks the callback that tenants share.
func checkCallbackURL(callback string) *problem {
	u, what := parseURL(callback)
	if what == nil && u.Path == "" {
		return &problem{"has no path", "for example https://mcp.example.com/callback"}
	}
	return checkIssuer(callback)
}

// checkBackend checks the URL of an MCP server.
func checkBackend(backend string) *problem {
	_, what := parseURL(backend)
	if what == nil && strings.ContainsAny(backend, "?#") {
		return &problem{"must have no query and no fragment", "leave out everything from the ? or # on"}
	}
	return what
}

// checkJWKSURI checks the URL of a client's keys.
func checkJWKSURI(uri string) *problem {
	u, what := parseURL(uri)
	if what == nil && (u.Scheme != "https" || u.Path == "" || strings.Contains(uri, "#")) {
		return &problem{"must be an https URL with a path and without a fragment", ""}
	}
	return what
}

// parseURL parses an absolute http or https URL with a host in its normal
// spelling and nothing before the host.
func parseURL(text string) (*url.URL, *problem) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || (u.Scheme != "https" && u.Scheme != "http"):
		return nil, &problem{"must be a URL that begins with https:// or http://", ""}
	case u.User != nil:
		return nil, &problem{"must have no user name and no password", "leave out what stands before the @"}
	case !isHost(u.Hostname()) || strings.HasSuffix(u.Host, ":") || (u.Port() != "" && !isPort(u.Port(), 1)):
		return nil, &problem{"must name a host", "in lower case, labels of letters, digits and hyphens, or an IP address; then a port if need be"}
	case !strings.HasPrefix(text, u.Scheme+"://"):
		return nil, &problem{"must have its scheme in lower case", ""}
	}
	return u, nil
}

// checkHost takes host or host:port.
func checkHost(text string) *problem {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), "1"
	}
	if !isHost(host) || !isPort(port, 1) {
		return &problem{"must be a host, or host:port", "in lower case, without scheme, path or *; one name per item"}
	}
	return nil
}

// checkBareHost takes a host without a port.
func checkBareHost(text string) *problem {
	if !isHost(text) {
		return &problem{"must be a host without a port", "in lower case, without scheme, path or *; one name per item"}
	}
	return nil
}

// checkEmail takes an address with one @, which is all that upstreams agree on.
func checkEmail(address string) *problem {
	local, domain, _ := strings.Cut(address, "@")
	if local == "" || strings.ContainsAny(local, " *\t") || checkDomain(domain) != nil {
		return &problem{"must be an e-mail address", "such as ada@example.com; for all of a domain there is domains"}
	}
	return nil
}

// checkAccountIssuer accepts an issuer as its ID tokens have it, with or without
// a slash at the end.
func checkAccountIssuer(issuer string) *problem {
	if _, what := parseURL(issuer); what != nil {
		return what
	}
	if strings.ContainsAny(issuer, "?#") { // OpenID Connect Discovery §3
		return &problem{"must have no query and no fragment", "write the issuer as its ID tokens have it"}
	}
	return nil
}

func checkLogo(file string) *problem {
	if !filepath.IsAbs(file) {
		return &problem{"must be the absolute path of an image, PNG or SVG", "such as /etc/sallyport/logo.svg"}
	}
	return nil
}

func checkColor(color string) *problem {
	if !colorForm.MatchString(color) {
		return &problem{"must be a colour, # and six hex digits", `in quotes, such as "#0d5c58"`}
	}
	return nil
}

// checkSupport takes what a page may link to. A mailto URI (RFC 6068) is one
// plain address.
func checkSupport(uri string) *problem {
	address, mail := strings.CutPrefix(uri, "mailto:")
	u, what := parseURL(uri)
	if mail && checkEmail(address) == nil && !strings.ContainsAny(address, "?&#%") || what == nil && u.Scheme == "https" {
		return nil
	}
	return &problem{"must be an https URL, or mailto: and an address", "such as mailto:help@example.com"}
}

func checkDomain(domain string) *problem {
	if !hostForm.MatchString(strings.ToLower(domain)) {
		return &problem{"must be a domain", "such as example.com, without @ and *; one per item"}
	}
	return nil
}

// checkAccountID takes an id that an upstream gave: nothing is known of its
// form.
func checkAccountID(id string) *problem {
	if id == "" || strings.TrimSpace(id) != id {
		return &problem{"must be an id as the upstream has it", "without spaces around it; one per item"}
	}
	return nil
}

// checkNetwork takes the network of a proxy. One that holds every address would
// let everybody say where they come from.
func checkNetwork(text string) *problem {
	network, err := netip.ParsePrefix(text)
	if err != nil || network.Addr().Is4In6() || network != network.Masked() {
		return &problem{"must be a network such as 10.0.0.0/8", "one address is 192.0.2.1/32 or 2001:db8::1/128"}
	}
	if network.Bits() == 0 {
		return &problem{"must not hold every address", "name the networks of your proxies"}
	}
	return nil
}

// checkRedirectURI checks where a pre-registered client may be redirected to:
// absolute, without fragment (RFC 6749 §3.1.2), https, or http on a loopback
// host, or a scheme an application claims.
func checkRedirectURI(uri string) *problem {
	if err := redirecturi.Check(uri); err != nil {
		return &problem{err.Error(), ""}
	}
	if u, err := url.Parse(uri); err != nil || u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return &problem{"must be https", "http is for localhost and loopback addresses only"}
	}
	return nil
}

// checkAppURI checks an item of redirects/uris.
func checkAppURI(uri string) *problem {
	if what := checkRedirectURI(uri); what != nil {
		return what
	}
	if strings.HasPrefix(uri, "https:") || strings.HasPrefix(uri, "http:") {
		return &problem{"is for schemes that an application claims", "put an https host into hosts; loopback is always allowed"}
	}
	return nil
}

func checkScope(scope string) *problem {
	if !scopeForm.MatchString(scope) {
		return &problem{"must be one scope", "ASCII without spaces, quotes and backslashes; one scope per item"}
	}
	return nil
}

// checkAnonymous takes an MCP method that may go without a user. A tool acts as
// one, and where it did not, nobody would ever be asked to log in.
func checkAnonymous(method string) *problem {
	switch {
	case !methodForm.MatchString(method):
		return &problem{"must be a method of MCP", "such as tools/list"}
	case method == "tools/call":
		return &problem{"must not be called without a token", "list what tells clients about tools, such as tools/list"}
	}
	return nil
}

// checkInjected takes the template of a header's value.
func checkInjected(value string) *problem {
	if !valueForm.MatchString(value) || strings.TrimSpace(value) != value {
		return &problem{"must be printable ASCII with placeholders", "they are {token}, {assertion}, {subject}, {account}, {account_key}, {client}, {scope} and {tenant}"}
	}
	return nil
}

// checkHeaderName takes the name of a header (RFC 9110 §5.1).
func checkHeaderName(name string) *problem {
	if !headerForm.MatchString(name) {
		return &problem{"must be the name of a header", "letters, digits and '-', such as X-Trace-Id"}
	}
	return nil
}

// checkOrigin takes an origin as browsers write it (RFC 6454 §6.2), or *.
func checkOrigin(origin string) *problem {
	u, err := url.Parse(origin)
	if origin != "*" && (err != nil || u.Host == "" || u.String() != u.Scheme+"://"+u.Host || strings.ToLower(origin) != origin || u.User != nil) {
		return &problem{"must be an origin as browsers send it", "scheme://host or scheme://host:port in lower case, nothing behind it; or * for any"}
	}
	return nil
}

// checkClientID refuses what Sallyport hands out, which begins with sp_. The
// https URL of a metadata document is taken: the entry stands for the document.
func checkClientID(id string) *problem {
	switch {
	case !clientForm.MatchString(id) || len(id) > 1024:
		return &problem{"must be 1 to 1024 ASCII characters without spaces", ""}
	case strings.HasPrefix(id, "http:"):
		return &problem{"must not be an http URL", "a client's document is at an https URL"}
	case strings.HasPrefix(id, "sp_"):
		return &problem{"must not begin with sp_", "Sallyport's own ids begin so"}
	}
	return nil
}

func checkServerID(id string) *problem {
	if !clientForm.MatchString(id) || len(id) > 1024 {
		return &problem{"must be 1 to 1024 ASCII characters without spaces", ""}
	}
	return nil
}

func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return len(host) <= 253 && hostForm.MatchString(host)
}

// isLoopback tells whether host stays on this machine; names below localhost
// do by RFC 6761 §6.3.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func isPort(port string, least uint64) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n >= least
}

// What a secret that others present to Sallyport has at least: a sender can
// guess as often as limits/failures allows.
const minSecret, minDistinct = 20, 8 // characters

// checkSharedSecret refuses a secret that can be guessed. An empty one is
// missing, which is said elsewhere.
func checkSharedSecret(secret string) *problem {
	const remedy = "make one with: sallyport key new"
	seen := map[rune]bool{}
	for _, r := range secret {
		seen[r] = true
	}
	switch {
	case secret == "":
		return nil
	case len(secret) < minSecret:
		return &problem{fmt.Sprintf("has fewer than %d characters and can be guessed", minSecret), remedy}
	case len(seen) < minDistinct:
		return &problem{fmt.Sprintf("has fewer than %d different characters and can be guessed", minDistinct), remedy}
	}
	return nil
}
