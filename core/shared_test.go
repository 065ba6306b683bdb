package core_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// sharing is a server whose two tenants share a callback, and its URL. With
// hosts each tenant has a host of its own and the callback has another.
func sharing(t *testing.T, hosts bool) (s *coretest.Server, callback string) {
	t.Helper()
	s = coretest.New(t, knownToBoth, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		callback = strings.TrimSuffix(tenants[0].Issuer, "/music") + "/callback"
		for _, each := range tenants {
			if hosts {
				each.Issuer = strings.Replace(strings.TrimSuffix(each.Issuer, "/"+each.Name), "127.0.0.1", each.Name+".localhost", 1)
			}
			each.SharedCallback = callback
		}
	})
	return s, callback
}

func TestSharedCallbackLeadsToTheTenantsOwn(t *testing.T) {
	t.Parallel()
	for layout, hosts := range map[string]bool{"paths": false, "hosts": true} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			s, callback := sharing(t, hosts)
			for _, name := range []string{"music", "octo"} {
				user := s.Browser()
				state := s.Consent(t, user, name, s.AuthorizeQuery(name, knownClient), "approve").Query().Get("state")
				query := "code=ada&state=" + url.QueryEscape(state) + "&odd=%zz;a+b&odd=2"
				on := s.Get(t, user, callback+"?"+query)
				if on.Status != http.StatusFound || on.Header.Get("Location") != s.At(name)+"/callback?"+query {
					t.Fatalf("%s: %d to %s", name, on.Status, on.Header.Get("Location"))
				}
				if on.Header.Get("Cache-Control") != "no-store" || on.Header.Get("Referrer-Policy") != "no-referrer" || on.Header.Get("Set-Cookie") != "" {
					t.Errorf("%s: headers %v", name, on.Header)
				}
				if a := s.Get(t, s.Browser(), on.Header.Get("Location")); a.Status != http.StatusBadRequest {
					t.Errorf("%s, another browser: %d", name, a.Status)
				}
				to, answer := s.Get(t, user, on.Header.Get("Location")).Location(t)
				if to != coretest.ClientCallback || answer.Get("code") == "" || answer.Get("iss") != s.At(name) {
					t.Errorf("%s: sent to %s with %v", name, to, answer)
				}
				if a := s.Get(t, user, on.Header.Get("Location")); a.Status != http.StatusBadRequest {
					t.Errorf("%s, a second time: %d", name, a.Status)
				}
			}
		})
	}
}

func TestSharedCallbackLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	s, callback := sharing(t, true)
	alone := *s.Core.Tenants().Get("octo")
	alone.SharedCallback = ""
	set, err := tenant.NewSet(s.Core.Tenants().Get("music"), &alone)
	if err != nil {
		t.Fatal(err)
	}
	s.Core.SetTenants(set)
	for _, state := range []string{
		"", "x", ".x", "music", "nobody.x", "octo.x", "evil.example/.x", "//evil.example.x", "https://evil.example/.x", "Music.x", "music%00.x", "music.x/../y.z",
	} {
		a := s.Get(t, nil, callback+"?code=c&state="+url.QueryEscape(state))
		if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("state %q: %d to %s", state, a.Status, a.Header.Get("Location"))
		}
		wantNoLeak(t, state, a)
	}
	// Two states: the first counts, here and at the tenant.
	if a := s.Get(t, nil, callback+"?state=octo.x&state=music.x"); a.Header.Get("Location") != "" {
		t.Errorf("two states: to %s", a.Header.Get("Location"))
	}
	if a := s.PostForm(t, nil, callback+"?state=music.x", nil); a.Status != http.StatusMethodNotAllowed || a.Header.Get("Location") != "" {
		t.Errorf("POST: %d", a.Status)
	}
	for _, beside := range []string{"/", "/x", "/.well-known/oauth-authorization-server"} {
		if a := s.Get(t, nil, callback+beside+"?state=music.x"); a.Status != http.StatusNotFound {
			t.Errorf("%s: %d", beside, a.Status)
		}
	}
	if a := s.Get(t, nil, s.At("octo")+"/callback?state=octo.x"); a.Status != http.StatusBadRequest {
		t.Errorf("a tenant's own callback: %d", a.Status)
	}
}
