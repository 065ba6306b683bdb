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
	errProxy             = errors.New("fetch: the proxy of the environment cannot be used; check HTTPS_PROXY")
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
	// PrivateHosts may be asked over plain http and may resolve to special-use
	// addresses: host:port, or host for the ports of https and http, compared
	// exactly.
	PrivateHosts []string

	// Proxy chooses a proxy for a request; nil: none. The proxy gets the name
	// and resolves it, so the check of the resolved address is then the proxy's
	// duty; addresses written out in a URL are still checked here. See
	// ForStrangers for URLs that the operator did not choose.
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
	cfg       Config
	strangers bool
	guard     *guard
	private   map[string]bool
	userAgent string
	proxy     func(*http.Request) (*url.URL, error)
	direct    *http.Transport
	proxied   *http.Transport
}

// New returns a client for URLs that the operator, a manifest or an upstream
// that one of them named has chosen.
func New(cfg Config) *Client {
	c := &Client{cfg: cfg, private: map[string]bool{}, userAgent: cfg.UserAgent, proxy: cfg.Proxy}
	for _, h := range cfg.PrivateHosts {
		if _, _, err := net.SplitHostPort(h); err == nil {
			c.private[h] = true
			continue
		}
		for _, scheme := range []string{"https", "http"} {
			c.private[net.JoinHostPort(strings.Trim(h, "[]"), defaultPort(scheme))] = true
		}
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
	c.guard = g
	c.direct = newTransport(cfg.RootCAs, g.dialContext)
	c.proxied = newTransport(cfg.RootCAs, g.dial)
	c.proxied.Proxy = cfg.Proxy
	return c
}

// ForStrangers returns a client like c for URLs that a stranger has chosen, such
// as the metadata document of an OAuth client. It knows no private hosts, and a
// proxy gets an address that was resolved and checked here, never a name: the
// proxy may be able to reach what the public internet cannot.
func (c *Client) ForStrangers() *Client {
	cfg := c.cfg
	cfg.PrivateHosts = nil
	other := New(cfg)
	other.strangers = true
	return other
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
func (c *Client) Close() {
	c.direct.CloseIdleConnections()
	c.proxied.CloseIdleConnections()
}

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
	case oddAddress(u.Hostname()):
		return fmt.Errorf("%w: %s is an address in an unusual form; write it as four decimal numbers, or use a name", ErrURL, u.Hostname())
	case !listed(hosts, hostport, defaultPort(u.Scheme)):
		return fmt.Errorf("%w: %s is none of %v", ErrHostNotAllowed, hostport, hosts)
	}
	return nil
}

// CheckHost applies the rules for scheme and address to a URL that is going to
// be asked, without asking it and without resolving its name.
func (c *Client) CheckHost(u *url.URL) error {
	hostport, ok := HostPort(u)
	if err := c.CheckURL(u, []string{hostport}); err != nil || !ok {
		return err
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !c.private[hostport] {
		if why := specialUse(addr); why != "" {
			return addressError(hostport, addr, why)
		}
	}
	return nil
}

// CheckAddress reports why a name leads only to addresses that are never asked.
// A name that does not resolve now is not an error, nor is one that a proxy
// resolves.
func (c *Client) CheckAddress(ctx context.Context, u *url.URL) error {
	if c.proxy != nil {
		if via, err := c.proxy(&http.Request{URL: u}); err != nil || via != nil {
			return nil //nolint:nilerr // a proxy that cannot be read is told when it is used
		}
	}
	hostport, _ := HostPort(u)
	if _, err := c.guard.addresses(ctx, hostport); errors.Is(err, ErrAddressNotAllowed) {
		return unwrapTo(err, ErrAddressNotAllowed)
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
	res, err := c.roundTrip(ctx, req) // unlike http.Client: no redirects, no cookies
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

// roundTrip sends req directly, or through the proxy after checking where it
// leads as far as that is known here.
func (c *Client) roundTrip(ctx context.Context, req *http.Request) (*http.Response, error) {
	if c.proxy == nil {
		return c.direct.RoundTrip(req)
	}
	via, err := c.proxy(req)
	switch {
	case err != nil:
		return nil, errProxy
	case via == nil:
		return c.direct.RoundTrip(req)
	case c.strangers:
		return c.byAddress(ctx, via, req)
	}
	hostport, _ := HostPort(req.URL)
	if addr, err := netip.ParseAddr(req.URL.Hostname()); err == nil && !c.private[hostport] {
		if why := specialUse(addr); why != "" {
			return nil, addressError(hostport, addr, why)
		}
	}
	return c.proxied.RoundTrip(req)
}

// byAddress resolves and checks the host of req and sends req through a proxy
// to the address. TLS is with the host, so the certificate must be the host's.
func (c *Client) byAddress(ctx context.Context, via *url.URL, req *http.Request) (res *http.Response, err error) {
	hostport, _ := HostPort(req.URL)
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs, err := c.guard.addresses(ctx, hostport)
	if err != nil {
		return nil, err
	}
	t := c.proxied.Clone()
	t.Proxy, t.DisableKeepAlives = http.ProxyURL(via), true
	t.TLSClientConfig.ServerName = host
	defer t.CloseIdleConnections()
	for _, addr := range addrs {
		attempt := req.Clone(req.Context())
		attempt.Host = req.URL.Host
		attempt.URL.Host = net.JoinHostPort(addr.String(), port)
		if res, err = t.RoundTrip(attempt); err == nil || ctx.Err() != nil || (req.Body != nil && req.Body != http.NoBody) {
			break
		}
	}
	return res, err
}
