package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// withPolicy lets music be discovered without a token and has a tool that
// needs a scope beyond "read", which Login asks for.
func withPolicy(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
	tenants[0].Scopes = []string{"read", "write", "admin"}
	tenants[0].Anonymous = []string{"initialize", "notifications/initialized", "ping", "tools/list", "server/discover"}
	tenants[0].Tools = map[string][]string{"delete": {"write"}, "purge": {"write", "admin"}, "löschen": {"write"}, "look": {"read"}}
}

// send posts a message; headers are name, value, name, value.
func send(t testing.TB, s *coretest.Server, token, body string, headers ...string) coretest.Answer {
	t.Helper()
	r := request(t, s, token, http.MethodPost, "/music/mcp", strings.NewReader(body))
	if token == "" {
		r.Header.Del("Authorization")
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return s.Do(t, nil, r)
}

// wantRPC checks an error of JSON-RPC and that no challenge is with it.
func wantRPC(t testing.TB, what string, a coretest.Answer, status, code int, oauthCode string) {
	t.Helper()
	var m struct {
		JSONRPC string
		Error   struct {
			Code    int
			Message string
			Data    map[string]string
		}
	}
	if err := json.Unmarshal([]byte(a.Body), &m); err != nil {
		t.Errorf("%s: %d %q: %v", what, a.Status, a.Body, err)
		return
	}
	if a.Status != status || m.JSONRPC != "2.0" || m.Error.Code != code || m.Error.Message == "" || m.Error.Data["error"] != oauthCode {
		t.Errorf("%s: %d %s, want %d with %d", what, a.Status, a.Body, status, code)
	}
	if a.Header.Get("WWW-Authenticate") != "" && a.Status != http.StatusForbidden {
		t.Errorf("%s: a challenge: %s", what, a.Header.Get("WWW-Authenticate"))
	}
}

func message(method string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":%q,"params":{"name":"delete"}}`, method)
}

func TestAnonymousMethodsNeedNoTokenAndCarryNone(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy)
	token := s.Login(t, s.Browser(), "ada").Access
	for name, c := range map[string]struct {
		token, body string
		headers     []string
		status      int
		challenge   string // in it; empty: there is none
	}{
		"initialize":          {"", message("initialize"), nil, 200, ""},
		"a notification":      {"", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil, 200, ""},
		"of 2026-07-28":       {"", message("server/discover"), []string{"Mcp-Method", "server/discover", "Mcp-Protocol-Version", "2026-07-28"}, 200, ""},
		"a call":              {"", message("tools/call"), nil, 401, "resource_metadata"},
		"another case":        {"", message("Ping"), nil, 401, "resource_metadata"},
		"a response":          {"", `{"jsonrpc":"2.0","id":7,"result":{}}`, nil, 401, "resource_metadata"},
		"a batch":             {"", "[" + message("ping") + "," + message("tools/list") + "]", nil, 200, ""},
		"a batch with a call": {"", "[" + message("ping") + "," + message("tools/call") + "]", nil, 401, "resource_metadata"},
		"a good token":        {token, message("ping"), nil, 200, ""},
		"a bad token":         {"sp_at_x", message("ping"), nil, 401, "invalid_token"},
		"another scheme":      {"", message("ping"), []string{"Authorization", "Basic eDp5"}, 401, "resource_metadata"},
		"an empty token":      {"", message("ping"), []string{"Authorization", "Bearer"}, 401, "resource_metadata"},
		"of no known version": {"", message("ping"), []string{"Mcp-Protocol-Version", "2031-01-01"}, 200, ""},
	} {
		a := send(t, s, c.token, c.body, c.headers...)
		challenge := a.Header.Get("WWW-Authenticate")
		if a.Status != c.status || (challenge != "") != (c.challenge != "") || !strings.Contains(challenge, c.challenge) {
			t.Errorf("%s: %d %q %s", name, a.Status, challenge, a.Body)
		}
		if a.Status != http.StatusOK {
			continue
		}
		var m struct {
			Header http.Header
			Body   string
		}
		if err := json.Unmarshal([]byte(a.Body), &m); err != nil || m.Body != c.body {
			t.Errorf("%s: the backend saw %q, %v", name, m.Body, err)
		}
		if (m.Header.Get("Authorization") != "") != (c.token != "") {
			t.Errorf("%s: the backend saw Authorization %q", name, m.Header["Authorization"])
		}
	}
}

// By default everything needs a token: many clients only begin a login when
// they connect.
func TestNothingIsAnonymousByDefault(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for _, method := range []string{"initialize", "server/discover", "ping", "tools/list"} {
		if a := send(t, s, "", message(method)); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %v", method, a.Status, a.Header)
		}
	}
}

// A client of the session era asks for a stream as soon as it has initialized;
// a 401 there would be the login that the tenant puts off.
func TestStreamWithoutATokenDoesNotStartALogin(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		r := request(t, s, "", method, "/music/mcp", nil)
		r.Header.Del("Authorization")
		a := s.Do(t, nil, r)
		wantRPC(t, method, a, http.StatusMethodNotAllowed, -32000, "invalid_request")
		if a.Header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", method, a.Header.Get("Allow"))
		}
		r = request(t, s, "", method, "/octo/mcp", nil)
		r.Header.Del("Authorization")
		if a := s.Do(t, nil, r); a.Status != http.StatusUnauthorized {
			t.Errorf("%s where nothing is anonymous: %d", method, a.Status)
		}
	}
}

// What policy reads must be what the backend reads: each of these is read in
// two ways by parsers in the field.
func TestNothingIsSmuggledPastPolicy(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy)
	token := s.Login(t, s.Browser(), "ada").Access
	var reached atomic.Int64
	handle(s, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = io.WriteString(z, message("tools/call"))
	_ = z.Close()
	call := func(name string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + name + `}}`
	}
	for what, c := range map[string]struct {
		token, body string
		headers     []string
		status      int
		code        int
	}{
		"a call under an anonymous header":     {"", message("tools/call"), []string{"Mcp-Method", "ping"}, 400, -32020},
		"an anonymous body under a call":       {"", message("ping"), []string{"Mcp-Method", "tools/call"}, 400, -32020},
		"two headers":                          {"", message("ping"), []string{"Mcp-Method", "ping", "Mcp-Method", "tools/call"}, 400, -32020},
		"a header with a batch":                {"", "[" + message("ping") + "," + message("ping") + "]", []string{"Mcp-Method", "ping"}, 400, -32020},
		"a method that stands twice":           {"", `{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}`, nil, 400, -32700},
		"twice, once escaped":                  {"", `{"jsonrpc":"2.0","id":1,"method":"tools/call","m\u0065thod":"ping"}`, nil, 400, -32700},
		"in other letters":                     {"", `{"jsonrpc":"2.0","id":1,"method":"tools/call","METHOD":"ping"}`, nil, 400, -32700},
		"in letters that fold":                 {"", `{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{},"params":{}}`, nil, 400, -32700},
		"a second message behind the first":    {"", message("ping") + message("tools/call"), nil, 400, -32700},
		"an empty batch":                       {"", "[]", nil, 400, -32700},
		"a batch in a batch":                   {"", "[[" + message("tools/call") + "]]", nil, 400, -32700},
		"no JSON":                              {"", "method=ping", nil, 400, -32700},
		"half a message":                       {"", `{"jsonrpc":"2.0","method":"ping"`, nil, 400, -32700},
		"nothing":                              {"", "", nil, 400, -32700},
		"a method that is no text":             {"", `{"jsonrpc":"2.0","method":["ping"]}`, nil, 400, -32700},
		"a byte order mark":                    {"", "\ufeff" + message("ping"), nil, 400, -32700},
		"UTF-16":                               {"", "\xff\xfe{\x00}\x00", nil, 400, -32700},
		"a compressed body":                    {"", zipped.String(), []string{"Content-Encoding", "gzip"}, 415, -32000},
		"another tool than the header":         {token, call(`"name":"delete"`), []string{"Mcp-Name", "look"}, 400, -32020},
		"another tool than the encoded":        {token, call(`"name":"delete"`), []string{"Mcp-Name", "=?base64?bG9vaw==?="}, 400, -32020},
		"a tool that stands twice":             {token, call(`"name":"delete","name":"look"`), nil, 400, -32700},
		"a tool in other letters":              {token, call(`"Name":"delete","name":"look"`), nil, 400, -32700},
		"a tool in a list":                     {token, call(`"name":["delete"]`), nil, 400, -32700},
		"params in a list":                     {token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["delete"]}`, nil, 400, -32700},
		"params as text":                       {token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"delete"}`, nil, 400, -32700},
		"params that are null":                 {token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`, nil, 400, -32700},
		"a call without params":                {token, `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, nil, 400, -32700},
		"a call that names no tool":            {token, call(`"arguments":{}`), nil, 400, -32700},
		"a call in a batch that names none":    {token, "[" + call(`"name":"look"`) + "," + call(`"Tool":"delete"`) + "]", nil, 400, -32700},
		"a tool with a byte that is dropped":   {token, call("\"name\":\"del\xffete\""), nil, 400, -32700},
		"a member with a byte that is dropped": {token, call("\"name\":\"read\",\"na\xffme\":\"delete\""), nil, 400, -32700},
		"a tool with half a character":         {token, call(`"name":"del\ud800ete"`), nil, 400, -32700},
		"a tool that ends at a NUL":            {token, call(`"name":"delete\u0000"`), nil, 400, -32700},
		"a tool with a zero width space":       {token, call(`"name":"del\u200bete"`), nil, 400, -32700},
		"a tool with a space":                  {token, call(`"name":"delete "`), nil, 400, -32700},
		"a call in capitals":                   {token, `{"jsonrpc":"2.0","id":1,"method":"Tools/Call","params":{"name":"delete"}}`, nil, 400, -32700},
		"a call that ends at a NUL":            {token, `{"jsonrpc":"2.0","id":1,"method":"tools/call\u0000","params":{"name":"delete"}}`, nil, 400, -32700},
		"a call with a space":                  {token, `{"jsonrpc":"2.0","id":1,"method":" tools/call","params":{"name":"delete"}}`, nil, 400, -32700},
		"a message larger than policy reads":   {token, call(`"name":"look","arguments":"` + strings.Repeat("x", 1<<20) + `"`), nil, 413, -32000},
	} {
		a := send(t, s, c.token, c.body, c.headers...)
		wantRPC(t, what, a, c.status, c.code, "invalid_request")
	}
	typed := func(contentTypes ...string) coretest.Answer {
		r := request(t, s, "", http.MethodPost, "/music/mcp", strings.NewReader(message("ping")))
		r.Header.Del("Authorization")
		r.Header["Content-Type"] = contentTypes
		return s.Do(t, nil, r)
	}
	const plain = "application/json"
	for _, bad := range [][]string{{plain + "; charset=utf-7"}, {plain + "; charset=utf-16"}, {plain + "; charset=latin1"}, {"text/plain"}, {"x/"}, {plain, plain}, nil} {
		wantRPC(t, fmt.Sprint(bad), typed(bad...), http.StatusUnsupportedMediaType, -32000, "invalid_request")
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d of them reached the backend", n)
	}
	if a := typed(plain + "; charset=UTF-8"); a.Status != http.StatusOK || reached.Load() != 1 {
		t.Errorf("plain JSON: %d %s", a.Status, a.Body)
	}
}

// A server that lets a header override the method would take this for a call.
func TestMessageUnderAnotherMethodIsRefused(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy)
	token := s.Login(t, s.Browser(), "ada").Access
	var reached atomic.Int64
	handle(s, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		r := request(t, s, token, method, "/music/mcp", strings.NewReader(message("tools/call")))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Http-Method-Override", "POST")
		wantRPC(t, method, s.Do(t, nil, r), http.StatusBadRequest, -32000, "invalid_request")
		if a := s.Do(t, nil, request(t, s, token, method, "/music/mcp", nil)); a.Status != http.StatusOK {
			t.Errorf("%s without a body: %d", method, a.Status)
		}
	}
	if n := reached.Load(); n != 2 {
		t.Errorf("%d reached the backend", n)
	}
}

func TestToolThatNeedsMoreScopeNamesAllOfIt(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy)
	token := s.Login(t, s.Browser(), "ada").Access // scope "read"
	call := func(tool string) string {
		return fmt.Sprintf(`{"params":{"arguments":{"name":"look"},"name":%q},"method":"tools/call","id":"seven","jsonrpc":"2.0"}`, tool)
	}
	for what, c := range map[string]struct {
		body  string
		scope string // asked for; empty: the call goes through
	}{
		"a tool without needs":           {call("other"), ""},
		"a tool that is covered":         {call("look"), ""},
		"one scope more":                 {call("delete"), "read write"},
		"two scopes more":                {call("purge"), "read write admin"},
		"a name that no header can hold": {call("löschen"), "read write"},
		"a batch":                        {"[" + call("look") + "," + call("delete") + "]", "read write"},
		"no call":                        {message("prompts/get"), ""},
	} {
		a := send(t, s, token, c.body)
		if c.scope == "" {
			if a.Status != http.StatusOK {
				t.Errorf("%s: %d %s", what, a.Status, a.Body)
			}
			continue
		}
		wantRPC(t, what, a, http.StatusForbidden, -32000, "insufficient_scope")
		challenge := a.Header.Get("WWW-Authenticate")
		if !strings.HasPrefix(challenge, `Bearer resource_metadata="`+s.URL+`/.well-known/oauth-protected-resource/music/mcp", scope="`+c.scope+`"`) ||
			!strings.Contains(challenge, `error="insufficient_scope"`) {
			t.Errorf("%s: challenge %s", what, challenge)
		}
	}
	if a := send(t, s, token, call("delete")); a.JSON(t)["id"] != "seven" {
		t.Errorf("not an answer to the message: %s", a.Body)
	}
	encoded := "=?base64?" + base64.StdEncoding.EncodeToString([]byte("löschen")) + "?="
	a := send(t, s, token, call("löschen"), "Mcp-Method", "tools/call", "Mcp-Name", encoded, "Mcp-Protocol-Version", "2026-07-28")
	wantRPC(t, "an encoded name", a, http.StatusForbidden, -32000, "insufficient_scope")
	if !strings.Contains(s.Audit(), `"action":"access_rejected","tenant":"music"`) || !strings.Contains(s.Audit(), `"reason":"insufficient_scope"`) ||
		!slices.ContainsFunc(strings.Split(s.Audit(), "\n"), func(l string) bool {
			return strings.Contains(l, "insufficient_scope") && strings.Contains(l, `"sub":"ada"`)
		}) {
		t.Errorf("audit:\n%s", s.Audit())
	}
}

// A backend may want a user for what policy lets through.
func TestBackendThatWantsAUserStartsALogin(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy)
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="the backend's own"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	a := send(t, s, "", message("tools/list"))
	challenge := a.Header.Get("WWW-Authenticate")
	if a.Status != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer resource_metadata=") || strings.Contains(challenge, "error=") {
		t.Errorf("%d %q", a.Status, challenge)
	}
	if s.Fake.Refreshes() != 0 {
		t.Error("somebody's credential was renewed for nobody")
	}
}

// Nothing is looked into, and nothing refused for its form, where no policy
// depends on it.
func TestWithoutPolicyBodiesAreTheBackendsBusiness(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	for _, body := range []string{"", "no JSON", `{"method":"ping","method":"tools/call"}`} {
		if a := send(t, s, token, body, "Mcp-Method", "other", "Mcp-Param-Region", "eu", "Mcp-Protocol-Version", "1999-01-01"); a.Status != http.StatusOK {
			t.Errorf("%q: %d %s", body, a.Status, a.Body)
		} else if !strings.Contains(a.Body, `"Mcp-Param-Region":["eu"]`) || !strings.Contains(a.Body, `"Mcp-Method":["other"]`) {
			t.Errorf("headers were lost: %s", a.Body)
		}
	}
}
