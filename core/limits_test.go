package core_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// limited starts a server with the given limits.
func limited(t *testing.T, l core.Limits) *coretest.Server {
	t.Helper()
	return coretest.New(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) { c.Limits = l })
}

// knock sends a request as if from an address.
func knock(t *testing.T, s *coretest.Server, from, method, path string) coretest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", from)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "https://inspector.example")
	return s.Do(t, nil, req)
}

func TestOneAddressTooOften(t *testing.T) {
	t.Parallel()
	three := limit.Rate{Events: 3, Per: time.Hour}
	for _, c := range []struct {
		limits core.Limits
		method string
		paths  []string // that share the limit
		page   bool
	}{
		{core.Limits{Register: three}, "POST", []string{"/register"}, false},
		{core.Limits{Register: three}, "GET", []string{"/register/x"}, false},
		{core.Limits{Authorize: three}, "GET", []string{"/authorize", "/callback"}, true},
		{core.Limits{Authorize: three}, "POST", []string{"/consent"}, true},
		{core.Limits{Token: three}, "POST", []string{"/token", "/revoke", "/par"}, false},
	} {
		s := limited(t, c.limits)
		path := func(i int) string { return "/music" + c.paths[i%len(c.paths)] }
		for i := range 3 {
			if a := knock(t, s, "203.0.113.7", c.method, path(i)); a.Status == http.StatusTooManyRequests {
				t.Fatalf("%v: number %d: %d %s", c.paths, i, a.Status, a.Body)
			}
		}
		a := knock(t, s, "203.0.113.7", c.method, path(3))
		wait, _ := strconv.Atoi(a.Header.Get("Retry-After"))
		if a.Status != http.StatusTooManyRequests || wait < 1 || wait > 1200 {
			t.Errorf("%v: %d, Retry-After %q", c.paths, a.Status, a.Header.Get("Retry-After"))
		}
		if c.page != strings.HasPrefix(a.Body, "<!DOCTYPE html>") || c.page == (a.Header.Get("Access-Control-Allow-Origin") == "*") {
			t.Errorf("%v: %v %.100s", c.paths, a.Header, a.Body)
		}
		if !c.page && a.JSON(t)["error"] != "temporarily_unavailable" { // anything else costs the client its tokens
			t.Errorf("%v: %s", c.paths, a.Body)
		}
		if a := knock(t, s, "203.0.113.8", c.method, path(0)); a.Status == http.StatusTooManyRequests {
			t.Errorf("%v: another address: %s", c.paths, a.Body)
		}
		s.Advance(time.Duration(wait) * time.Second)
		if a := knock(t, s, "203.0.113.7", c.method, path(0)); a.Status == http.StatusTooManyRequests {
			t.Errorf("%v: after the wait: %s", c.paths, a.Body)
		}
	}
}

func TestAddressesOfOneHostCountAsOne(t *testing.T) {
	t.Parallel()
	s := limited(t, core.Limits{Token: limit.Rate{Events: 1, Per: time.Hour}})
	for i, c := range []struct {
		from    string
		limited bool
	}{
		{"2001:db8::1", false}, {"2001:db8::2", true}, {"2001:db8:0:1::1", false},
		{"203.0.113.7", false}, {"::ffff:203.0.113.7", true}, {"198.51.100.1, 203.0.113.7:80", true}, {"198.51.100.1", false},
	} {
		if a := knock(t, s, c.from, "POST", "/music/token"); (a.Status == http.StatusTooManyRequests) != c.limited {
			t.Errorf("%d, %s: %d %s", i, c.from, a.Status, a.Body)
		}
	}
}

func TestOneTenantTooOften(t *testing.T) {
	t.Parallel()
	s := limited(t, core.Limits{Token: limit.Rate{Events: 1, Per: time.Hour}, Authorize: limit.Rate{Events: 100, Per: time.Hour}})
	for i := range 10 {
		if a := knock(t, s, "203.0."+strconv.Itoa(i)+".7", "POST", "/music/token"); a.Status == http.StatusTooManyRequests {
			t.Fatalf("%d: %s", i, a.Body)
		}
	}
	if a := knock(t, s, "198.51.100.1", "POST", "/music/token"); a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		t.Errorf("the eleventh: %d %v %s", a.Status, a.Header, a.Body)
	}
	for what, a := range map[string]coretest.Answer{
		"another tenant":      knock(t, s, "203.0.113.101", "POST", "/octo/token"),
		"another limit":       knock(t, s, "203.0.113.102", "GET", "/music/authorize"),
		"no limit of its own": knock(t, s, "203.0.113.103", "POST", "/music/register"),
	} {
		if a.Status == http.StatusTooManyRequests {
			t.Errorf("%s: %s", what, a.Body)
		}
	}
}

// TestWhatIsNeverLimited: documents, preflights, the gateway and what resource
// servers ask.
func TestWhatIsNeverLimited(t *testing.T) {
	t.Parallel()
	one := limit.Rate{Events: 1, Per: time.Hour}
	s := limited(t, core.Limits{Register: one, Authorize: one, Token: one})
	for range 30 {
		for _, c := range [][2]string{
			{"GET", "/.well-known/oauth-authorization-server/music"}, {"GET", "/music/.well-known/openid-configuration"},
			{"GET", "/.well-known/oauth-protected-resource/music/mcp"}, {"OPTIONS", "/music/token"}, {"OPTIONS", "/music/register"},
			{"POST", "/music/mcp"}, {"POST", "/music/introspect"},
		} {
			if a := knock(t, s, "203.0.113.7", c[0], c[1]); a.Status == http.StatusTooManyRequests {
				t.Fatalf("%s %s: %s", c[0], c[1], a.Body)
			}
		}
	}
}

// TestLimitedRefreshKeepsTheGrant: who is told to wait has lost nothing.
func TestLimitedRefreshKeepsTheGrant(t *testing.T) {
	t.Parallel()
	s := limited(t, core.Limits{Token: limit.Rate{Events: 1, Per: time.Hour}})
	tokens := s.Login(t, s.Browser(), "ada")
	form := url.Values{"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Refresh}}
	wantError(t, "the second token request", s.PostForm(t, nil, "/music/token", form), http.StatusTooManyRequests, "temporarily_unavailable")
	s.Advance(time.Hour)
	if a := s.PostForm(t, nil, "/music/token", form); a.Status != http.StatusOK {
		t.Errorf("after the wait: %d %s", a.Status, a.Body)
	}
}

func TestRefusalsForTheRateAreAuditedOnceAMinute(t *testing.T) {
	t.Parallel()
	s := limited(t, core.Limits{Token: limit.Rate{Events: 1, Per: time.Hour}})
	flood := func(from string) {
		for range 20 {
			knock(t, s, from, "POST", "/music/token")
		}
	}
	lines := func() int {
		return strings.Count(s.Audit(), `"action":"rate_limited"`) - strings.Count(s.Audit(), `"omitted":`)
	}
	flood("2001:db8::1")
	if n := lines(); n != 1 || !strings.Contains(s.Audit(), `"reason":"token","address":"2001:db8::/64"`) {
		t.Errorf("%d lines after one flood: %s", n, s.Audit())
	}
	flood("203.0.113.8")
	if n := lines(); n != 2 {
		t.Errorf("%d lines after another sender's", n)
	}
	s.Advance(time.Minute)
	flood("203.0.113.8")
	if n := lines(); n != 3 {
		t.Errorf("%d lines after a minute", n)
	}
	if !strings.Contains(s.Audit(), `"address":"203.0.113.8","omitted":18`) {
		t.Errorf("the lines left out are not counted:\n%s", s.Audit())
	}
}

// TestOneNetworkLeavesRoomForOthers: whoever has a /48 of IPv6, or a /24 of
// IPv4, cannot use up a tenant's share with its addresses.
func TestOneNetworkLeavesRoomForOthers(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(n int) string{
		"a /48": func(n int) string { return "2001:db8:1:" + strconv.FormatInt(int64(n), 16) + "::1" },
		"a /56": func(n int) string { return "2001:db8:1:ab" + strconv.FormatInt(int64(n+16), 16) + "::1" },
		"a /24": func(n int) string { return "203.0.113." + strconv.Itoa(n) },
	} {
		s := limited(t, core.Limits{Authorize: limit.Rate{Events: 3, Per: time.Hour}})
		passed := 0
		for n := range 12 * 3 {
			if a := knock(t, s, address(n/3), "GET", "/music/authorize"); a.Status != http.StatusTooManyRequests {
				passed++
			}
		}
		if passed != 3*4 {
			t.Errorf("%s had %d requests let through, want as many as four addresses", name, passed)
		}
		if a := knock(t, s, "198.51.100.7", "GET", "/music/authorize"); a.Status == http.StatusTooManyRequests {
			t.Errorf("after %s another sender is refused", name)
		}
	}
}
