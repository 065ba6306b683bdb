package core_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

const elsewhere = "https://tools.example.com/mcp"

// withoutGateway puts music's MCP server elsewhere.
func withoutGateway(c *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
	withServers(c, tenants, f)
	tenants[0].Backend, tenants[0].External = nil, elsewhere
}

func TestTokensOfAServerElsewhereAreForItsURL(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withoutGateway)
	tokens := s.Login(t, s.Browser(), "ada") // asks for that resource
	if m := introspect(t, s, tokens.Access).JSON(t); m["active"] != true || m["aud"] != elsewhere || m["iss"] != s.URL+"/music" {
		t.Errorf("introspection: %v", m)
	}
	if m := exchange(t, s, tokens.Access, nil).JSON(t); m["access_token"] != "upstream-access-ada-0" {
		t.Errorf("exchange: %v", m)
	}
	query := s.AuthorizeQuery("music", tokens.ClientID)
	for _, resource := range []string{s.URL + "/music/mcp", s.URL + "/music", "https://tools.example.com"} {
		query.Set("resource", resource)
		if _, q := s.Get(t, s.Browser(), "/music/authorize?"+query.Encode()).Location(t); q.Get("error") != "invalid_target" {
			t.Errorf("resource %s: %v", resource, q)
		}
	}
	query.Del("resource")
	if a := s.Get(t, s.Browser(), "/music/authorize?"+query.Encode()); a.Status != http.StatusOK {
		t.Errorf("no resource: %d %s", a.Status, a.Body)
	}
}

func TestWithoutTheGatewayNothingIsAtItsAddress(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withoutGateway)
	for _, path := range []string{"/music/mcp", "/music/mcp/", "/.well-known/oauth-protected-resource/music"} {
		if a := s.Get(t, nil, path); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	// For the proxy at tools.example.com to hand on.
	m := s.Get(t, nil, "/.well-known/oauth-protected-resource/music/mcp").JSON(t)
	if servers, _ := m["authorization_servers"].([]any); m["resource"] != elsewhere || len(servers) != 1 || servers[0] != s.URL+"/music" {
		t.Errorf("protected resource metadata: %v", m)
	}
	if a := s.Get(t, nil, "/octo/mcp"); a.Status != http.StatusUnauthorized {
		t.Errorf("the other tenant: %d", a.Status)
	}
}

func TestTenantHasABackendOrAServerElsewhere(t *testing.T) {
	t.Parallel()
	backend := &url.URL{Scheme: "http", Host: "127.0.0.1:9000", Path: "/mcp"}
	for what, c := range map[string]struct {
		backend  *url.URL
		external string
		fine     bool
	}{
		"a backend": {backend, "", true}, "a server elsewhere": {nil, elsewhere, true},
		"neither": {nil, "", false}, "both": {backend, elsewhere, false}, "no host": {nil, "/mcp", false}, "a fragment": {nil, elsewhere + "#x", false},
	} {
		one := &tenant.Tenant{
			Name: "music", Issuer: "https://music.example.com", Provider: upstreamtest.Provider{Fake: &upstreamtest.Fake{}},
			Backend: c.backend, External: c.external, Lifetimes: tenant.DefaultLifetimes(),
		}
		if _, err := tenant.NewSet(one); (err == nil) != c.fine {
			t.Errorf("%s: %v", what, err)
		}
	}
}
