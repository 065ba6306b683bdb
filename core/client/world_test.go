package client

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

// world is a TLS server that stands for every host of the public internet, and
// a Registry that asks it.
type world struct {
	*Registry
	music  *tenant.Tenant
	driver *memory.Driver

	mu     sync.Mutex
	time   time.Time
	pages  map[string]http.HandlerFunc // by host and path
	asked  map[string]int
	addr   map[string]string // of a host; else a public one
	dialed int
}

func newWorld(t testing.TB, private ...string) *world {
	t.Helper()
	w := &world{
		time: time.Unix(1_800_000_000, 0), pages: map[string]http.HandlerFunc{}, asked: map[string]int{}, addr: map[string]string{},
		music: &tenant.Tenant{Name: "music", Issuer: "https://music.test", Redirects: oauth.DefaultRedirects()},
	}
	server := httptest.NewTLSServer(w)
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client := fetch.New(fetch.Config{
		RootCAs: roots, PrivateHosts: private,
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if a := w.addr[host]; a != "" {
				return []netip.Addr{netip.MustParseAddr(a)}, nil
			}
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}, nil
		},
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			w.mu.Lock()
			w.dialed++
			w.mu.Unlock()
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		},
	})
	t.Cleanup(client.Close)
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	w.driver = &memory.Driver{Now: w.clock}
	w.Registry = NewRegistry(Config{Keys: keys, Store: w.driver, Fetch: client, Now: w.clock})
	return w
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	key := r.Host + r.URL.RequestURI()
	w.mu.Lock()
	w.asked[key]++
	page := w.pages[key]
	w.mu.Unlock()
	if page == nil {
		http.NotFound(rw, r)
		return
	}
	page(rw, r)
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.time
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.time = w.time.Add(d)
}

// count is how often a page was asked for.
func (w *world) count(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[key]
}

func (w *world) page(key string, h http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[key] = h
}

// publish answers key with v as JSON and the given Cache-Control.
func (w *world) publish(key string, v any, cacheControl string) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.page(key, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json; charset=utf-8")
		if cacheControl != "" {
			rw.Header().Set("Cache-Control", cacheControl)
		}
		_, _ = rw.Write(body)
	})
}

const docKey, docID = "example.com/client.json", "https://example.com/client.json"

// doc is a document that will do, with changes; nil takes a member out.
func doc(change map[string]any) map[string]any {
	d := map[string]any{"client_id": docID, "client_name": "Example", "redirect_uris": []string{callback, "http://localhost/callback"}}
	for name, value := range change {
		d[name] = value
		if value == nil {
			delete(d, name)
		}
	}
	return d
}

// codeOf is the code that err goes out with; "" for nil.
func codeOf(err error) oauth.Code {
	if err == nil {
		return ""
	}
	return oauth.AsError(err).Code
}
