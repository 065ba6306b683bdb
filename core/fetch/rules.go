package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// HostPort returns the host and port that u is asked at, the scheme's own port
// filled in, and whether u has a scheme that can be asked at all.
func HostPort(u *url.URL) (string, bool) {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	if defaultPort(u.Scheme) == "" {
		return u.Host, false
	}
	return net.JoinHostPort(u.Hostname(), port), true
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

// plainHost keeps out spellings that could name one host to us and another to
// the resolver: other scripts, zones, escapes, upper case.
func plainHost(host string) bool {
	return !strings.ContainsFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:[]", r))
	})
}

// ownHeaders belong to the connection (RFC 9110 §7.6.1), to the transport, or
// to state that we do not keep.
var ownHeaders = []string{
	"Accept-Encoding", "Connection", "Content-Length", "Cookie", "Host", "Keep-Alive", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

func checkHeaders(req *http.Request) error {
	if req.Host != "" && req.Host != req.URL.Host {
		return fmt.Errorf("%w: Host is always the URL's", ErrHeader)
	}
	for name := range req.Header {
		canonical := http.CanonicalHeaderKey(name)
		if slices.Contains(ownHeaders, canonical) || strings.HasPrefix(canonical, "Proxy-") {
			return fmt.Errorf("%w: %s is not for the caller to set; leave it out", ErrHeader, canonical)
		}
	}
	return nil
}

// transportError says what went wrong on the way without repeating what the
// other side sent or what the URL held, both of which the errors of net/http
// quote.
func transportError(ctx context.Context, host string, err error) error {
	if errors.Is(err, ErrAddressNotAllowed) {
		return unwrapTo(err, ErrAddressNotAllowed)
	}
	if errors.Is(err, errProxy) {
		return fmt.Errorf("%w: %w", ErrTransport, errProxy)
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %s: %w", ErrTransport, host, late{cause})
	}
	if permanent(err) {
		return fmt.Errorf("%w: %s: %w", ErrTransport, host, &SetupError{reason(err)})
	}
	return fmt.Errorf("%w: %s: %s", ErrTransport, host, reason(err))
}

// SetupError says that a host cannot answer as it is addressed or set up: asking
// again does not help until an address, a port or a certificate is
// changed. It goes with an ErrTransport.
type SetupError struct{ Reason string }

// Error returns the reason.
func (e *SetupError) Error() string { return e.Reason }

// permanent reports whether err lasts until an address or the host's setup is
// changed.
func permanent(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsNotFound
	}
	return errors.As(err, new(x509.HostnameError)) || errors.As(err, new(*tls.CertificateVerificationError)) || notTLS(err)
}

// notTLS reports whether https met a port that does not speak TLS.
func notTLS(err error) bool {
	return errors.As(err, new(tls.RecordHeaderError)) || errors.Is(err, http.ErrSchemeMismatch)
}

// late is the end of a context, in words.
type late struct{ cause error }

// Error says what the caller waited for.
func (l late) Error() string {
	if errors.Is(l.cause, context.DeadlineExceeded) {
		return "no answer within the time limit"
	}
	return "the request was given up"
}

// Unwrap returns the context's error.
func (l late) Unwrap() error { return l.cause }

func reason(err error) string {
	var (
		dns      *net.DNSError
		op       *net.OpError
		cert     *tls.CertificateVerificationError
		hostname x509.HostnameError
	)
	switch {
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "the name does not resolve; check its spelling"
		}
		return "the name cannot be resolved now"
	case errors.As(err, &hostname), errors.As(err, &cert):
		return "its TLS certificate is not valid for this host or not signed by a trusted authority"
	case notTLS(err):
		return "it does not speak TLS on this port; the address needs another port, or http"
	case errors.As(err, &op):
		return op.Op + " failed: " + op.Err.Error()
	}
	return "the connection broke or the answer was not HTTP"
}

// unwrapTo strips wrappers off err down to the outermost one whose own parent
// is kind, so that only our own words are left.
func unwrapTo(err, kind error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		if errors.Unwrap(e) == kind { //nolint:errorlint // the chain is walked link by link here
			return e
		}
	}
	return kind
}
