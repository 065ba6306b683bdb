package core_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
)

// TestMetadataIsWhereverClientsLook asks at every place where a client has been
// seen to look for a document, by the tenant's URL and by the MCP URL.
func TestMetadataIsWhereverClientsLook(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for _, name := range []string{"oauth-authorization-server", "openid-configuration"} {
		for _, path := range []string{
			"/.well-known/" + name + "/music", "/music/.well-known/" + name, "/.well-known/" + name + "/music/mcp", "/music/mcp/.well-known/" + name,
		} {
			if a := s.Get(t, nil, path); a.Status != http.StatusOK || a.JSON(t)["issuer"] != s.URL+"/music" {
				t.Errorf("%s: %d %s", path, a.Status, a.Body)
			}
		}
	}
	const name = "oauth-protected-resource"
	for _, path := range []string{"/.well-known/" + name + "/music/mcp", "/music/.well-known/" + name + "/mcp", "/music/mcp/.well-known/" + name} {
		if a := s.Get(t, nil, path); a.Status != http.StatusOK || a.JSON(t)["resource"] != s.URL+"/music/mcp" {
			t.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
	}
	for _, path := range []string{"/music/mcp/none/.well-known/" + name, "/.well-known/" + name + "/music/mcp/none"} {
		if a := s.Get(t, nil, path); a.Status != http.StatusNotFound {
			t.Errorf("a document about a backend that does not exist, %s: %d", path, a.Status)
		}
	}
}

// TestRouteSegmentsAreThoseMounted: what keeps one tenant's URL from hiding
// another's endpoint names each of them.
func TestRouteSegmentsAreThoseMounted(t *testing.T) {
	t.Parallel()
	mounted := map[string]bool{}
	for _, route := range coretest.New(t).Core.Routes() {
		segment, _, _ := strings.Cut(strings.TrimPrefix(route.Path, "/"), "/")
		mounted[segment] = true
	}
	if got, want := slices.Sorted(maps.Keys(mounted)), tenant.RouteSegments(); !slices.Equal(got, want) {
		t.Errorf("mounted are %q, RouteSegments has %q", got, want)
	}
}
