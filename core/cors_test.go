package core_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/tenant"
)

// page is where the scripts of these tests run.
const page = "https://inspector.example"

// at sends a request with header lines "Name: value" to a route of music.
func at(t *testing.T, s *coretest.Server, method string, route tenant.Route, body string, lines ...string) coretest.Answer {
	t.Helper()
	path := "/music" + strings.Replace(route.Path, "{client_id}", "x", 1)
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	return s.Do(t, nil, req)
}

// readable tells what a script of another origin may see of an answer: nothing,
// or all that is in exposed as well.
func readable(t *testing.T, what string, a coretest.Answer, route tenant.Route) {
	t.Helper()
	origin, exposed := a.Header.Get("Access-Control-Allow-Origin"), a.Header.Get("Access-Control-Expose-Headers")
	for name := range a.Header {
		if route.Audience == tenant.People && strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %s on a page for people", what, name)
		}
	}
	if a.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%s: credentials", what)
	}
	if route.Audience == tenant.People {
		return
	}
	if origin != "*" {
		t.Errorf("%s: %d is not readable", what, a.Status)
	}
	want := map[tenant.Audience][]string{
		tenant.Programs:   {"Www-Authenticate", "Retry-After"},
		tenant.MCPClients: {"Www-Authenticate", "Retry-After", "Mcp-Session-Id", "Mcp-Protocol-Version"},
	}[route.Audience]
	for _, name := range want {
		if a.Status != http.StatusMethodNotAllowed && !slices.Contains(strings.Split(exposed, ", "), name) {
			t.Errorf("%s: %d exposes %q, not %s", what, a.Status, exposed, name)
		}
	}
}

// TestPreflightsNeedNoToken walks every route that is mounted: what facts say
// clients in browsers ask before each request, and people's pages, which no
// script may ask.
func TestPreflightsNeedNoToken(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	s.Store.(interface{ Close() error }).Close() // a preflight needs no store
	headers := map[tenant.Audience]string{
		tenant.People:   "content-type",
		tenant.Programs: "accept,authorization,content-type,mcp-protocol-version",
		tenant.MCPClients: "accept,authorization,content-type,last-event-id,mcp-method,mcp-name,mcp-param-city,mcp-param-unit," +
			"mcp-protocol-version,mcp-session-id",
	}
	if len(s.Core.Routes()) < 14 {
		t.Fatalf("%d routes", len(s.Core.Routes()))
	}
	for _, route := range s.Core.Routes() {
		for _, method := range route.Methods {
			what := "preflight of " + method + " " + route.Path
			a := at(t, s, http.MethodOptions, route, "", "Origin: "+page, "Access-Control-Request-Method: "+method,
				"Access-Control-Request-Headers: "+headers[route.Audience])
			if route.Audience == tenant.People {
				if a.Status != http.StatusMethodNotAllowed {
					t.Errorf("%s: %d", what, a.Status)
				}
				readable(t, what, a, route)
				continue
			}
			allowed := strings.Split(strings.ToLower(a.Header.Get("Access-Control-Allow-Headers")), ", ")
			slices.Sort(allowed)
			if a.Status/100 != 2 || a.Header.Get("Access-Control-Allow-Origin") != "*" || a.Header.Get("Access-Control-Allow-Methods") != method ||
				strings.Join(allowed, ",") != headers[route.Audience] || a.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %d %v", what, a.Status, a.Header)
			}
		}
		if route.Audience == tenant.People {
			continue
		}
		if a := at(t, s, http.MethodOptions, route, ""); a.Status != http.StatusNoContent { // not a browser's
			t.Errorf("OPTIONS %s: %d", route.Path, a.Status)
		}
		if a := at(t, s, http.MethodOptions, route, "", "Origin: "+page, "Access-Control-Request-Method: PATCH"); a.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight of PATCH %s: %v", route.Path, a.Header)
		}
	}
}

// TestEveryAnswerCanBeReadByScripts asks every route in ways that fail.
func TestEveryAnswerCanBeReadByScripts(t *testing.T) {
	t.Parallel()
	one := limit.Rate{Events: 1, Per: time.Hour}
	limited := limited(t, core.Limits{Register: one, Authorize: one, Token: one})
	open := coretest.New(t)
	seen := map[int]bool{}
	for _, route := range open.Core.Routes() {
		for _, method := range route.Methods {
			what := method + " " + route.Path
			look := func(a coretest.Answer) {
				seen[a.Status] = true
				readable(t, what, a, route)
			}
			for _, lines := range [][]string{
				{"Origin: " + page},
				{"Origin: null"},
				{"Origin: http://localhost:6274"}, // may call the MCP server
				{"Origin: " + page, "Authorization: Bearer wrong"},
				{"Origin: " + page, "Authorization: Basic d3Jvbmc6d3Jvbmc=", "Content-Type: application/x-www-form-urlencoded"},
			} {
				look(at(t, open, method, route, "a=b", lines...))
			}
			if method != http.MethodGet && method != http.MethodHead {
				look(at(t, open, method, route, strings.Repeat("x", 65<<10), "Origin: "+page))
			}
			for range 2 {
				look(at(t, limited, method, route, "", "Origin: "+page))
			}
		}
		if a := at(t, limited, route.Methods[0], route, "", "Origin: "+page); (a.Status == http.StatusTooManyRequests) != (route.Cost != tenant.Free) {
			t.Errorf("%s: the third time %d", route.Path, a.Status)
		}
	}
	for _, status := range []int{200, 400, 401, 403, 413, 429} {
		if !seen[status] {
			t.Errorf("none was %d", status)
		}
	}
}

func TestMethodsOfEveryPath(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for _, route := range s.Core.Routes() {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} {
			a := at(t, s, method, route, "", "Origin: "+page)
			taken := slices.Contains(route.Methods, method) || method == "OPTIONS" && route.Audience != tenant.People
			if taken == (a.Status == http.StatusMethodNotAllowed) {
				t.Errorf("%s %s: %d", method, route.Path, a.Status)
			}
			if taken {
				continue
			}
			readable(t, method+" "+route.Path, a, route)
			allow := strings.Split(a.Header.Get("Allow"), ", ")
			if slices.Contains(allow, method) || !slices.Contains(allow, route.Methods[0]) || slices.Contains(allow, "OPTIONS") == (route.Audience == tenant.People) {
				t.Errorf("%s %s: Allow %q", method, route.Path, allow)
			}
			if html := strings.HasPrefix(a.Body, "<!DOCTYPE html>"); method != "HEAD" && html != (route.Audience == tenant.People) {
				t.Errorf("%s %s: %.60s", method, route.Path, a.Body)
			}
		}
	}
	if a := at(t, s, "BREW", tenant.Route{Path: "/token"}, ""); a.Status != http.StatusNotImplemented {
		t.Errorf("BREW: %d", a.Status)
	}
	for _, path := range []string{"/nowhere", "/.well-known/nothing", "/token/", "/mcp/more"} {
		if a := at(t, s, http.MethodGet, tenant.Route{Path: path}, "", "Origin: "+page); a.Status != http.StatusNotFound || a.Header.Get("Access-Control-Allow-Origin") != "*" ||
			a.JSON(t)["error"] != "not_found" {
			t.Errorf("%s: %d %v", path, a.Status, a.Header)
		}
	}
}

func TestHeadOfADocumentIsItsGetWithoutABody(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for _, path := range []string{
		"/.well-known/oauth-authorization-server/music", "/.well-known/openid-configuration/music", "/music/.well-known/openid-configuration",
		"/.well-known/oauth-protected-resource/music/mcp", "/music/.well-known/jwks.json",
	} {
		get := s.Get(t, nil, path)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		head := s.Do(t, nil, req)
		if get.Status != http.StatusOK || head.Status != http.StatusOK || head.Body != "" {
			t.Errorf("%s: GET %d, HEAD %d %q", path, get.Status, head.Status, head.Body)
		}
		for _, name := range []string{"Content-Type", "Cache-Control", "Content-Length"} {
			if get.Header.Get(name) != head.Header.Get(name) || get.Header.Get(name) == "" {
				t.Errorf("%s: %s is %q and %q", path, name, get.Header.Get(name), head.Header.Get(name))
			}
		}
	}
}
