package rules

import (
	"errors"
	"fmt"
	"mime"
	"net"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/sdk/abi"
)

// Methods are the HTTP methods that a provider may ask for.
func Methods() []string { return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} }

const (
	maxURL  = 16 << 10            // bytes
	maxHost = 253 + len(":65535") // RFC 1035 §2.3.4, and a port
)

// CheckRequest reports what is wrong with a request before it is looked at
// where it goes: its method, headers and client authentication.
func CheckRequest(r *abi.Request) error {
	if !slices.Contains(Methods(), r.Method) {
		return fmt.Errorf("it asks for the method %q; the methods are %v", r.Method, Methods())
	}
	if u, err := url.Parse(r.URL); err != nil || u.Host == "" || len(u.Host) > maxHost {
		return errors.New("it asks for something that is not a URL")
	}
	if len(r.URL) > maxURL {
		return fmt.Errorf("it asks for a URL of more than %d bytes", maxURL)
	}
	for _, h := range r.Headers {
		if !validHeader(h) {
			return fmt.Errorf("it sets the header %q, whose name or value HTTP does not allow", h[0])
		}
	}
	if r.ClientAuth == nil {
		return nil
	}
	return checkClientAuth(r)
}

// checkClientAuth checks a directive's method and that the request has room for
// what it adds.
func checkClientAuth(r *abi.Request) error {
	known := []string{abi.AuthNone, abi.AuthBasic, abi.AuthBasicSecret, abi.AuthPost, abi.AuthPrivateKeyJWT, abi.AuthClientSecretJWT}
	method := r.ClientAuth.Method
	switch {
	case !slices.Contains(known, method):
		return fmt.Errorf("it asks for the unknown client authentication %q; use one of %s", method, strings.Join(known, ", "))
	case method == abi.AuthBasic || method == abi.AuthBasicSecret:
		if slices.ContainsFunc(r.Headers, func(h abi.Header) bool { return strings.EqualFold(h[0], "Authorization") }) {
			return errors.New("it sets the authorization header and asks for basic client authentication too; leave one out")
		}
		return nil
	case r.Method == "GET" || r.Method == "HEAD": // RFC 9110 §9.3.1
		return fmt.Errorf("it asks for client authentication %q in the body of a %s request; use POST or basic", method, r.Method)
	}
	kind := ""
	for _, h := range r.Headers {
		if strings.EqualFold(h[0], "Content-Type") {
			kind = h[1]
		}
	}
	media, _, _ := mime.ParseMediaType(kind)
	if media != "application/x-www-form-urlencoded" && media != "application/json" && (kind != "" || r.BodyLen > 0) {
		return fmt.Errorf("client authentication in the body needs a form or a JSON object, not %q", media)
	}
	return nil
}

// validHeader follows RFC 9110 §5.1 and §5.5.
func validHeader(h abi.Header) bool {
	const token = "!#$%&'*+-.^_`|~"
	notToken := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(token, r))
	}
	notValue := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	return h[0] != "" && !strings.ContainsFunc(h[0], notToken) && !strings.ContainsFunc(h[1], notValue)
}

// CheckPlace reports that a request may not leave: for its URL, or for a header
// that is not a provider's to set. A host has package core/fetch for it, which
// refuses the same. hosts may be asked; private hosts also over http.
func CheckPlace(r *abi.Request, hosts, private []string) error {
	if err := CheckURL(r.URL, hosts, private); err != nil {
		return err
	}
	for _, h := range r.Headers {
		name := textproto.CanonicalMIMEHeaderKey(h[0])
		if slices.Contains(hostHeaders(), name) || strings.HasPrefix(name, "Proxy-") {
			return fmt.Errorf("it sets the header %s, which is not a provider's to set; leave it out", name)
		}
	}
	return nil
}

// hostHeaders belong to the connection (RFC 9110 §7.6.1), to the transport, or
// to state that the host does not keep.
func hostHeaders() []string {
	return []string{
		"Accept-Encoding", "Connection", "Content-Length", "Cookie", "Host", "Keep-Alive", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade",
	}
}

// CheckURL reports that a URL has a scheme or a host that may not be asked.
func CheckURL(address string, hosts, private []string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || strings.ContainsFunc(u.Host, strange) {
		return errors.New("the URL needs a plain host in lower-case ASCII and no user part")
	}
	hostport := hostPort(u)
	port := defaultPort(u.Scheme)
	isHost := func(h string) bool { return h == hostport || net.JoinHostPort(strings.Trim(h, "[]"), port) == hostport }
	switch {
	case port == "" || u.Scheme == "http" && !slices.Contains(private, hostport):
		return fmt.Errorf("it asks for %s://%s; use https", u.Scheme, u.Host)
	case !slices.ContainsFunc(hosts, isHost):
		return fmt.Errorf("it asks for %s, which is not among the manifest's hosts %v; add it there", hostport, hosts)
	}
	return nil
}

// strange are characters that could name one host to the host and another to
// the resolver.
func strange(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:[]", r))
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	}
	return ""
}
