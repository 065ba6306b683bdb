package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPKCE(t *testing.T) {
	t.Parallel()
	// The pair of RFC 7636 appendix B.
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if ChallengeOf(verifier) != challenge {
		t.Errorf("challenge %s", ChallengeOf(verifier))
	}
	for name, c := range map[string]struct {
		challenge, method string
		ok                bool
	}{
		"S256": {challenge, "S256", true}, "plain": {challenge, "plain", false}, "no method": {challenge, "", false},
		"lower case": {challenge, "s256", false}, "none": {"", "S256", false}, "short": {challenge[1:], "S256", false},
		"long": {challenge + "A", "S256", false}, "padded": {challenge[:42] + "=", "S256", false}, "standard base64": {"+" + challenge[1:], "S256", false},
	} {
		_, err := ParseCodeChallenge(c.challenge, c.method)
		if (err == nil) != c.ok || (err != nil && AsError(err).Code != InvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for v, want := range map[string]Code{
		verifier: "", "": InvalidRequest, verifier[1:]: InvalidGrant, "X" + verifier[1:]: InvalidGrant, strings.Repeat("a", 129): InvalidGrant, challenge: InvalidGrant,
	} {
		if err := CodeChallenge(challenge).Verify(v); (err == nil) != (want == "") || (err != nil && AsError(err).Code != want) {
			t.Errorf("verifier %q: %v", v, err)
		}
	}
	if CodeChallenge("").Verify(verifier) == nil {
		t.Error("a verifier passes without a challenge")
	}
}

func TestPrompt(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"": "", "none": "none", "consent": "", "login": "login", " select_account  login ": "login select_account",
		"consent select_account": "select_account", "login login": "login", "create": "", "LOGIN": "",
		"none login": "error", "consent none": "error", "none none": "error", "none create": "error",
	} {
		got, err := ParsePrompt(asked)
		if err != nil && AsError(err).Code == InvalidRequest {
			got = "error"
		}
		if got != want {
			t.Errorf("prompt %q: %q, %v, want %q", asked, got, err, want)
		}
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	if got := ParseScope("  read offline_access write\tread "); !slices.Equal(got, []string{"read", "write"}) {
		t.Errorf("parsed %q", got)
	}
	offered := []string{"read", "write"}
	for asked, want := range map[string]string{"": "read write", "write": "write", "admin": "read write", "write admin read": "write read", "READ": "read write"} {
		if got := strings.Join(GrantScopes(ParseScope(asked), offered), " "); got != want {
			t.Errorf("asked %q: granted %q, want %q", asked, got, want)
		}
	}
	GrantScopes(nil, offered)[0] = "changed"
	if offered[0] != "read" {
		t.Error("what was granted shares memory with what is offered")
	}
}

func TestSameResource(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://a.example/mcp", "https://a.example/mcp", true},
		{"https://a.example/mcp", "https://a.example/mcp/", true},
		{"https://a.example", "https://a.example/", true},
		{"HTTPS://A.example/mcp", "https://a.example/mcp", true},
		{"https://a.example/MCP", "https://a.example/mcp", false},
		{"https://a.example/mcp//", "https://a.example/mcp", false},
		{"https://a.example:443/mcp", "https://a.example/mcp", false},
		{"https://a.example/mcp?x=1", "https://a.example/mcp", false},
		{"https://a.example/mcp?x=1", "https://a.example/mcp/?x=1", true},
		{"https://a.example/mcp#x", "https://a.example/mcp#x", false},
		{"https://a.example/mcp#", "https://a.example/mcp", false},
		{"https://u@a.example/mcp", "https://u@a.example/mcp", false},
		{"https://a.example/%6dcp", "https://a.example/mcp", false},
		{"http://a.example/mcp", "https://a.example/mcp", false},
		{"", "", false}, {"/mcp", "/mcp", false}, {"urn:x", "urn:x", false},
	} {
		if SameResource(c.a, c.b) != c.same || SameResource(c.b, c.a) != c.same {
			t.Errorf("%q and %q: %v", c.a, c.b, !c.same)
		}
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err           error
		authorization string
		status        int
		code          Code
		retry, scheme string
	}{
		{Errorf(InvalidRequest, "x"), "", 400, InvalidRequest, "", ""},
		{Errorf(InvalidGrant, "x"), "Basic eA==", 400, InvalidGrant, "", ""},
		{Errorf(InvalidClient, "x"), "", 401, InvalidClient, "", ""},
		{Errorf(InvalidClient, "x"), "Basic eA==", 401, InvalidClient, "", `Basic realm="token endpoint"`},
		{Errorf(InvalidClient, "x"), "basic eA==", 401, InvalidClient, "", `Basic realm="token endpoint"`},
		{fmt.Errorf("wrapped: %w", Errorf(InvalidTarget, "x")), "", 400, InvalidTarget, "", ""},
		{Unavailable(errors.New("secret")), "", 503, TemporarilyUnavailable, "5", ""},
		{&Error{Code: TemporarilyUnavailable, Status: 503, RetryAfter: 1500 * time.Millisecond}, "", 503, TemporarilyUnavailable, "2", ""},
		{errors.New("secret"), "", 500, ServerError, "", ""},
		{Errorf(InsufficientScope, "x"), "", 403, InsufficientScope, "", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/token", nil)
		r.Header.Set("Authorization", c.authorization)
		w := httptest.NewRecorder()
		WriteError(w, r, c.err)
		var body map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Errorf("%v: %s", c.err, w.Body)
		}
		h := w.Header()
		if w.Code != c.status || body["error"] != string(c.code) || h.Get("Retry-After") != c.retry || h.Get("WWW-Authenticate") != c.scheme {
			t.Errorf("%v: %d %v %s", c.err, w.Code, h, w.Body)
		}
		if h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%v: %v %s", c.err, h, w.Body)
		}
	}
}

func TestChallenge(t *testing.T) {
	t.Parallel()
	c := Challenge{ResourceMetadata: "https://a.example/.well-known/x", Scopes: []string{"read", "write"}}
	const start = `Bearer resource_metadata="https://a.example/.well-known/x", scope="read write"`
	for _, each := range []struct {
		err    error
		status int
		header string
	}{
		{nil, 401, start},
		{Errorf(InvalidToken, `a "b" \c`), 401, start + `, error="invalid_token", error_description="a 'b' /c"`},
		{Errorf(InsufficientScope, "x"), 403, start + `, error="insufficient_scope", error_description="x"`},
		{Errorf(InvalidRequest, "x"), 400, ""},
		{Unavailable(nil), 503, ""},
	} {
		w := httptest.NewRecorder()
		c.Write(w, each.err)
		if w.Code != each.status || w.Header().Get("WWW-Authenticate") != each.header || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%v: %d %s", each.err, w.Code, w.Header().Get("WWW-Authenticate"))
		}
	}
}

func TestParams(t *testing.T) {
	t.Parallel()
	for query, ok := range map[string]bool{
		"a=1&b=2": true, "a=1&a=2": false, "a=1&a=1": false, "a=&a=1": false, "resource=x&resource=y": true, "": true, "a=%zz": false, "a;b": false,
	} {
		_, err := QueryParams(httptest.NewRequest(http.MethodGet, "/?"+query, nil))
		if (err == nil) != ok || (err != nil && AsError(err).Code != InvalidRequest) {
			t.Errorf("query %q: %v", query, err)
		}
		r := httptest.NewRequest(http.MethodPost, "/?code=from-the-query", strings.NewReader(query))
		r.Header.Set("Content-Type", "Application/x-www-form-urlencoded; charset=utf-8")
		p, err := FormParams(r)
		if (err == nil) != ok || p.Get("code") != "" {
			t.Errorf("form %q: %v, code %q", query, err, p.Get("code"))
		}
	}
	p, _ := QueryParams(httptest.NewRequest(http.MethodGet, "/?a=1&a=2&b=3&resource=x&resource=&resource=y", nil))
	if p.Once("a", "b") == nil || p.Once("b", "c") != nil || p.Get("a") != "1" || !slices.Equal(p.All("resource"), []string{"x", "y"}) {
		t.Errorf("params %+v", p)
	}
	for name, r := range map[string]*http.Request{
		"JSON": httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`)),
	} {
		if name != "JSON" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if _, err := FormParams(r); AsError(err).Code != InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzErrorDescription(f *testing.F) {
	for _, seed := range []string{"plain", `a"b\c`, "é\r\nSet-Cookie: x", "\x00\x7f\xff", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := httptest.NewRecorder()
		Challenge{ResourceMetadata: "https://a.example"}.Write(w, &Error{Code: InvalidToken, Description: text})
		var body map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(Target{"https://a.example/cb"}.Location(AuthorizationResponse{Err: &Error{Code: AccessDenied, Description: text}}))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []string{body["error_description"], u.Query().Get("error_description")} {
			for _, c := range []byte(d) {
				if c < 0x20 || c > 0x7e || c == '"' || c == '\\' { // RFC 6749 §5.2
					t.Errorf("%q became %q", text, d)
				}
			}
		}
		if h := w.Header().Get("WWW-Authenticate"); strings.ContainsAny(h, "\r\n") || strings.Count(h, `"`) != 6 {
			t.Errorf("challenge %q", h)
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "a=1&a=2", "resource=x&resource=y", "%", "a;b", "=&=", "\xff=\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{RawQuery: query}}
		p, err := QueryParams(r)
		values, parseErr := url.ParseQuery(query)
		ok := parseErr == nil
		for name, v := range values {
			ok = ok && (len(v) == 1 || name == "resource")
			if p.Get(name) != v[0] {
				t.Errorf("%q: %q is %q", query, name, p.Get(name))
			}
		}
		if ok != (err == nil) || (err != nil && AsError(err).Code != InvalidRequest) {
			t.Errorf("%q: %v", query, err)
		}
	})
}
