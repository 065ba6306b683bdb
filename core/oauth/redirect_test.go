package oauth

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestMatchRedirect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		registered, presented string
		match                 bool
	}{
		{"https://claude.ai/cb", "https://claude.ai/cb", true},
		{"https://claude.ai/cb", "", true}, // the only one registered
		{"https://claude.ai/cb", "https://claude.ai/cb/", false},
		{"https://claude.ai/cb", "https://claude.ai/CB", false},
		{"https://claude.ai/cb", "https://claude.ai/%63b", false},
		{"https://claude.ai/cb", "https://CLAUDE.ai/cb", false},
		{"https://claude.ai/cb", "https://claude.ai:443/cb", false},
		{"https://claude.ai/cb", "https://claude.ai/cb?x=1", false},
		{"https://claude.ai/cb?x=1", "https://claude.ai/cb?x=1", true},
		{"https://claude.ai/cb", "https://claude.ai/cb#x", false},
		{"https://claude.ai/cb", "https://claude.ai/x/../cb", false},
		{"https://claude.ai/cb", "https://claude.ai@evil.example/cb", false},
		{"https://claude.ai/cb", "https://claude.ai.evil.example/cb", false},
		{"https://claude.ai/cb", "http://claude.ai/cb", false},

		{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", true},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:8888/cb", true},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1/cb", true},
		{"http://localhost:7777/cb", "http://localhost:1/cb", true},
		{"http://[::1]:7777/cb", "http://[::1]:1/cb", true},
		{"http://127.0.0.1:7777/cb?a=1", "http://127.0.0.1:1/cb?a=1", true},
		{"http://127.0.0.1:7777", "http://127.0.0.1:1", true},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:1/cc", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:1/cb?a", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:1/cb#a", false},
		{"http://127.0.0.1:7777/cb", "http://localhost:7777/cb", false},
		{"http://127.0.0.1:7777/cb", "https://127.0.0.1:7777/cb", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:@evil.example/cb", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:1@evil.example/cb", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1.evil.example/cb", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:1\\@evil.example/cb", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.1:123456/cb", false},
		{"http://127.0.0.1:7777/cb", "http://127.0.0.2:7777/cb", false},
		{"http://localhost/cb", "http://LOCALHOST/cb", false},
		{"https://localhost:1/cb", "https://localhost:2/cb", false},

		{"cursor://a/cb", "cursor://a/cb", true},
		{"cursor://a/cb", "cursor://b/cb", false},
		{"cursor://a:1/cb", "cursor://a:2/cb", false},
		{"https://user@claude.ai/cb", "https://user@claude.ai/cb", false}, // even if somebody registered it
		{"javascript:alert(1)", "javascript:alert(1)", false},
	} {
		target, err := MatchRedirect([]string{c.registered}, c.presented)
		if (err == nil) != c.match {
			t.Errorf("%q for %q: %v", c.presented, c.registered, err)
		}
		if want := c.presented; err == nil && want != "" && target.String() != want {
			t.Errorf("%q became %q", want, target)
		}
	}
	if _, err := MatchRedirect([]string{"https://a.example", "https://b.example"}, ""); err == nil {
		t.Error("no redirect_uri, two registered: matched")
	}
	if _, err := MatchRedirect(nil, ""); err == nil {
		t.Error("no redirect_uri, none registered: matched")
	}
}

func TestPolicyCheck(t *testing.T) {
	t.Parallel()
	narrow, wide := DefaultRedirects(), RedirectPolicy{AnyHTTPS: true}
	for _, c := range []struct {
		uri          string
		narrow, wide bool
	}{
		{"https://claude.ai/api/mcp/auth_callback", true, true},
		{"https://claude.ai:8443/cb", false, true},
		{"https://evil.example/cb", false, true},
		{"https://claude.ai.evil.example/cb", false, true},
		{"https://claude.ai@evil.example/cb", false, false},
		{"https://evil.example/claude.ai#claude.ai", false, false},
		{"https:///cb", false, false},
		{"https:claude.ai", false, false},
		{"//claude.ai/cb", false, false},
		{"/cb", false, false},
		{"http://claude.ai/cb", false, false},
		{"http://localhost/cb", true, true},
		{"http://127.0.0.1:1/cb", true, true},
		{"http://[::1]/cb", true, true},
		{"http://127.1/cb", false, false},
		{"http://0.0.0.0/cb", false, false},
		{"cursor://anysphere.cursor-mcp/oauth/callback", true, false},
		{"cursor://anysphere.cursor-mcp/oauth/callback?x", false, false},
		{"com.example.app:/cb", false, false},
		{"javascript://claude.ai/%0aalert(1)", false, false},
		{"JavaScript:alert(1)", false, false},
		{"data:text/html,x", false, false},
		{"https://claude.ai/a b", false, false},
		{"https://claude.ai/\x00", false, false},
		{"https://claude.ai/ü", false, false},
		{"https://claude.ai/" + strings.Repeat("x", 2048), false, false},
		{"", false, false},
	} {
		for policy, want := range map[*RedirectPolicy]bool{&narrow: c.narrow, &wide: c.wide} {
			err := policy.Check(c.uri)
			if (err == nil) != want || (err != nil && AsError(err).Code != InvalidRedirectURI) {
				t.Errorf("any https %v, %q: %v", policy.AnyHTTPS, c.uri, err)
			}
		}
	}
}

func TestLocationCarriesIssAndStateExactly(t *testing.T) {
	t.Parallel()
	const issuer = "https://mcp.example/music"
	for _, state := range []string{"", "a", "a+b/==", "a&b=c#d?e", "%41 \"é\"", strings.Repeat("s", 3000)} {
		for _, uri := range []string{"https://claude.ai/cb", "https://claude.ai/cb?kept=1&also=%20", "cursor://a/cb", "http://127.0.0.1:1"} {
			for _, answer := range []AuthorizationResponse{
				{Issuer: issuer, State: state, Code: "sp_ac_x"},
				{Issuer: issuer, State: state, Err: Errorf(AccessDenied, `said "no"`)},
			} {
				w := httptest.NewRecorder()
				Target{uri}.Redirect(w, answer)
				location := w.Header().Get("Location")
				u, err := url.Parse(location)
				if err != nil || !strings.HasPrefix(location, uri) || w.Code != 302 || w.Header().Get("Cache-Control") != "no-store" {
					t.Fatalf("%d %q: %v", w.Code, location, err)
				}
				q := u.Query()
				if !slices.Equal(q["iss"], []string{issuer}) || q.Get("state") != state || q.Has("state") != (state != "") {
					t.Errorf("%s: iss %q, state %q", location, q["iss"], q["state"])
				}
				if q.Has("code") == q.Has("error") || q.Has("error") != (answer.Err != nil) || strings.Contains(q.Get("error_description"), `"`) {
					t.Errorf("%s", location)
				}
				if strings.Contains(uri, "kept") && (q.Get("kept") != "1" || q.Get("also") != " ") {
					t.Errorf("%s: the registered query is gone", location)
				}
			}
		}
	}
}

func TestShown(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]struct {
		name             string
		custom, loopback bool
	}{
		"https://claude.ai/cb": {"claude.ai", false, false}, "http://localhost:1/cb": {"localhost:1", false, true},
		"cursor://claude.ai/cb": {"cursor", true, false},
	} {
		name, custom := Target{uri}.Shown()
		if name != want.name || custom != want.custom || (Target{uri}).Loopback() != want.loopback {
			t.Errorf("%s: %s %v", uri, name, custom)
		}
	}
}

// port cuts the port out of a loopback URI, written down a second time.
func port(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || !slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname()) {
		return uri
	}
	return strings.Replace(uri, u.Host, u.Hostname(), 1)
}

func FuzzMatchRedirect(f *testing.F) {
	for _, seed := range [][2]string{
		{"https://claude.ai/cb", "https://claude.ai/cb"}, {"http://127.0.0.1/cb", "http://127.0.0.1:1/cb"},
		{"http://[::1]:1", "http://[::1]"}, {"http://localhost", "http://localhost:1@evil.example"}, {"a:/b", "a:/b"}, {"http://127.0.0.1:", "http://127.0.0.1:0"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, registered, presented string) {
		target, err := MatchRedirect([]string{registered}, presented)
		if err != nil || presented == "" {
			return
		}
		u, err := url.Parse(target.String())
		if err != nil || u.User != nil || strings.Contains(presented, "#") || target.String() != presented {
			t.Errorf("%q matched as %q: %v", presented, target, err)
		}
		if strings.ReplaceAll(port(registered), "[::1]", "::1") != strings.ReplaceAll(port(presented), "[::1]", "::1") {
			t.Errorf("%q matched %q", presented, registered)
		}
	})
}

func FuzzPolicyCheck(f *testing.F) {
	for _, seed := range []string{
		"https://claude.ai/cb", "http://localhost:1/cb", "https://claude.ai@evil.example", "javascript:alert(1)", "https://claude.ai\\@evil.example",
		"HTTPS://claude.ai", "cursor://anysphere.cursor-mcp/oauth/callback", "http://127.0.0.1:/", "https://claude.ai%2eevil.example",
	} {
		f.Add(seed)
	}
	p := DefaultRedirects()
	f.Fuzz(func(t *testing.T, uri string) {
		if p.Check(uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.User != nil || strings.ContainsAny(uri, "# \\\"<>") {
			t.Fatalf("%q is allowed: %v", uri, err)
		}
		loopback := u.Scheme == "http" && slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, u.Hostname())
		if !loopback && !slices.Contains(p.URIs, uri) && (u.Scheme != "https" || !slices.Contains(p.Hosts, u.Host)) {
			t.Errorf("%q is allowed", uri)
		}
	})
}

// TestRedirectURIsThatAnswersCannotCarry: what the policy allows otherwise is
// refused by name, at registration and at authorization.
func TestRedirectURIsThatAnswersCannotCarry(t *testing.T) {
	t.Parallel()
	policy := RedirectPolicy{Hosts: []string{"claude.ai"}, AnyHTTPS: true, URIs: []string{"app://a/cb?code=1", "app://a:99999/cb"}}
	for uri, why := range map[string]string{
		"https://claude.ai/cb?code=1": "parameter code", "https://claude.ai/cb?state=1": "parameter state", "https://claude.ai/cb?iss=1": "parameter iss",
		"https://claude.ai/cb?error=1": "parameter error", "https://claude.ai/cb?x=1&error_description=1": "parameter error_description",
		"https://claude.ai/cb?x&%63ode=1": "parameter code", "https://claude.ai/cb?x;state=1": "parameter state", "https://claude.ai/cb?CODE": "parameter code",
		"https://claude.ai/cb?code[]=1": "parameter code", "http://localhost:1/cb?access_token=1": "parameter access_token", "app://a/cb?code=1": "parameter code",
		"https://claude.ai:99999/cb": "port", "http://localhost:99999/cb": "port", "http://127.0.0.1:0/cb": "port", "http://localhost:/cb": "port", "http://[::1]:/cb": "port",
		"https://claude.ai:/cb": "port", "app://a:99999/cb": "port", "http://localhost?x": "path", "http://localhost:1?x": "path", "https://claude.ai?": "path",
		"http://localhost/cb%0d%0aSet-Cookie:a": "control", "https://claude.ai/cb?x=%0A": "control", "https://claude.ai/%250d": "control", "https://claude.ai/cb?x=%7f&y=%zz": "control",
		"https://claude.ai/%00": "control",
		// As the readers of queries in use decode a name.
		"https://claude.ai/cb?[code]=1": "parameter code", "https://claude.ai/cb?[code][]=1": "parameter code", "https://claude.ai/cb?%5Bstate%5D=1": "parameter state",
		"https://claude.ai/cb?%2563ode=1": "parameter code", "https://claude.ai/cb?+code=1": "parameter code", "https://claude.ai/cb?error.description=1": "parameter error_description",
		"https://claude.ai/cb?access+token=1": "parameter access_token", "https://claude.ai/cb?id%2Etoken=1": "parameter id_token",
		// A browser and net/url decode an escaped host, and the consent page would show it.
		"https://%D1%81laude.ai/cb": "host", "https://claude.ai,evil.example/cb": "host", "http://[fe80::1%25lo]/cb": "host", "app://%D1%81/cb": "host",
	} {
		err := policy.Check(uri)
		if err == nil || AsError(err).Code != InvalidRedirectURI || !strings.Contains(AsError(err).Description, why) {
			t.Errorf("registration of %s: %v", uri, err)
		}
		if _, err = MatchRedirect([]string{uri}, ""); err == nil {
			t.Errorf("%s is taken where the request names none", uri)
		}
		_, err = MatchRedirect([]string{uri}, uri)
		if err == nil || AsError(err).Code != InvalidRequest || !strings.Contains(AsError(err).Description, why) {
			t.Errorf("authorization with %s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"https://claude.ai/cb?x=1&codes=2", "http://localhost:65535/cb", "http://localhost/", "http://localhost", "https://claude.ai/cb?x=%20%C3%A4", "https://claude.ai/%2525",
		"https://claude.ai/cb?encoded=1&scope=a&statement=1", "https://xn--laude-o3e.ai/cb", "https://a_b.example/cb",
	} {
		if err := policy.Check(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
