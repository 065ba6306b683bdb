package plugins

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

// echoing is an upstream, a double of ours, that repeats every request and
// keeps what it got.
type echoing struct {
	*httptest.Server
	got      []string
	metadata string // answered at each address that holds .well-known
}

func newEchoing(t *testing.T) *echoing {
	e := &echoing{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Authorization") + " " + string(body)
		e.got = append(e.got, text)
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		if strings.Contains(r.URL.Path, ".well-known") {
			text = e.metadata
		}
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(e.Close)
	return e
}

// conversationAt binds a module with this manifest to an upstream and opens a
// conversation of the operation exchange.
func conversationAt(t *testing.T, e *echoing, version string, secretURLs []string, settings map[string]any) *conversation {
	t.Helper()
	list, _ := json.Marshal(secretURLs)
	manifest := strings.Replace(manifestOf("tiny", "1.0.0", anySettings, "{settings.base}"), `"abi":"1.0"`, fmt.Sprintf(`"abi":%q,"secret_urls":%s`, version, list), 1)
	parsed, err := parseManifest([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	client := fetch.New(fetch.Config{PrivateHosts: []string{e.Listener.Addr().String()}})
	t.Cleanup(client.Close)
	m := &Module{cfg: Config{Fetch: client}.withDefaults()}
	if err := m.adopt(parsed); err != nil {
		t.Fatal(err)
	}
	if settings == nil {
		settings = map[string]any{}
	}
	settings["base"] = e.URL
	p, err := m.bind(Binding{Tenant: "octo", ClientID: "client/one", ClientSecret: seal.NewSecret(secret), Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	return &conversation{provider: p, op: abi.OpExchange, secret: &redactor{}, sent: eraser{slices.Clone(p.secrets.needles)}}
}

func request(method, url string, a *abi.ClientAuth) *abi.Request {
	return &abi.Request{Method: method, URL: url, ClientAuth: a}
}

func TestSecretGoesToDeclaredURLsOnly(t *testing.T) {
	post, basic := &abi.ClientAuth{Method: abi.AuthPost}, &abi.ClientAuth{Method: abi.AuthBasic}
	renamed := func(name string) *abi.ClientAuth { return &abi.ClientAuth{Method: abi.AuthPost, SecretParam: name} }
	declared := []string{"{settings.base}/token", "{settings.base}/apps/{client_id}/token", "{settings.whole}", "https://literal.example/token", "{settings.none}/token"}
	for _, tt := range []struct {
		name, version, method, path string
		auth                        *abi.ClientAuth
		ok                          bool
	}{
		{"declared", "1.2", "POST", "/token", post, true},
		{"declared, basic", "1.2", "POST", "/token", basic, true},
		{"declared, basic and another method", "1.2", "DELETE", "/apps/client%2Fone/token", basic, true},
		{"declared by a whole setting, with its query", "1.2", "POST", "/whole?x=1", post, true},
		{"another query", "1.2", "POST", "/whole?x=2", post, false},
		{"a query more", "1.2", "POST", "/token?debug=1", post, false},
		{"another path", "1.2", "POST", "/echo", post, false},
		{"another path, basic", "1.2", "POST", "/echo", basic, false},
		{"another path, secret as the user", "1.2", "POST", "/echo", &abi.ClientAuth{Method: abi.AuthBasicSecret}, false},
		{"below it", "1.2", "POST", "/token/echo", post, false},
		{"a slash more", "1.2", "POST", "/token/", post, false},
		{"dot segments", "1.2", "POST", "/token/../echo", post, false},
		{"an encoded slash", "1.2", "POST", "/apps%2Fclient%2Fone%2Ftoken", post, false},
		{"renamed as upstreams have it", "1.2", "POST", "/token", renamed("app_secret"), true},
		{"renamed otherwise", "1.2", "POST", "/token", renamed("text"), false},
		{"PUT", "1.2", "PUT", "/token", post, false},
		{"GET", "1.2", "GET", "/token", post, false},
		{"HEAD", "1.2", "HEAD", "/token", post, false},
		{"identifier alone by GET", "1.2", "GET", "/token", &abi.ClientAuth{Method: abi.AuthNone}, false},
		{"identifier alone elsewhere", "1.2", "POST", "/echo", &abi.ClientAuth{Method: abi.AuthNone}, true},
		{"nothing declared by an ABI that has the list", "1.3", "POST", "/other", post, false},
		{"older ABI", "1.1", "POST", "/echo", post, true},
		{"older ABI, basic", "1.1", "POST", "/echo", basic, true},
		{"older ABI, another name", "1.1", "POST", "/echo", renamed("text"), false},
		{"older ABI, a name that upstreams have", "1.1", "POST", "/echo", renamed("app_secret"), false},
		{"older ABI, GET", "1.1", "GET", "/echo", basic, false},
		{"older ABI, DELETE", "1.0", "DELETE", "/echo", basic, false},
		{"older ABI, GET with a body", "1.1", "GET", "/echo", post, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEchoing(t)
			c := conversationAt(t, e, tt.version, declared, map[string]any{"whole": e.URL + "/whole?x=1"})
			_, err := c.perform(t.Context(), request(tt.method, e.URL+tt.path, tt.auth), nil)
			if (err == nil) != tt.ok || len(e.got) > 0 != tt.ok {
				t.Fatalf("got %v, sent %q", err, e.got)
			}
			if kind := upstream.KindOf(err); err != nil && kind != upstream.Misconfigured && kind != upstream.Bug {
				t.Errorf("kind %v: %v", kind, err)
			}
		})
	}
}

func TestSecretGoesWhereDiscoverySays(t *testing.T) {
	const document = "/realm/.well-known/openid-configuration"
	post := &abi.ClientAuth{Method: abi.AuthPost}
	for _, tt := range []struct {
		name, method, asked string
		endpoint            string // in the document
		to                  string
		ok                  bool
	}{
		{"the document that the setting names", "GET", document, "/realm/token", "/realm/token", true},
		{"the document of RFC 8414", "GET", "/.well-known/oauth-authorization-server/realm", "/realm/token", "/realm/token", true},
		{"another endpoint than it names", "GET", document, "/realm/token", "/realm/echo", false},
		{"another document of the same host", "GET", "/evil/.well-known/openid-configuration", "/evil/token", "/evil/token", false},
		{"with a query", "GET", document + "?x=1", "/realm/token", "/realm/token", false},
		{"not read", "GET", "/realm/x", "/realm/token", "/realm/token", false},
		{"read with a body", "POST", document, "/realm/token", "/realm/token", false},
		{"a host that the manifest does not name", "GET", document, "https://evil.example/token", "https://evil.example/token", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEchoing(t)
			absolute := func(s string) string {
				if strings.HasPrefix(s, "/") {
					return e.URL + s
				}
				return s
			}
			c := conversationAt(t, e, "1.2", []string{"discovery:{settings.issuer}"}, map[string]any{"issuer": e.URL + "/realm/"})
			for _, member := range []string{"token_endpoint", "revocation_endpoint", "introspection_endpoint", "pushed_authorization_request_endpoint"} {
				c.endpoints = nil
				e.metadata = fmt.Sprintf(`{"issuer":"x","authorization_endpoint":%q,%q:%q}`, absolute("/realm/authorize"), member, absolute(tt.endpoint))
				r := request(tt.method, e.URL+tt.asked, nil)
				s, err := c.perform(t.Context(), r, nil)
				if err != nil {
					t.Fatal(err)
				}
				c.learnEndpoints(r, s)
				if _, err := c.perform(t.Context(), request("POST", absolute(tt.to), post), nil); (err == nil) != tt.ok {
					t.Errorf("%s: %v", member, err)
				}
				if _, err := c.perform(t.Context(), request("POST", absolute("/realm/authorize"), post), nil); err == nil {
					t.Errorf("the secret goes to the authorization endpoint")
				}
			}
		})
	}
}

func TestSecretThatComesBackIsReplaced(t *testing.T) {
	escaped := url.QueryEscape(secret)
	all := ""
	for _, b := range []byte(secret) {
		all += fmt.Sprintf("%%%02x", b)
	}
	unicode := ""
	for _, b := range []byte(secret) {
		unicode += fmt.Sprintf(`\u00%02X`, b)
	}
	answers := map[string]string{
		"plain": secret, "percent": escaped, "lower case": strings.ToLower(escaped), "every byte": all,
		"path": url.PathEscape(secret), "twice": url.QueryEscape(escaped),
		"JSON": strings.ReplaceAll(secret, "/", `\/`), "unicode": unicode, "HTML": strings.ReplaceAll(secret, "/", "&#x2F;"),
	}
	for i := range 3 {
		before := strings.Repeat("x", i)
		answers[fmt.Sprint("base64 ", i)] = base64.StdEncoding.EncodeToString([]byte(before + secret + "yz"))
		answers[fmt.Sprint("base64url ", i)] = base64.RawURLEncoding.EncodeToString([]byte(before + secret))
		answers[fmt.Sprint("of the encoded ", i)] = base64.StdEncoding.EncodeToString([]byte(before + escaped))
		answers[fmt.Sprint("percent-encoded base64 ", i)] = url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(before + secret)))
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			var e eraser
			e.add(secret)
			res := &fetch.Response{Header: http.Header{"X": {"a" + answer + "b"}}, Body: []byte("<" + answer + "> and " + answer)}
			e.clean(res)
			if got := string(res.Body); strings.Count(got, redacted) != 2 || strings.Contains(got, answer[2:len(answer)-4]) {
				t.Errorf("body %q", got)
			}
			if got := res.Header.Get("X"); !strings.Contains(got, redacted) {
				t.Errorf("header %q", got)
			}
		})
	}
	var e eraser
	e.add(secret)
	e.add("short")
	for _, innocent := range []string{"", "%", "%2", `\u00`, "&#", "&amp;", "short", secret[:len(secret)-1], "100%25 & \\u0041"} {
		if got := string(e.erase([]byte(innocent))); got != innocent {
			t.Errorf("%q became %q", innocent, got)
		}
	}
}

// What a guest reads is cleaned, in the answer to a request without client
// authentication too: an upstream could have kept the secret.
func TestGuestReadsNoSecret(t *testing.T) {
	e := newEchoing(t)
	c := conversationAt(t, e, "1.1", nil, nil)
	for _, a := range []*abi.ClientAuth{{Method: abi.AuthPost}, {Method: abi.AuthBasic}, {Method: abi.AuthBasicSecret}} {
		s, err := c.perform(t.Context(), request("POST", e.URL+"/echo", a), nil)
		if err != nil || !strings.Contains(string(s.Body), redacted) {
			t.Errorf("%s: %q, %v", a.Method, s.Body, err)
		}
		if strings.Contains(fmt.Sprint(s.Headers), base64.StdEncoding.EncodeToString([]byte(secret))[:8]) {
			t.Errorf("%s: headers %v", a.Method, s.Headers)
		}
	}
	s, err := c.perform(t.Context(), request("GET", e.URL+"/echo?kept="+url.QueryEscape(secret), nil), nil)
	if err != nil || strings.Contains(string(s.Body), url.QueryEscape(secret)) {
		t.Errorf("%q, %v", s.Body, err)
	}
}

func TestSecretURLsThatAManifestMayName(t *testing.T) {
	for entry, ok := range map[string]bool{
		"https://up.example/token": true, "https://{settings.host}/token": true, "{settings.url}": true, "{settings.base}/token": true,
		"discovery:{settings.issuer}": true, "discovery:https://up.example/{settings.tenant}/v2.0": true, "issuer:{settings.issuer}": true,
		"https://up.example/apps/{client_id}/token": true, "https://up.example/token?x=1": true,
		"": false, "up.example/token": false, "http://127.0.0.1:9000/token": true, "https://user@up.example/": false, "https://up.example/#x": false,
		"https://up.example/{access_token}": false, "discovery:": false, "ftp://up.example": false, "https:///token": false, "https://up.example/a b": false,
	} {
		faults := checkSecretURLs(abi.Manifest{SecretURLs: []string{entry}})
		if (len(faults) == 0) != ok {
			t.Errorf("%q: %v", entry, faults)
		}
	}
}

func FuzzEraser(f *testing.F) {
	f.Add([]byte("a%20b"), "s3cr3t/with:odd chars")
	f.Add([]byte(`{"x":"s3cr3t\/with:odd chars"}`), "s3cr3t/with:odd chars")
	f.Add([]byte("czNjcjN0L3dpdGg6b2RkIGNoYXJz"), "s3cr3t/with:odd chars")
	f.Fuzz(func(t *testing.T, text []byte, secret string) {
		var e eraser
		e.add(secret)
		got := e.erase(text)
		if len(secret) >= shortest && !strings.Contains(redacted, secret) && strings.Contains(string(got), secret) {
			t.Errorf("%q holds %q still", got, secret)
		}
	})
}
