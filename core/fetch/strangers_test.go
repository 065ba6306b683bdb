package fetch

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// tunnel is an HTTP proxy, a double of ours. It keeps what it was asked to
// connect to and leads everything to one server.
type tunnel struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newTunnel(t *testing.T, to string) *tunnel {
	p := &tunnel{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.Method+" "+r.Host)
		p.mu.Unlock()
		there, err := net.Dial("tcp", to)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer there.Close()
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer here.Close()
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here) }()
		_, _ = io.Copy(here, there)
	}))
	t.Cleanup(p.CloseClientConnections)
	return p
}

func (p *tunnel) connects() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

// behindTunnel returns the client of the operator and that of strangers behind
// one proxy. Each name resolves as names says.
func behindTunnel(t *testing.T, names map[string]string) (operator, strangers *Client, proxy *tunnel) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }))
	t.Cleanup(server.Close)
	proxy = newTunnel(t, server.Listener.Addr().String())
	t.Cleanup(proxy.Close)
	via, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	operator = New(Config{
		PrivateHosts: []string{"intranet.example"}, RootCAs: roots, Proxy: http.ProxyURL(via),
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			addr, err := netip.ParseAddr(names[host])
			if err != nil {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return []netip.Addr{addr}, nil
		},
	})
	strangers = operator.ForStrangers()
	t.Cleanup(operator.Close)
	t.Cleanup(strangers.Close)
	return operator, strangers, proxy
}

// TestProxyIsNotSentWhereStrangersPoint: a proxy reaches what the public
// internet does not, so it gets neither a name that a stranger chose nor an
// address that is not public.
func TestProxyIsNotSentWhereStrangersPoint(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"vault.internal.corp": "10.20.30.40", "kubernetes.default.svc": "10.96.0.1", "metadata.google.internal": "169.254.169.254",
		"metadata.google.internal.": "169.254.169.254", "localhost": "127.0.0.1", "six.example": "fd00::1", "mapped.example": "::ffff:10.0.0.1",
		"nat64.example": "64:ff9b::a00:1", "intranet.example": "10.0.0.7",
		// What a C library makes of them.
		"127.1": "127.0.0.1", "0x7f.1": "127.0.0.1", "2130706433": "127.0.0.1", "0177.0.0.1": "127.0.0.1",
	}
	_, strangers, proxy := behindTunnel(t, names)
	for _, target := range []string{
		"https://vault.internal.corp:8200/v1/x", "https://kubernetes.default.svc/x", "https://metadata.google.internal/x",
		"https://metadata.google.internal./x", "https://localhost/x", "https://six.example/x", "https://mapped.example/x", "https://nat64.example/x",
		"https://intranet.example/x", "https://unknown.internal.corp/x",
		"https://127.0.0.1/x", "https://127.1/x", "https://127.1:443/x", "https://127.0.1/x", "https://0x7f.1/x", "https://0x7f000001/x", "https://2130706433/x",
		"https://0177.0.0.1/x", "https://017700000001/x", "https://0/x", "https://10.0.0.1./x", "https://0x7f.0x0.0x0.0x1/x", "https://127.0.0.0x1/x", "https://0xA9FEA9FE/x",
		"https://169.254.169.254/x", "https://[::1]/x", "https://[::ffff:127.0.0.1]/x", "https://[::ffff:7f00:1]/x", "https://[fd00::1]/x",
		"https://[fe80::1]/x", "https://[64:ff9b::7f00:1]/x", "https://[::127.0.0.1]/x", "https://[2002:7f00:1::]/x",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		hostport, _ := HostPort(u)
		if res, err := get(t, strangers, target, Policy{Hosts: []string{hostport}}); err == nil {
			t.Errorf("%s answered %q", target, res.Body)
		}
	}
	if asked := proxy.connects(); len(asked) > 0 {
		t.Errorf("the proxy was asked for %v", asked)
	}
}

func TestStrangersGoThroughTheProxyByAddress(t *testing.T) {
	t.Parallel()
	// The name is the one in the test server's certificate.
	operator, strangers, proxy := behindTunnel(t, map[string]string{"example.com": "8.8.8.8", "other.example": "8.8.4.4"})
	hosts := Policy{Hosts: []string{"example.com", "other.example", "intranet.example:80"}}
	res, err := get(t, strangers, "https://example.com/x", hosts)
	if err != nil || string(res.Body) != "example.com" {
		t.Fatalf("%v, %v: want the host's name in TLS and in Host", res, err)
	}
	if asked := proxy.connects(); !slices.Equal(asked, []string{"CONNECT 8.8.8.8:443"}) {
		t.Errorf("a stranger's URL: the proxy was asked for %v", asked)
	}
	if _, err := get(t, strangers, "https://other.example/x", hosts); !errors.Is(err, ErrTransport) {
		t.Errorf("a certificate of another name: %v", err)
	}
	if _, err := get(t, strangers, "http://intranet.example/", hosts); !errors.Is(err, ErrScheme) {
		t.Errorf("a private host of the operator's: %v", err)
	}
	if _, err := get(t, operator, "https://example.com/x", hosts); err != nil {
		t.Fatal(err)
	}
	if asked := proxy.connects(); asked[len(asked)-1] != "CONNECT example.com:443" {
		t.Errorf("the operator's URL: the proxy was asked for %v", asked)
	}
}

func TestStrangersWithoutProxyGoDirectly(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "8.8.8.8")
	c.cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // NO_PROXY
	strangers := c.ForStrangers()
	defer strangers.Close()
	if _, err := get(t, strangers, "https://example.com/", Policy{Hosts: []string{"example.com"}}); err != nil || !slices.Equal(w.dialed, []string{"8.8.8.8:443"}) {
		t.Errorf("%v, dialled %v", err, w.dialed)
	}
}

// A host that ends in a number and is not an address is refused to every client:
// a proxy could read it as an address.
func TestOddAddressesAreRefused(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	defer c.Close()
	for _, host := range []string{"127.1", "0x7f.1", "2130706433", "0177.0.0.1"} {
		if err := c.CheckURL(&url.URL{Scheme: "https", Host: host, Path: "/"}, []string{host}); !errors.Is(err, ErrURL) {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A stranger's URL is asked at no private host, although the operator lists it.
func TestStrangersKnowNoPrivateHosts(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "10.0.0.1")
	strangers := w.client(t, Config{PrivateHosts: []string{"example.com"}}).ForStrangers()
	defer strangers.Close()
	if _, err := get(t, strangers, "https://example.com/", Policy{Hosts: []string{"example.com"}}); !errors.Is(err, ErrAddressNotAllowed) || len(w.dialed) > 0 {
		t.Errorf("%v, dialled %v", err, w.dialed)
	}
}

func TestPrivateHostWithoutPort(t *testing.T) {
	t.Parallel()
	w, _ := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "10.0.0.1")
	c := w.client(t, Config{PrivateHosts: []string{"example.com", "[fd00::1]"}})
	for target, want := range map[string]error{
		"https://example.com/": nil, "https://example.com:443/": nil, "http://example.com/": ErrTransport, // the server speaks TLS
		"https://example.com:8443/": ErrAddressNotAllowed, "http://example.com:8080/": ErrScheme, "https://[fd00::1]:8443/": ErrAddressNotAllowed,
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		hostport, _ := HostPort(u)
		if _, err := get(t, c, target, Policy{Hosts: []string{hostport}}); !errors.Is(err, want) && (err != nil || !errors.Is(want, ErrTransport)) {
			t.Errorf("%s: %v, want %v", target, err, want)
		}
		if err := c.CheckHost(u); errors.Is(err, ErrScheme) != errors.Is(want, ErrScheme) {
			t.Errorf("%s: CheckHost says %v", target, err)
		}
	}
	if !c.Private("[fd00::1]:443") || !c.Private("[fd00::1]:80") {
		t.Error("an IPv6 address without a port is not private at the ports of https and http")
	}
}
