package tenant

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

type noProvider struct{ upstream.Provider }

func (noProvider) Describe() upstream.Description { return upstream.Description{Name: "none"} }

func make1(name, issuer string) *Tenant {
	return &Tenant{Name: name, Issuer: issuer, Provider: noProvider{}, Backend: &url.URL{Scheme: "http", Host: "b"}, Lifetimes: DefaultLifetimes()}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	s, err := NewSet(
		make1("music", "https://music.example"),
		make1("paths", "https://mcp.example/music"),
		make1("nested", "https://mcp.example/team/a"),
		make1("team", "https://mcp.example/team"),
		make1("port", "http://127.0.0.1:8080/x"),
		make1("six", "http://[::1]:8080"),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, path, name, route string }{
		{"music.example", "/token", "music", "/token"},
		{"music.example", "", "music", ""},
		{"music.example", "/", "music", "/"},
		{"music.example:443", "/mcp", "music", "/mcp"},
		{"MUSIC.example", "/mcp/", "music", "/mcp/"},
		{"music.example", "/.well-known/oauth-protected-resource", "music", "/.well-known/oauth-protected-resource"},
		{"music.example", "/.well-known/oauth-protected-resource/mcp", "music", "/.well-known/oauth-protected-resource/mcp"},
		{"music.example:8443", "/token", "", ""},
		{"music.example.evil.example", "/token", "", ""},
		{"evil.example", "/music/token", "", ""},
		{"", "/music/token", "", ""},

		{"mcp.example", "/music/token", "paths", "/token"},
		{"mcp.example", "/music", "paths", ""},
		{"mcp.example", "/music/", "paths", "/"},
		{"mcp.example", "/musical/token", "", ""},
		{"mcp.example", "/Music/token", "", ""},
		{"mcp.example", "//music/token", "", ""},
		{"mcp.example", "/", "", ""},
		{"mcp.example", "/token", "", ""},
		{"mcp.example", "/music/.well-known/openid-configuration", "paths", "/.well-known/openid-configuration"},
		{"mcp.example", "/.well-known/openid-configuration/music", "paths", "/.well-known/openid-configuration"},
		{"mcp.example", "/.well-known/oauth-protected-resource/music/mcp", "paths", "/.well-known/oauth-protected-resource/mcp"},
		{"mcp.example", "/.well-known/oauth-protected-resource", "", ""},
		{"mcp.example", "/.well-known/", "", ""},

		{"mcp.example", "/team/token", "team", "/token"},
		{"mcp.example", "/team/a/token", "nested", "/token"},
		{"mcp.example", "/team/ab/token", "team", "/ab/token"},
		{"mcp.example", "/.well-known/oauth-authorization-server/team/a", "nested", "/.well-known/oauth-authorization-server"},
		{"mcp.example", "/.well-known/oauth-protected-resource/team/a/mcp", "nested", "/.well-known/oauth-protected-resource/mcp"},

		{"127.0.0.1:8080", "/x/token", "port", "/token"},
		{"127.0.0.1", "/x/token", "", ""},
		{"[::1]:8080", "/token", "six", "/token"},
	} {
		found, route, ok := s.Lookup(c.host, c.path)
		name := ""
		if found != nil {
			name = found.Name
		}
		if name != c.name || ok != (c.name != "") || (ok && route != c.route) {
			t.Errorf("%s%s: got %q %q %v, want %q %q", c.host, c.path, name, route, ok, c.name, c.route)
		}
	}
}

func TestSharing(t *testing.T) {
	t.Parallel()
	shared := func(name, issuer, callback string) *Tenant {
		t := make1(name, issuer)
		t.SharedCallback = callback
		return t
	}
	s, err := NewSet(
		shared("a", "https://a.example", "https://login.example:443/callback"), shared("b", "https://b.example", "https://login.example/callback"),
		shared("c", "https://mcp.example/c", "https://mcp.example/back"), make1("d", "https://d.example"),
	)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[[2]string]int{
		{"login.example", "/callback"}: 2, {"LOGIN.example:443", "/callback"}: 2, {"mcp.example", "/back"}: 1, {"login.example", "/Callback"}: 0,
		{"login.example", "/callback/"}: 0, {"login.example", "/"}: 0, {"mcp.example", "/callback"}: 0, {"d.example", "/callback"}: 0, {"", ""}: 0,
	} {
		if got := s.Sharing(address[0], address[1]); len(got) != want || want == 0 && got != nil {
			t.Errorf("%s: %v", address, got)
		}
	}
	for name, bad := range map[string]string{
		"a tenant's callback": "https://a.example/callback", "below another": "https://b.example/x", "a tenant's URL": "https://mcp.example/c",
		"its query": "https://login.example/callback?x", "its fragment": "https://login.example/callback#x", "no path": "https://login.example", "the root": "https://login.example/", "no host": "/callback",
	} {
		if _, err := NewSet(shared("a", "https://a.example", bad), make1("b", "https://b.example"), make1("c", "https://mcp.example/c")); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// atUpstream is a provider of one app at one upstream, which may demand iss.
type atUpstream struct {
	noProvider
	identity upstream.Identity
	iss      string
}

func (p atUpstream) Describe() upstream.Description {
	return upstream.Description{Name: "p", Identity: p.identity, CallbackIssuer: p.iss}
}

// A code that comes to a shared callback is of one app, or its iss says whose it
// is (RFC 9700 §4.4.2.1).
func TestCallbackIsSharedByOneUpstreamOnly(t *testing.T) {
	t.Parallel()
	const a, b = "https://a.example", "https://b.example"
	for name, c := range map[string]struct {
		of   []atUpstream
		want bool
	}{
		"one upstream":               {[]atUpstream{{identity: "up_a"}, {identity: "up_a"}}, true},
		"two upstreams":              {[]atUpstream{{identity: "up_a"}, {identity: "up_b"}}, false},
		"one demands iss":            {[]atUpstream{{identity: "up_a", iss: a}, {identity: "up_b"}}, false},
		"both demand the same iss":   {[]atUpstream{{identity: "up_a", iss: a}, {identity: "up_b", iss: a}}, false},
		"each demands its own iss":   {[]atUpstream{{identity: "up_a", iss: a}, {identity: "up_b", iss: b}}, true},
		"the third is of the first":  {[]atUpstream{{identity: "up_a", iss: a}, {identity: "up_b", iss: b}, {identity: "up_a", iss: a}}, true},
		"the third is not the first": {[]atUpstream{{identity: "up_a"}, {identity: "up_a"}, {identity: "up_b"}}, false},
	} {
		var tenants []*Tenant
		for i, p := range c.of {
			x := make1(fmt.Sprint("t", i), fmt.Sprintf("https://t%d.example", i))
			x.Provider, x.SharedCallback = p, "https://login.example/callback"
			tenants = append(tenants, x)
		}
		_, err := NewSet(tenants...)
		if (err == nil) != c.want || err != nil && !strings.Contains(err.Error(), "cannot share the callback") {
			t.Errorf("%s: %v, want shared %v", name, err, c.want)
		}
	}
}

func TestNewSetReportsEveryFault(t *testing.T) {
	t.Parallel()
	one := func(change func(*Tenant)) *Tenant {
		t := make1("a", "https://a.example")
		change(t)
		return t
	}
	for name, bad := range map[string]*Tenant{
		"no name":         one(func(t *Tenant) { t.Name = "" }),
		"slash in name":   one(func(t *Tenant) { t.Name = "a/b" }),
		"long name":       one(func(t *Tenant) { t.Name = strings.Repeat("a", 64) }),
		"no URL":          one(func(t *Tenant) { t.Issuer = "" }),
		"ftp":             one(func(t *Tenant) { t.Issuer = "ftp://a.example" }),
		"trailing slash":  one(func(t *Tenant) { t.Issuer += "/" }),
		"query":           one(func(t *Tenant) { t.Issuer += "/x?y=1" }),
		"empty query":     one(func(t *Tenant) { t.Issuer += "/x?" }),
		"fragment":        one(func(t *Tenant) { t.Issuer += "#x" }),
		"empty fragment":  one(func(t *Tenant) { t.Issuer += "#" }),
		"user":            one(func(t *Tenant) { t.Issuer = "https://u@a.example" }),
		"host in capital": one(func(t *Tenant) { t.Issuer = "https://A.example" }),
		"capital scheme":  one(func(t *Tenant) { t.Issuer = "HTTPS://a.example" }),
		"escaped path":    one(func(t *Tenant) { t.Issuer += "/%61b c" }),
		"dot segments":    one(func(t *Tenant) { t.Issuer += "/x/../y" }),
		"double slash":    one(func(t *Tenant) { t.Issuer += "//y" }),
		"no provider":     one(func(t *Tenant) { t.Provider = nil }),
		"no backend":      one(func(t *Tenant) { t.Backend = nil }),
		"foreign scope": one(func(t *Tenant) {
			t.Scopes, t.Tools = []string{"read"}, map[string][]string{"x": {"read", "write"}}
		}),
		"unnamed server":  one(func(t *Tenant) { t.ResourceServers = []ResourceServer{{Secret: seal.NewSecret("s")}} }),
		"open server":     one(func(t *Tenant) { t.ResourceServers = []ResourceServer{{ID: "api"}} }),
		"no lifetime":     one(func(t *Tenant) { t.Lifetimes.Access = 0 }),
		"negative window": one(func(t *Tenant) { t.Lifetimes.ReuseWindow = -time.Second }),
	} {
		if s, err := NewSet(bad); err == nil || s != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	_, err := NewSet(
		make1("a", "https://a.example"), make1("a", "https://b.example"), make1("c", "https://a.example:443"), make1("d", "ftp://d"),
	)
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three faults, got %v", err)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for issuer, want := range map[string][3]string{
		"https://music.example":      {"https://music.example/mcp", "https://music.example/.well-known/oauth-protected-resource/mcp", ""},
		"https://mcp.example/team/a": {"https://mcp.example/team/a/mcp", "https://mcp.example/.well-known/oauth-protected-resource/team/a/mcp", "/team/a"},
		"http://127.0.0.1:8080/octo": {"http://127.0.0.1:8080/octo/mcp", "http://127.0.0.1:8080/.well-known/oauth-protected-resource/octo/mcp", "/octo"},
	} {
		x := make1("x", issuer)
		if got := [3]string{x.Resource(), x.ResourceMetadata(""), x.Path()}; got != want {
			t.Errorf("%s: %q", issuer, got)
		}
		if x.Secure() != strings.HasPrefix(issuer, "https:") {
			t.Errorf("%s: secure %v", issuer, x.Secure())
		}
		for resource, ok := range map[string]bool{
			issuer: true, issuer + "/": true, issuer + "/mcp": true, issuer + "/mcp/": true,
			issuer + "/other": false, issuer + "/mcp//": false, issuer + "x": false, "": false, issuer + "/mcp#x": false,
		} {
			if x.Accepts(resource) != ok {
				t.Errorf("%s accepts %q: %v", issuer, resource, !ok)
			}
		}
	}
}

// BenchmarkLookup shows that a lookup costs the same among 10 tenants and
// among 10,000.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		var tenants []*Tenant
		for i := range n {
			tenants = append(tenants, make1(fmt.Sprint("t", i), fmt.Sprintf("https://mcp.example/t%d", i)))
		}
		s, err := NewSet(tenants...)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if _, _, ok := s.Lookup("mcp.example", "/t7/mcp"); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

func TestTenantsDoNotHideEndpoints(t *testing.T) {
	t.Parallel()
	for url, fine := range map[string]bool{
		"https://mcp.example/music/mcp": false, "https://mcp.example/music/mcp/admin": false, "https://mcp.example/music/callback": false,
		"https://mcp.example/.well-known/x": false, "https://mcp.example/a/.well-known": false, "https://mcp.example/music/token/x": false,
		"https://mcp.example/music/other": true, "https://mcp.example/mcp": true, "https://other.example/music/mcp": true, "https://mcp.example/music/other/mcp": true,
	} {
		_, err := NewSet(make1("music", "https://mcp.example/music"), make1("other", url))
		if (err == nil) != fine {
			t.Errorf("%s beside https://mcp.example/music: %v", url, err)
		}
	}
}

// A stolen refresh token lives as long beside its client as the reuse window is.
func TestReuseWindowIsShortByDefault(t *testing.T) {
	t.Parallel()
	if got := DefaultLifetimes().ReuseWindow; got != 30*time.Second {
		t.Errorf("the reuse window is %v by default, want 30s", got)
	}
}
