// Package fetch is the one outbound HTTP client of Sallyport. Whoever asks an
// address that somebody else chose (a client's metadata document, a key set, a
// provider's request) asks through it, so that the rules against server-side
// request forgery stand in one place.
//
// It owns the scheme, the host list, the check of the resolved address, the
// caps on size and time, and what the caller may not set. It leaves to its
// callers which hosts a request may reach, what an answer means, and whether
// to ask again.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Kinds of failure, to be matched with errors.Is. The text of an error names
// the host and a remedy; it never holds a header, a query or a body.
var (
	ErrURL               = errors.New("fetch: not a usable URL")
	ErrScheme            = errors.New("fetch: not https")
	ErrHostNotAllowed    = errors.New("fetch: host not allowed")
	ErrAddressNotAllowed = errors.New("fetch: address not allowed")
	ErrHeader            = errors.New("fetch: header not allowed")
	ErrTooLarge          = errors.New("fetch: answer too large")
	ErrTransport         = errors.New("fetch: no answer")
	// ErrUnsent goes with an ErrTransport if there was no connection that the
	// request could have been sent on.
	ErrUnsent = errors.New("nothing was sent")
)

// Defaults of a Policy's zero fields.
const (
	DefaultMaxBody = 256 << 10
	DefaultTimeout = 10 * time.Second
)

const (
	dialTimeout     = 5 * time.Second // per address
	maxHeaderBytes  = 64 << 10
	idleConnTimeout = 90 * time.Second
)

// Config says how a Client reaches the network. The zero value is the strict
// client of the public internet.
type Config struct {
	// PrivateHosts are exact host:port pairs that may be asked over plain http
	// and may resolve to special-use addresses.
	PrivateHosts []string

	// Proxy chooses a proxy for a request; nil: none. A proxy resolves names
	// itself, so the check of the resolved address is then the proxy's duty;
	// addresses written out in a URL are still checked here.
	Proxy func(*http.Request) (*url.URL, error)

	// Resolve looks a name up; nil: net.DefaultResolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// Dial connects to an address that passed the check; nil: net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// RootCAs are trusted for TLS; nil: the system's.
	RootCAs *x509.CertPool

	// UserAgent is sent when a request has none; empty: "sallyport".
	UserAgent string
}

// Policy is what one request may do.
type Policy struct {
	// Hosts may be asked: "host" for the scheme's own port or "host:port", in
	// lower case, compared exactly. None listed means none allowed.
	Hosts []string

	MaxBody int64         // bytes of the decoded answer; 0: DefaultMaxBody
	Timeout time.Duration // from resolving to the last byte; 0: DefaultTimeout
}

// Response is an answer, read to its end.
type Response struct {
	Status int
	Header http.Header // without Set-Cookie
	Body   []byte
}

// Client performs requests. It is safe for concurrent use and keeps idle
// connections between calls.
type Client struct {
	private   map[string]bool
	userAgent string
	proxy     func(*http.Request) (*url.URL, error)
	direct    http.RoundTripper
	proxied   http.RoundTripper
	close     func()
}

// New returns a client.
func New(cfg Config) *Client {
	c := &Client{private: map[string]bool{}, userAgent: cfg.UserAgent, proxy: cfg.Proxy}
	for _, h := range cfg.PrivateHosts {
		c.private[h] = true
	}
	if c.userAgent == "" {
		c.userAgent = "sallyport"
	}
	g := &guard{private: c.private, resolve: cfg.Resolve, dial: cfg.Dial}
	if g.resolve == nil {
		g.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if g.dial == nil {
		g.dial = (&net.Dialer{}).DialContext
	}
	direct := newTransport(cfg.RootCAs, g.dialContext)
	proxied := newTransport(cfg.RootCAs, g.dial)
	proxied.Proxy = cfg.Proxy
	c.direct, c.proxied = direct, proxied
	c.close = func() { direct.CloseIdleConnections(); proxied.CloseIdleConnections() }
	return c
}

func newTransport(roots *x509.CertPool, dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		DialContext:            dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        idleConnTimeout,
	}
}

// Close ends idle connections.
func (c *Client) Close() { c.close() }

// Private tells whether the operator listed hostport (host:port) as private.
func (c *Client) Private(hostport string) bool { return c.private[hostport] }

// CheckURL applies the rules for scheme and host to a URL without asking it:
// for addresses that a browser will be sent to.
func (c *Client) CheckURL(u *url.URL, hosts []string) error {
	if u.Host == "" || u.Opaque != "" || u.User != nil || !plainHost(u.Host) {
		return fmt.Errorf("%w: it needs a plain host in lower-case ASCII and no user part", ErrURL)
	}
	hostport, ok := HostPort(u)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s: only https is asked", ErrScheme, u.Host)
	case u.Scheme != "https" && !c.private[hostport]:
		return fmt.Errorf("%w: http://%s: use https, or list %s among the operator's private hosts", ErrScheme, u.Host, hostport)
	case !listed(hosts, hostport, defaultPort(u.Scheme)):
		return fmt.Errorf("%w: %s is none of %v", ErrHostNotAllowed, hostport, hosts)
	}
	return nil
}

func listed(hosts []string, hostport, port string) bool {
	return slices.ContainsFunc(hosts, func(h string) bool {
		return h == hostport || net.JoinHostPort(strings.Trim(h, "[]"), port) == hostport
	})
}

// Do performs req under p and reads the answer. A redirect is an answer like
// any other. Context errors are in the chain of an error they caused.
func (c *Client) Do(ctx context.Context, req *http.Request, p Policy) (*Response, error) {
	if err := c.CheckURL(req.URL, p.Hosts); err != nil {
		return nil, err
	}
	if err := checkHeaders(req); err != nil {
		return nil, err
	}
	if p.Timeout <= 0 {
		p.Timeout = DefaultTimeout
	}
	if p.MaxBody <= 0 {
		p.MaxBody = DefaultMaxBody
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	var connected atomic.Bool
	req = req.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.userAgent)
	}
	rt, err := c.transport(req)
	if err != nil {
		return nil, err
	}
	res, err := rt.RoundTrip(req) // unlike http.Client: no redirects, no cookies
	if err != nil && !connected.Load() {
		return nil, fmt.Errorf("%w; %w", transportError(ctx, req.URL.Host, err), ErrUnsent)
	}
	if err != nil {
		return nil, transportError(ctx, req.URL.Host, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, p.MaxBody+1))
	if err != nil {
		return nil, transportError(ctx, req.URL.Host, err)
	}
	if int64(len(body)) > p.MaxBody {
		return nil, fmt.Errorf("%w: %s sent more than %d bytes", ErrTooLarge, req.URL.Host, p.MaxBody)
	}
	res.Header.Del("Set-Cookie")
	return &Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// transport picks the direct way, or the proxy after checking an address that
// the URL spells out.
func (c *Client) transport(req *http.Request) (http.RoundTripper, error) {
	if c.proxy == nil {
		return c.direct, nil
	}
	via, err := c.proxy(req)
	if err != nil {
		return nil, fmt.Errorf("%w: the proxy setting cannot be used", ErrTransport)
	}
	if via == nil {
		return c.direct, nil
	}
	hostport, _ := HostPort(req.URL)
	if addr, err := netip.ParseAddr(req.URL.Hostname()); err == nil && !c.private[hostport] {
		if why := specialUse(addr); why != "" {
			return nil, addressError(hostport, addr, why)
		}
	}
	return c.proxied, nil
}
