package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

func TestOriginsThatMayCall(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Origins = []string{"app://obsidian.md"}
		tenants[1].Origins = []string{"*"}
		tenants[1].Anonymous = []string{"ping"}
	})
	token := s.Login(t, s.Browser(), "ada").Access
	call := func(tenantName, token string, origins ...string) coretest.Answer {
		r := request(t, s, token, http.MethodPost, "/"+tenantName+"/mcp", strings.NewReader(message("ping")))
		r.Header.Set("Content-Type", "application/json")
		r.Header["Origin"] = origins
		if token == "" {
			r.Header.Del("Authorization")
		}
		return s.Do(t, nil, r)
	}
	for origin, allowed := range map[string]bool{
		s.URL: true, "http://localhost:6274": true, "http://127.0.0.1": true, "http://[::1]:3000": true,
		"https://claude.ai": true, "app://obsidian.md": true,
		"https://evil.example": false, "http://claude.ai": false, "https://claude.ai.evil.example": false, "null": false, "": false,
		"http://localhost.evil.example": false, "http://169.254.169.254": false, "app://other": false, "https://CLAUDE.ai": false,
	} {
		a := call("music", token, origin)
		if allowed != (a.Status == http.StatusOK) {
			t.Errorf("%q: %d", origin, a.Status)
		}
		if !allowed {
			wantRPC(t, origin, a, http.StatusForbidden, -32000, "access_denied")
		}
		if origin != "" && a.Header.Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%q: a script cannot read why: %v", origin, a.Header)
		}
	}
	if a := call("music", token, "https://claude.ai", "https://evil.example"); a.Status != http.StatusForbidden {
		t.Errorf("two origins: %d", a.Status)
	}
	if a := call("music", "", "https://evil.example"); a.Status != http.StatusForbidden || a.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("without a token: %d", a.Status)
	}
	if a := call("music", token); a.Status != http.StatusOK {
		t.Errorf("no browser: %d", a.Status)
	}
	if a := call("octo", "", "https://evil.example"); a.Status != http.StatusOK {
		t.Errorf("any: %d", a.Status)
	}
	if !strings.Contains(s.Audit(), `"reason":"origin"`) {
		t.Errorf("audit:\n%s", s.Audit())
	}
}

// What a tool's parameters are called in Mcp-Param-* only the backend knows.
func TestPreflightAllowsWhatTheBackendNames(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	r := request(t, s, "", http.MethodOptions, "/music/mcp", nil)
	r.Header.Del("Authorization")
	r.Header.Set("Origin", "http://localhost:6274")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,mcp-method,mcp-param-region,mcp-session-id")
	a := s.Do(t, nil, r)
	allowed := strings.ToLower(a.Header.Get("Access-Control-Allow-Headers"))
	for _, name := range []string{"authorization", "content-type", "mcp-method", "mcp-param-region", "mcp-session-id"} {
		if !strings.Contains(allowed, name) {
			t.Errorf("%s is not allowed: %v", name, a.Header)
		}
	}
	if a.Status != http.StatusOK && a.Status != http.StatusNoContent || a.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", a.Status, a.Header)
	}
}

// A page that made its own name resolve to this server gets nothing.
func TestForeignHostIsNotServed(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	for _, host := range []string{"evil.example", "127.0.0.1.evil.example", "localhost"} {
		r := request(t, s, token, http.MethodPost, "/music/mcp", strings.NewReader(message("ping")))
		r.Host = host
		r.Header.Set("Origin", "http://"+host)
		if a := s.Do(t, nil, r); a.Status != http.StatusNotFound {
			t.Errorf("%q: %d", host, a.Status)
		}
	}
}
