package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// BenchmarkCall compares a call through the gateway with one straight to the
// backend and one through a bare reverse proxy to it, in the same run.
func BenchmarkCall(b *testing.B) {
	s := coretest.New(b)
	token := s.Login(b, s.Browser(), "ada").Access
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	})
	backend, err := url.Parse(s.Backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := httptest.NewServer(&httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 256},
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(backend) },
	})
	defer bare.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	for _, c := range []struct{ name, target string }{{"backend", s.Backend.URL + "/mcp"}, {"proxy", bare.URL + "/mcp"}, {"gateway", s.URL + "/music/mcp"}} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				started := time.Now()
				r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, c.target, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
				if err != nil {
					b.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+token)
				res, err := client.Do(r)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusOK {
					b.Fatal(res.Status)
				}
				took = append(took, time.Since(started))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

// BenchmarkForwardAuth is what a proxy's question costs, less the connection.
func BenchmarkForwardAuth(b *testing.B) {
	s := coretest.New(b, elsewhere)
	token := s.Login(b, s.Browser(), "ada").Access
	operator := s.Core.Operator()
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/forward-auth/music", nil)
	r.SetBasicAuth("edge", url.QueryEscape(proxySecret))
	r.Header.Set("Proxy-Authorization", r.Header.Get("Authorization"))
	r.Header.Set("Authorization", "Bearer "+token)
	b.ReportAllocs()
	for b.Loop() {
		rec := httptest.NewRecorder()
		if operator.ServeHTTP(rec, r); rec.Code != http.StatusOK {
			b.Fatal(rec.Code, rec.Body)
		}
	}
}

// canned is a backend without a network.
type canned struct{}

func (canned) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	const answer = `{"jsonrpc":"2.0","id":1,"result":{}}`
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(answer)), ContentLength: int64(len(answer)),
	}, nil
}

// writer is a client without a network.
type writer struct{ header http.Header }

func (w writer) Header() http.Header         { return w.header }
func (w writer) WriteHeader(int)             {}
func (w writer) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkOwn is what a call costs in the gateway itself, and in a bare reverse
// proxy, with no network on either side.
func BenchmarkOwn(b *testing.B) {
	backend := &url.URL{Scheme: "http", Host: "backend", Path: "/mcp"}
	tenants := []int{2, 10_000}
	for _, n := range tenants {
		s := coretest.New(b, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) { c.BackendTransport = canned{} })
		token := s.Login(b, s.Browser(), "ada").Access
		all := []*tenant.Tenant{s.Core.Tenants().Get("music"), s.Core.Tenants().Get("octo")}
		for len(all) < n {
			more := *all[1]
			more.Name = fmt.Sprint("t", len(all))
			more.Issuer = s.URL + "/" + more.Name
			all = append(all, &more)
		}
		set, err := tenant.NewSet(all...)
		if err != nil {
			b.Fatal(err)
		}
		s.Core.SetTenants(set)
		b.Run(fmt.Sprintf("gateway, %d tenants", n), func(b *testing.B) { serveCalls(b, s.Core, s.URL+"/music/mcp", token) })
	}
	b.Run("proxy", func(b *testing.B) {
		serveCalls(b, &httputil.ReverseProxy{Transport: canned{}, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(backend) }}, "http://x/mcp", "x")
	})
}

func serveCalls(b *testing.B, h http.Handler, target, token string) {
	b.Helper()
	u, err := url.Parse(target)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := (&http.Request{
			Method: http.MethodPost, URL: u, Host: u.Host, RequestURI: u.Path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:9",
			Header: http.Header{
				"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
				"Mcp-Session-Id": {"0123456789abcdef"}, "Mcp-Protocol-Version": {"2025-11-25"}, "User-Agent": {"bench"},
			},
			Body: io.NopCloser(strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)), ContentLength: 40,
		}).WithContext(b.Context())
		h.ServeHTTP(writer{http.Header{}}, r)
	}
}
