package profiles

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// layouts are the two ways to lay out tenants, and the tenant of coretest that
// each is tried with.
var layouts = []struct{ name, tenant, issuer string }{
	{"path", "music", "https://mcp.example.com/music"},
	{"host", "octo", "https://octo.example.com"},
}

// internet is one TLS server that stands for every host of a login: those of
// the tenants and those where clients publish their documents. What the server
// fetches from there passes its own checks of address, certificate and size.
type internet struct {
	*coretest.Server
	transport *http.Transport
}

// newInternet returns an internet with these documents, by host and path.
func newInternet(t *testing.T, published map[string]string, options ...coretest.Option) *internet {
	t.Helper()
	n := &internet{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if text, ok := published[r.Host+r.URL.Path]; ok {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, text)
			return
		}
		n.Core.ServeHTTP(w, r)
	}))
	hosts := map[string]bool{}
	for address := range published {
		hosts[hostOf(address)] = true
	}
	for _, l := range layouts {
		hosts[hostOf(strings.TrimPrefix(l.issuer, "https://"))] = true
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, slices.Collect(maps.Keys(hosts)))}}
	server.StartTLS()
	t.Cleanup(server.Close)

	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}
	n.transport = &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(n.transport.CloseIdleConnections)
	everywhere := func(c *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		for i, l := range layouts {
			tenants[i].Name, tenants[i].Issuer = l.tenant, l.issuer
		}
		c.Fetch = fetch.New(fetch.Config{
			RootCAs: roots, Dial: dial,
			Resolve: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
			},
		})
		t.Cleanup(c.Fetch.Close)
	}
	n.Server = coretest.New(t, append([]coretest.Option{everywhere}, options...)...)
	return n
}

// hostOf is the host of an address without a scheme.
func hostOf(address string) string {
	host, _, _ := strings.Cut(address, "/")
	return host
}

// certificate makes one for the hosts that is its own authority.
func certificate(t *testing.T, hosts []string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// person returns a browser with cookies that follows no redirect by itself.
func (n *internet) person() *http.Client {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &http.Client{Transport: n.transport, Jar: jar, CheckRedirect: stay}
}

// program returns an HTTP client without cookies.
func (n *internet) program() *http.Client {
	return &http.Client{Transport: n.transport, CheckRedirect: stay}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
