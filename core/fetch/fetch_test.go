package fetch

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// world is a TLS server that stands for a public host: names resolve to public
// addresses and the dialer leads those to the server.
type world struct {
	server *httptest.Server
	dialed []string
	addrs  func(host string) []netip.Addr
}

func newWorld(t *testing.T, h http.HandlerFunc, addrs ...string) (*world, *Client) {
	t.Helper()
	w := &world{server: httptest.NewTLSServer(h)}
	t.Cleanup(w.server.Close)
	w.addrs = func(string) []netip.Addr {
		var out []netip.Addr
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	return w, w.client(t, Config{})
}

func (w *world) client(t *testing.T, cfg Config) *Client {
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(w.server.Certificate())
	cfg.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) { return w.addrs(host), nil }
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		w.dialed = append(w.dialed, addr)
		return (&net.Dialer{}).DialContext(ctx, network, w.server.Listener.Addr().String())
	}
	c := New(cfg)
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, c *Client, rawURL string, p Policy) (*Response, error) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, rawURL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.Do(t.Context(), req, p)
}

func TestAnswerOfAListedHost(t *testing.T) {
	w, c := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		io.WriteString(w, "hello "+r.UserAgent())
	}, "8.8.8.8")
	for range 2 {
		res, err := get(t, c, "https://example.com/x", Policy{Hosts: []string{"example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		if res.Status != 200 || string(res.Body) != "hello sallyport" || res.Header.Get("Set-Cookie") != "" {
			t.Errorf("got %d %q %v", res.Status, res.Body, res.Header)
		}
	}
	if len(w.dialed) != 1 || w.dialed[0] != "8.8.8.8:443" {
		t.Errorf("dialled %v, want the checked address once", w.dialed)
	}
}

func TestSchemeAndHostRules(t *testing.T) {
	_, c := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "8.8.8.8")
	tests := []struct {
		url   string
		hosts []string
		want  error
	}{
		{"https://example.com/", []string{"example.com"}, nil},
		{"https://example.com:443/", []string{"example.com"}, nil},
		{"https://example.com/", []string{"example.com:443"}, nil},
		{"https://example.com:8443/", []string{"example.com"}, ErrHostNotAllowed},
		{"https://example.com:8443/", []string{"example.com:8443"}, nil},
		{"https://example.com/", nil, ErrHostNotAllowed},
		{"https://evil.example.com/", []string{"example.com"}, ErrHostNotAllowed},
		{"https://example.com.evil.net/", []string{"example.com"}, ErrHostNotAllowed},
		{"https://example.com./", []string{"example.com"}, ErrHostNotAllowed},
		{"https://EXAMPLE.com/", []string{"example.com"}, ErrURL},
		{"https://example.com@evil.net/", []string{"example.com"}, ErrURL},
		{"https://ex\u0430mple.com/", []string{"ex\u0430mple.com"}, ErrURL},
		{"http://example.com/", []string{"example.com"}, ErrScheme},
		{"ftp://example.com/", []string{"example.com"}, ErrScheme},
		{"file:///etc/passwd", []string{""}, ErrURL},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CheckURL(u, tt.hosts); !errors.Is(err, tt.want) {
			t.Errorf("%s with %v: got %v, want %v", tt.url, tt.hosts, err, tt.want)
		}
	}
}

func TestSpecialUseAddressesAreRefused(t *testing.T) {
	refused := []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1",
		"192.168.1.1", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
		"239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:0:7f00:1", "::ffff:0:a9fe:a9fe", "1::7f00:1", "4000::1", "fe00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
		"64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "100:0:0:1::1", "2001::1", "2001:0:4136:e378::1",
		"2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "2620:4f:8000::1",
		"3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
	}
	for _, a := range refused {
		t.Run(a, func(t *testing.T) {
			w, c := newWorld(t, func(http.ResponseWriter, *http.Request) {}, a)
			_, err := get(t, c, "https://example.com/?secret=1", Policy{Hosts: []string{"example.com"}})
			if !errors.Is(err, ErrAddressNotAllowed) || len(w.dialed) != 0 {
				t.Fatalf("got %v, dialled %v", err, w.dialed)
			}
			if !strings.Contains(err.Error(), "list example.com:443 among") || strings.Contains(err.Error(), "secret") {
				t.Errorf("text: %v", err)
			}
		})
	}
	for _, a := range []string{"8.8.8.8", "172.32.0.1", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2001:4860:4860::8888"} {
		if why := specialUse(netip.MustParseAddr(a)); why != "" {
			t.Errorf("%s refused as %s", a, why)
		}
	}
	for _, s := range specialBlocks {
		if specialUse(s.prefix.Addr()) == "" {
			t.Errorf("%s: first address passes", s.prefix)
		}
	}
}

func TestAddressWrittenOutIsChecked(t *testing.T) {
	w, c := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	for _, h := range []string{"127.0.0.1", "[::1]", "169.254.169.254"} {
		if _, err := get(t, c, "https://"+h+"/", Policy{Hosts: []string{h}}); !errors.Is(err, ErrAddressNotAllowed) {
			t.Errorf("%s: %v", h, err)
		}
	}
	if len(w.dialed) != 0 {
		t.Errorf("dialled %v", w.dialed)
	}
}

func TestRebindingGainsNothing(t *testing.T) {
	w, c := newWorld(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	var asked int
	w.addrs = func(string) []netip.Addr {
		asked++
		if asked == 1 {
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	}
	p := Policy{Hosts: []string{"example.com"}}
	if _, err := get(t, c, "https://example.com/", p); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, c, "https://example.com/", p); !errors.Is(err, ErrAddressNotAllowed) {
		t.Errorf("second: %v", err)
	}
	if asked != 2 || len(w.dialed) != 1 || w.dialed[0] != "8.8.8.8:443" {
		t.Errorf("resolved %d times, dialled %v: want one look-up for each connection", asked, w.dialed)
	}
}

func TestMixedAnswerUsesThePublicAddress(t *testing.T) {
	w, c := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "10.0.0.1", "8.8.8.8")
	if _, err := get(t, c, "https://example.com/", Policy{Hosts: []string{"example.com"}}); err != nil {
		t.Fatal(err)
	}
	if len(w.dialed) != 1 || w.dialed[0] != "8.8.8.8:443" {
		t.Errorf("dialled %v", w.dialed)
	}
}

func TestRedirectIsAnAnswer(t *testing.T) {
	w, c := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://169.254.169.254/latest", http.StatusFound)
	}, "8.8.8.8")
	res, err := get(t, c, "https://example.com/", Policy{Hosts: []string{"example.com", "169.254.169.254"}})
	if err != nil || res.Status != 302 {
		t.Fatalf("got %v, %v", res, err)
	}
	_, err = get(t, c, res.Header.Get("Location"), Policy{Hosts: []string{"example.com", "169.254.169.254"}})
	if !errors.Is(err, ErrAddressNotAllowed) || len(w.dialed) != 1 {
		t.Errorf("following by hand: %v, dialled %v", err, w.dialed)
	}
}

func TestPrivateHostIsExact(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	defer srv.Close()
	host := srv.Listener.Addr().String()
	c := New(Config{PrivateHosts: []string{host}})
	defer c.Close()
	if res, err := get(t, c, srv.URL, Policy{Hosts: []string{host}}); err != nil || string(res.Body) != "ok" {
		t.Fatalf("got %v, %v", res, err)
	}
	if _, err := get(t, c, "http://127.0.0.1:1/", Policy{Hosts: []string{"127.0.0.1:1"}}); !errors.Is(err, ErrScheme) {
		t.Errorf("another port: %v", err)
	}
	if _, err := get(t, c, srv.URL, Policy{}); !errors.Is(err, ErrHostNotAllowed) {
		t.Errorf("listed by the operator but not in the policy: %v", err)
	}
	if !c.Private(host) || c.Private("127.0.0.1:1") {
		t.Error("Private")
	}
}

func TestCaps(t *testing.T) {
	release := make(chan struct{})
	_, c := newWorld(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-release
			return
		}
		io.WriteString(w, strings.Repeat("x", 1001))
	}, "8.8.8.8")
	defer close(release)
	hosts := []string{"example.com"}
	if _, err := get(t, c, "https://example.com/", Policy{Hosts: hosts, MaxBody: 1000}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1,001 bytes of 1,000: %v", err)
	}
	if res, err := get(t, c, "https://example.com/", Policy{Hosts: hosts, MaxBody: 1001}); err != nil || len(res.Body) != 1001 {
		t.Errorf("1,001 bytes of 1,001: %v", err)
	}
	_, err := get(t, c, "https://example.com/slow", Policy{Hosts: hosts, Timeout: 50 * time.Millisecond})
	if !errors.Is(err, ErrTransport) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow body: %v", err)
	}
	if text := err.Error(); !strings.Contains(text, "no answer within the time limit") || strings.Contains(text, "context") {
		t.Errorf("slow body: %s", text) // an operator reads it
	}
}

func TestHeadersOfTheTransportAreRefused(t *testing.T) {
	_, c := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "8.8.8.8")
	for _, h := range []string{"Host", "connection", "Cookie", "Transfer-Encoding", "Proxy-Authorization", "TE", "Upgrade", "Content-Length", "Accept-Encoding"} {
		req, _ := http.NewRequest(http.MethodGet, "https://example.com/", nil)
		req.Header[h] = []string{"hunter2"}
		_, err := c.Do(t.Context(), req, Policy{Hosts: []string{"example.com"}})
		if !errors.Is(err, ErrHeader) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", h, err)
		}
	}
	req, _ := http.NewRequest(http.MethodGet, "https://example.com/", nil)
	req.Host = "internal"
	if _, err := c.Do(t.Context(), req, Policy{Hosts: []string{"example.com"}}); !errors.Is(err, ErrHeader) {
		t.Errorf("Host: %v", err)
	}
}

func TestErrorsQuoteNeitherURLNorAnswer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(conn))
			io.WriteString(conn, "gho_secret\r\n\r\n")
			conn.Close()
		}
	}()
	host := ln.Addr().String()
	c := New(Config{PrivateHosts: []string{host}})
	defer c.Close()
	_, err = get(t, c, "http://"+host+"/?code=gho_query", Policy{Hosts: []string{host}})
	if !errors.Is(err, ErrTransport) || strings.Contains(err.Error(), "gho_") || !strings.Contains(err.Error(), host) {
		t.Errorf("got %v", err)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	w, _ := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "8.8.8.8")
	c := w.client(t, Config{})
	_, err := get(t, c, "https://other.test/", Policy{Hosts: []string{"other.test"}})
	if !errors.Is(err, ErrTransport) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestWhetherAnythingWasSent(t *testing.T) {
	hangUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangUp.Close()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	for name, c := range map[string]struct {
		url    string
		unsent bool
	}{
		"connection refused": {closed.URL, true}, "certificate not trusted": {untrusted.URL, true},
		"hung up": {hangUp.URL, false}, "no answer in time": {silent.URL, false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		client := New(Config{PrivateHosts: []string{u.Host}})
		_, err = get(t, client, c.url, Policy{Hosts: []string{u.Host}, Timeout: 5 * time.Second})
		if !errors.Is(err, ErrTransport) || errors.Is(err, ErrUnsent) != c.unsent {
			t.Errorf("%s: %v; want unsent %v", name, err, c.unsent)
		}
		client.Close()
	}
}

func TestProxyOnlyWhenConfigured(t *testing.T) {
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		through.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer proxy.Close()
	t.Setenv("HTTPS_PROXY", proxy.URL)
	_, c := newWorld(t, func(http.ResponseWriter, *http.Request) {}, "8.8.8.8")
	hosts := Policy{Hosts: []string{"example.com", "10.0.0.1"}}
	if _, err := get(t, c, "https://example.com/", hosts); err != nil || through.Load() != 0 {
		t.Fatalf("no proxy configured: %v, %d through it", err, through.Load())
	}
	via, _ := url.Parse(proxy.URL)
	c = New(Config{Proxy: http.ProxyURL(via)})
	defer c.Close()
	if _, err := get(t, c, "https://example.com/", hosts); !errors.Is(err, ErrTransport) || through.Load() != 1 {
		t.Errorf("proxy configured: %v, %d through it", err, through.Load())
	}
	if _, err := get(t, c, "https://10.0.0.1/", hosts); !errors.Is(err, ErrAddressNotAllowed) || through.Load() != 1 {
		t.Errorf("address through the proxy: %v", err)
	}
}
