package core_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

const reason = "provider: no such plugin: acme-inc"

// TestTenantThatIsDown: its address answers 503 to everything and says nothing
// of the reason; the other tenant is served; the operator reads the reason.
func TestTenantThatIsDown(t *testing.T) {
	t.Parallel()
	server := serverWith(t, "", reason)
	for _, path := range []string{
		"/mcp", "/token", "/authorize", "/callback", "/register", "/", "/nothing", "/.well-known/oauth-authorization-server", "/.well-known/oauth-protected-resource/mcp",
	} {
		for _, accept := range []string{"application/json", "text/html"} {
			r := httptest.NewRequest(http.MethodGet, "https://b.example"+path, nil)
			r.Header.Set("Accept", accept)
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s %s: %d %v", path, accept, w.Code, w.Header())
			}
			if strings.Contains(w.Body.String(), "acme-inc") || strings.HasPrefix(w.Header().Get("Content-Type"), accept) != true {
				t.Errorf("%s %s: %s", path, accept, w.Body)
			}
		}
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://a.example/mcp", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("the other tenant: %d", w.Code)
	}
	operator := server.Operator()
	for path, want := range map[string]int{"/readyz": 200, "/forward-auth/b": 503} {
		w := httptest.NewRecorder()
		operator.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+path, nil))
		if w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		if path == "/readyz" && (!strings.Contains(w.Body.String(), reason) || !strings.Contains(w.Body.String(), `"tenants":1`)) {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}

func TestNotReadyIfEveryTenantIsDown(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	serverWith(t, reason, reason).Operator().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/readyz", nil))
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "not ready") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// serverWith is a server with the tenants a and b, which are down for a reason
// or served.
func serverWith(t *testing.T, a, b string) *core.Server {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	backend := &url.URL{Scheme: "http", Host: "127.0.0.1:9"}
	var all []*tenant.Tenant
	for name, down := range map[string]string{"a": a, "b": b} {
		all = append(all, &tenant.Tenant{
			Name: name, DisplayName: name, Issuer: "https://" + name + ".example", Provider: upstreamtest.Provider{Fake: &upstreamtest.Fake{}}, Backend: backend,
			Lifetimes: tenant.DefaultLifetimes(), Down: down,
		})
	}
	set, err := tenant.NewSet(all...)
	if err != nil {
		t.Fatal(err)
	}
	server, err := core.New(core.Config{Tenants: set, Store: &memory.Driver{}, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return server
}
