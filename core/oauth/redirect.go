package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/core/redirecturi"
)

// Target is a redirect URI that was found in a client's registration. Only
// MatchRedirect makes one, so code without a validated URI has nothing to
// redirect to.
type Target struct{ uri string }

// MatchRedirect compares the redirect_uri of a request with those of the
// client's registration, as strings (OAuth 2.1 §4.1.3, RFC 9700 §2.1). Only
// the port of a loopback URI floats (RFC 8252 §7.3). An absent redirect_uri
// stands for the only one registered (RFC 6749 §3.1.2.3).
func MatchRedirect(registered []string, presented string) (Target, error) {
	if presented == "" {
		if len(registered) == 1 {
			return Target{registered[0]}, checkURI(registered[0])
		}
		return Target{}, Errorf(InvalidRequest, "redirect_uri is required: this client registered %d", len(registered))
	}
	if err := checkURI(presented); err != nil {
		return Target{}, Errorf(InvalidRequest, "%s; the request asks for %s, and the client registered %s",
			AsError(err).Description, quoteURI(presented), quoteURIs(registered))
	}
	want, loopback := withoutLoopbackPort(presented)
	for _, uri := range registered {
		if uri == presented {
			return Target{presented}, nil
		}
		if have, ok := withoutLoopbackPort(uri); loopback && ok && have == want {
			return Target{presented}, nil
		}
	}
	return Target{}, Errorf(InvalidRequest, "redirect_uri is not among those this client registered: it asks for %s, and registered %s",
		quoteURI(presented), quoteURIs(registered))
}

// quoteURIs shows at most three URIs.
func quoteURIs(uris []string) string {
	const most = 3
	var shown []string
	for _, uri := range uris[:min(len(uris), most)] {
		shown = append(shown, quoteURI(uri))
	}
	if more := len(uris) - most; more > 0 {
		shown = append(shown, strconv.Itoa(more)+" more")
	}
	return strings.Join(shown, ", ")
}

// quoteURI shows a URI that anyone may have chosen: escaped, and shortened in
// the middle, so that its end stays.
func quoteURI(uri string) string {
	const longest = 200
	if len(uri) > longest {
		uri = uri[:longest/2] + "…" + uri[len(uri)-longest/2:]
	}
	quoted := strconv.QuoteToASCII(uri)
	return quoted[1 : len(quoted)-1]
}

// String returns the URI.
func (t Target) String() string { return t.uri }

// Shown is Shown of the URI.
func (t Target) Shown() (name string, custom bool) { return Shown(t.uri) }

// Loopback is Loopback of the URI.
func (t Target) Loopback() bool { return Loopback(t.uri) }

// Shown returns what a person is told of where a redirect URI leads: the host,
// or the scheme of a URI that an application on the device claims (custom).
func Shown(uri string) (name string, custom bool) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", false
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return u.Scheme, true
	}
	return u.Host, false
}

// Loopback tells whether a redirect URI stays on the user's own computer.
func Loopback(uri string) bool {
	_, ok := withoutLoopbackPort(uri)
	return ok
}

// AuthorizationResponse is the answer to an authorization request: a code or
// an error.
type AuthorizationResponse struct {
	Issuer string
	State  string // exactly as the client sent it; empty if it sent none
	Code   string
	Err    *Error
}

// Location returns the URI that carries a back to the client. It is the only
// place that builds an authorization response, so that none goes without iss
// (RFC 9207 §2) or state (RFC 6749 §4.1.2).
func (t Target) Location(a AuthorizationResponse) string {
	q := url.Values{"iss": {a.Issuer}}
	if a.State != "" {
		q.Set("state", a.State)
	}
	if a.Err != nil {
		for name, value := range a.Err.wire() {
			q.Set(name, value)
		}
	} else {
		q.Set("code", a.Code)
	}
	separator := "?"
	if strings.Contains(t.uri, "?") {
		separator = "&" // RFC 6749 §3.1.2: a registered query stays
	}
	return t.uri + separator + q.Encode()
}

// Redirect sends the browser back to the client with 302, and nothing that
// lets the answer linger.
func (t Target) Redirect(w http.ResponseWriter, a AuthorizationResponse) {
	h := w.Header()
	h.Set("Location", t.Location(a))
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusFound)
}

// RedirectPolicy says which redirect URIs a tenant lets clients register.
// Loopback URIs are always allowed.
type RedirectPolicy struct {
	Hosts    []string // https hosts
	URIs     []string // whole URIs with a private-use scheme (RFC 8252 §7.1)
	AnyHTTPS bool     // every https host
}

// DefaultRedirects returns the callbacks of the clients people use.
func DefaultRedirects() RedirectPolicy {
	return RedirectPolicy{
		Hosts: []string{
			"claude.ai", "claude.com", "api.smithery.ai", "connect.smithery.ai", "chatgpt.com", "www.cursor.com",
			"vscode.dev", "insiders.vscode.dev", "grok.com", "console.x.ai", "global.consent.azure-apim.net",
			"www.perplexity.ai", "enterprise.perplexity.ai", "callback.mistral.ai", "api.devin.ai", "antigravity.google",
		},
		URIs: []string{
			"cursor://anysphere.cursor-mcp/oauth/callback",
			"claude://claude.ai/mcp-auth-callback/sdk",
		},
	}
}

// Check tells whether uri may be registered. Registration and authorization
// both ask it, so what was registered under a wider policy stops working when
// the operator narrows it.
func (p RedirectPolicy) Check(uri string) error {
	if err := checkURI(uri); err != nil {
		return err
	}
	if _, loopback := withoutLoopbackPort(uri); loopback || slices.Contains(p.URIs, uri) {
		return nil
	}
	u, err := url.Parse(uri)
	if err == nil && u.Scheme == "https" && u.Host != "" && (p.AnyHTTPS || slices.Contains(p.Hosts, u.Host)) {
		return nil
	}
	return Errorf(InvalidRedirectURI, "this server does not send users to %s; the operator can allow it under redirects", clean(uri))
}

// checkURI refuses what no policy may allow, see package redirecturi.
func checkURI(uri string) error {
	if err := redirecturi.Check(uri); err != nil {
		return Errorf(InvalidRedirectURI, "a redirect URI %s", err)
	}
	return nil
}

// withoutLoopbackPort cuts the port out of an http URI whose host is the
// loopback address or the name localhost. RFC 8252 §7.3 speaks of the two
// addresses; the name is added because real clients register it and vary its
// port (OAuth 2.1 §4.1.1 says "localhost" too).
func withoutLoopbackPort(uri string) (string, bool) {
	const scheme = "http://"
	if !strings.HasPrefix(uri, scheme) {
		return "", false
	}
	authority, rest := uri[len(scheme):], ""
	if i := strings.IndexAny(authority, "/?"); i >= 0 {
		authority, rest = authority[:i], authority[i:]
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]"} {
		port, ok := strings.CutPrefix(authority, host)
		if !ok {
			continue
		}
		if port == "" || (port[0] == ':' && len(port) <= 6 && strings.Trim(port[1:], "0123456789") == "") {
			return scheme + host + rest, true
		}
	}
	return "", false
}
