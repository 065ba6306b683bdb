package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest"
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
