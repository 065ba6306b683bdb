package core_test

import (
	"bytes"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// forwarded calls the echoing backend with header lines of the client's own
// and returns those that arrive there.
func forwarded(t *testing.T, s *coretest.Server, token string, header http.Header) http.Header {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/music/mcp", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	req.Header.Set("Authorization", "Bearer "+token)
	a := s.Do(t, nil, req)
	if a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	arrived := http.Header{}
	for name, values := range a.JSON(t)["header"].(map[string]any) {
		for _, v := range values.([]any) {
			arrived[name] = append(arrived[name], v.(string))
		}
	}
	return arrived
}

func TestBackendLearnsWhereARequestComesFrom(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	claims := http.Header{
		"X-Forwarded-For": {"198.51.100.1, 203.0.113.7"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"gopher"},
		"Forwarded": {"for=198.51.100.1"}, "X-Real-Ip": {"198.51.100.1"}, "X-Forwarded-User": {"root"}, "X_forwarded_for": {"198.51.100.1"},
	}
	got := forwarded(t, s, token, claims)
	for name, want := range map[string]string{
		"X-Forwarded-For":  "203.0.113.7", // what the trusted proxy, here this machine, appended
		"X-Forwarded-Host": strings.TrimPrefix(s.URL, "http://"), "X-Forwarded-Proto": "http",
		"Forwarded": "", "X-Real-Ip": "", "X-Forwarded-User": "", "X_forwarded_for": "",
	} {
		if strings.Join(got[name], "|") != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if got := forwarded(t, s, token, http.Header{}); got.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("without a proxy: %q", got.Get("X-Forwarded-For"))
	}
}

// TestStrangersForwardForNobody also holds the warning that helps whoever
// forgot to name a proxy.
func TestStrangersForwardForNobody(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := coretest.New(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		c.TrustedProxies = remote.Proxies{netip.MustParsePrefix("192.0.2.0/24")}
		c.Log = hclog.New(&hclog.LoggerOptions{Output: &log})
	})
	token := s.Login(t, s.Browser(), "ada").Access
	for range 2 {
		if got := forwarded(t, s, token, http.Header{"X-Forwarded-For": {"203.0.113.7"}}); got.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("%q", got.Get("X-Forwarded-For"))
		}
	}
	if n := strings.Count(log.String(), "X-Forwarded-For is not believed"); n != 1 {
		t.Errorf("told %d times, want once: %s", n, log.String())
	}
}

// TestProxiesNameNoIssuer: scheme and host come from the configuration.
func TestProxiesNameNoIssuer(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for _, path := range []string{"/music/.well-known/openid-configuration", "/.well-known/oauth-protected-resource/music/mcp", "/music/mcp"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Port", "Forwarded", "X-Original-Url"} {
			req.Header.Set(name, "evil")
		}
		a := s.Do(t, nil, req)
		if all := a.Body + a.Header.Get("WWW-Authenticate"); strings.Contains(all, "evil") || !strings.Contains(all, s.URL) {
			t.Errorf("%s: %s", path, all)
		}
	}
}
