package core_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// Every endpoint, through the whole server: whatever arrives, the answer is held
// to checkAnswer. The seeds are requests that go all the way, so that a mutation
// begins deep inside; what they name in braces the world fills in.

const (
	asForm  = "Content-Type: application/x-www-form-urlencoded"
	asJSON  = "Content-Type: application/json"
	bearer  = "Authorization: Bearer {access}"
	cookies = "Cookie: {cookies}"
)

// fuzz takes the places that the seeds are for, and fuzzes all the rest of a
// request. Bit i of fails says that the i-th operation of the store fails.
func fuzz(f *testing.F, seeds ...arrival) {
	w := newWorld(f)
	var places []arrival
	for _, s := range seeds {
		here := arrival{method: s.method, host: s.host, path: s.path}
		at := len(places)
		for i, p := range places {
			if p == here {
				at = i
			}
		}
		if at == len(places) {
			places = append(places, here)
		}
		for _, fails := range []uint16{0, 1, 2, 4, 0xffff} {
			f.Add(uint8(at), s.query, s.headers, s.body, fails)
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, query, headers, body string, fails uint16) {
		a := places[int(at)%len(places)]
		a.query, a.headers, a.body = query, headers, body
		w.try(t, a, fails)
	})
}

// try asks, and if the store is to fail asks again while it does.
func (w *world) try(t testing.TB, a arrival, fails uint16) {
	t.Helper()
	well, sent := w.answer(t, a)
	if well == nil {
		return
	}
	w.checkAnswer(t, a, well, sent)
	if fails == 0 {
		return
	}
	op := 0
	w.store.Fail(func(op_, key string) error {
		i := op % 16
		if op++; fails>>i&1 == 1 {
			return errors.New("redis: " + canary + " " + op_ + " " + key + " at bolt.go:12")
		}
		return nil
	})
	ill, sent := w.answer(t, a)
	w.store.Fail(nil)
	w.checkAnswer(t, a, ill, sent, http.StatusServiceUnavailable)
	w.checkBlame(t, a, well, ill)
}

// checkBlame: that the store fails is nobody's fault. An answer is then what it
// would have been, or says that it is to be asked for again (which 429 does for
// deletions, of which a fuzzer makes too many); it never is a refusal for which
// a client throws away what it has.
func (w *world) checkBlame(t testing.TB, a arrival, well, ill *httptest.ResponseRecorder) {
	t.Helper()
	if ill.Code == http.StatusServiceUnavailable && ill.Header().Get("Retry-After") == "" {
		t.Errorf("%+v: when to come back?", a)
	}
	again := ill.Code == http.StatusServiceUnavailable || ill.Code == http.StatusTooManyRequests
	if ill.Code >= 400 && ill.Code != well.Code && !again {
		t.Errorf("%+v\n%d %s\nwith a store that fails: %d %s", a, well.Code, well.Body, ill.Code, ill.Body)
	}
	if code := told(ill); code != "" && code != "temporarily_unavailable" && code != told(well) {
		t.Errorf("%+v\nthe client is told %q, with a store that fails %q", a, told(well), code)
	}
}

// told is the error that the client is sent back with.
func told(rec *httptest.ResponseRecorder) string {
	to := rec.Header().Get("Location")
	if match := onward.FindStringSubmatch(rec.Body.String()); match != nil {
		to = strings.ReplaceAll(match[1], "&amp;", "&")
	}
	u, err := url.Parse(to)
	if err != nil {
		return ""
	}
	return u.Query().Get("error")
}

const goodAuthorize = "response_type=code&client_id={client}&redirect_uri={callback}&state=client%2Bstate%2F%3D%3D" +
	"&code_challenge={challenge}&code_challenge_method=S256&scope=read+write&resource=https://mcp.example/music/mcp"

func FuzzAuthorize(f *testing.F) {
	at := func(query, headers string) arrival {
		return arrival{"GET", "mcp.example", "/music/authorize", query, headers, ""}
	}
	fuzz(
		f, at(goodAuthorize, ""), at(goodAuthorize, cookies+"\nSec-Fetch-Site: cross-site"), at("client_id={client}&request_uri={pushed}", cookies),
		at(strings.ReplaceAll(goodAuthorize, "{client}", "{web}"), ""), at(goodAuthorize+"&prompt=none", ""), at(goodAuthorize+"&resource=https://elsewhere.example", ""),
		at("client_id=known&redirect_uri=https://claude.ai/api/mcp/auth_callback&response_type=token&state=%00%0a%22%3Cscript%3E", ""),
		at(strings.Replace(goodAuthorize, "{callback}", "http%3A%2F%2F127.0.0.1%3A1%2Fcallback", 1), ""),
		at("client_id=https://client.example/c.json&redirect_uri={callback}", ""), at(goodAuthorize+"&client_id={web}", ""), at("%zz;&client_id={client}", ""),
		at(strings.Replace(goodAuthorize, "{callback}", "javascript:alert(1)", 1), ""),
		arrival{"GET", "octo.example", "/authorize", strings.ReplaceAll(goodAuthorize, "{client}", "{octoclient}"), "", ""},
	)
}

func FuzzPushedAuthorization(f *testing.F) {
	at := func(headers, body string) arrival {
		return arrival{"POST", "mcp.example", "/music/par", "", headers, body}
	}
	fuzz(
		f, at(asForm, goodAuthorize), at(asForm, strings.ReplaceAll(goodAuthorize, "{client}", "{web}")+"&client_secret={websecret}"),
		at(asForm+"\nAuthorization: Basic a25vd246e2tub3duc2VjcmV0fQ==", "response_type=code"), at(asForm, "client_id={client}&request_uri={pushed}"),
		at(asForm, goodAuthorize+"&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.e30.e30"),
		at(asJSON, `{"client_id":"{client}"}`), at(asForm, goodAuthorize+"&state="+strings.Repeat("s", 4000)),
	)
}

func FuzzConsent(f *testing.F) {
	at := func(headers, body string) arrival {
		return arrival{"POST", "mcp.example", "/music/consent", "", headers, body}
	}
	fuzz(
		f, at(asForm+"\n"+cookies, "request={form}&decision=approve"), at(asForm+"\n"+cookies, "request={form}&decision=deny"), at(asForm, "request={form}&decision=approve"),
		at(asForm+"\n"+cookies+"\nSec-Fetch-Site: same-origin", "request={form}&decision=approve&redirect_uri=https://evil.example"),
		at(asForm+"\n"+cookies+"\nSec-Fetch-Site: cross-site", "request={form}&decision=approve"), at(asForm+"\n"+cookies, "request={visit}&decision=approve"),
		at("Content-Type: multipart/form-data; boundary=x\n"+cookies, "--x\r\n"), at(asForm+"\nCookie: __Host-sp_form=\n"+cookies, "request=%00"),
		arrival{"POST", "octo.example", "/consent", "", asForm + "\n" + cookies, "request={form}&decision=approve"},
	)
}

func FuzzCallback(f *testing.F) {
	at := func(query, headers string) arrival {
		return arrival{"GET", "mcp.example", "/music/callback", query, headers, ""}
	}
	fuzz(
		f, at("code=ada&state={state}", cookies), at("code=ada&state={state}", ""), at("error=access_denied&error_description=x&state={state}", cookies),
		at("code=&state={state}&iss=https://evil.example&redirect_uri=https://evil.example", cookies), at("state=music.&code=ada", cookies), at("state=octo.x", cookies),
		at("code=ada&state={state}&state=x", cookies), at("%zz&state={state}", cookies), at("state=//evil.example/.x", ""),
		arrival{"GET", "login.example", "/callback", "code=ada&state={state}", cookies, ""}, arrival{"GET", "login.example", "/callback", "state=octo.x", "", ""},
		arrival{"GET", "login.example", "/callback", "state=music.b&state=octo.c&x=%zz;", "", ""}, arrival{"GET", "login.example", "/callback", "state=music.x%0d%0aSet-Cookie:x", "", ""},
		arrival{"GET", "octo.example", "/callback", "code=ada&state={state}", cookies, ""},
	)
}

func FuzzToken(f *testing.F) {
	const exchange = "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token={access}&subject_token_type=urn:ietf:params:oauth:token-type:access_token"
	at := func(headers, body string) arrival {
		return arrival{"POST", "mcp.example", "/music/token", "", headers, body}
	}
	good := "grant_type=authorization_code&code={code}&client_id={client}&redirect_uri={callback}&code_verifier={verifier}"
	again := "grant_type=refresh_token&refresh_token={refresh}&client_id={client}"
	fuzz(
		f, at(asForm, good), at(asForm, again), at(asForm, again+"&scope=read&resource=https://mcp.example/music"), at(asForm, again+"&scope=read+write"),
		at(asForm, strings.Replace(good, "{client}", "{web}", 1)+"&client_secret={websecret}"), at(asForm, strings.Replace(good, "{verifier}", "x", 1)),
		at(asForm, strings.Replace(again, "{refresh}", "{access}", 1)), at(asForm+"\nAuthorization: Basic {apibasic}", exchange), at(asForm+"\nAuthorization: Basic {apibasic}", strings.Replace(exchange, "{access}", "{due}", 1)), at(asForm, exchange+"&client_id=api&client_secret={apisecret}&audience=fake"),
		at(asForm+"\nAuthorization: Basic e2NsaWVudH06", again), at(asForm+"\nAuthorization: Bearer {access}", again), at(asForm, good+"&resource=https://elsewhere.example"),
		at(asForm, "grant_type=refresh_token&refresh_token=x&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=eyJhbGciOiJub25lIn0.eyJpc3MiOiJrbm93biIsInN1YiI6Imtub3duIn0."),
		at(asForm, "grant_type=refresh_token&refresh_token={refresh}&client_id=known&client_secret={knownsecret}"), at(asJSON, "{}"), at(asForm, good+"&code={code}"),
		arrival{"POST", "octo.example", "/token", "", asForm + "\nAuthorization: Basic {edgebasic}", strings.Replace(exchange, "{access}", "{octoaccess}", 1)},
	)
}

func FuzzRegister(f *testing.F) {
	at := func(body string) arrival { return arrival{"POST", "mcp.example", "/music/register", "", asJSON, body} }
	fuzz(
		f, at(`{"client_name":"App","redirect_uris":["{callback}"],"token_endpoint_auth_method":"none"}`),
		at(`{"client_name":"<b>\u202e\"A\"</b>","redirect_uris":["https://claude.ai/api/mcp/auth_callback","cursor://anysphere.cursor-mcp/oauth/callback"],"application_type":"native","grant_types":["x"],"scope":""}`),
		at(`{"redirect_uris":["{callback}"],"token_endpoint_auth_method":"private_key_jwt","jwks_uri":"https://a.example/jwks"}`), at(`{"redirect_uris":["javascript:alert(1)"]}`),
		at(`{"redirect_uris":["https://evil.example/cb"]}`), at(`{"redirect_uris":["http://127.0.0.1:1\\@x/"]}`), at(`[]`), at(`{`), at(`{"redirect_uris":null,"jwks":{}}`),
		arrival{"POST", "octo.example", "/register", "", asJSON, `{"redirect_uris":["{callback}"]}`},
	)
}

func FuzzManageRegistration(f *testing.F) {
	var seeds []arrival
	for _, method := range []string{"GET", "DELETE", "PUT"} {
		for _, path := range []string{"/music/register/{web}", "/music/register/{client}", "/music/register/x"} {
			for _, headers := range []string{"Authorization: Bearer {manage}", "Authorization: bearer {websecret}", "Authorization: Basic {manage}", bearer, ""} {
				seeds = append(seeds, arrival{method, "mcp.example", path, "", headers, ""})
			}
		}
	}
	fuzz(f, seeds...)
}

func FuzzRevoke(f *testing.F) {
	at := func(headers, body string) arrival {
		return arrival{"POST", "mcp.example", "/music/revoke", "", headers, body}
	}
	fuzz(
		f, at(asForm, "token={access}&client_id={client}"), at(asForm, "token={refresh}&client_id={client}&token_type_hint=refresh_token"), at(asForm, "token={code}&client_id={client}"),
		at(asForm, "token={access}&client_id={web}&client_secret={websecret}"), at(asForm, "token=x&client_id={client}"), at(asForm+"\nAuthorization: Basic {apibasic}", "token={access}"),
		arrival{"POST", "octo.example", "/revoke", "", asForm, "token={octoaccess}&client_id={octoclient}"},
	)
}

func FuzzIntrospect(f *testing.F) {
	at := func(headers, body string) arrival {
		return arrival{"POST", "mcp.example", "/music/introspect", "", headers, body}
	}
	fuzz(
		f, at(asForm+"\nAuthorization: Basic {apibasic}", "token={access}"), at(asForm, "token={access}&client_id=api&client_secret={apisecret}"), at(asForm+"\nAuthorization: Basic {apibasic}", "token={refresh}"),
		at(asForm, "token={access}&client_id={client}"), at(asForm+"\nAuthorization: Basic {apibasic}", "token={octoaccess}"), at(asForm+"\nAuthorization: Basic Og==", "token="),
		arrival{"POST", "octo.example", "/introspect", "", asForm + "\nAuthorization: Basic {edgebasic}", "token={octoaccess}"},
	)
}

func FuzzConnections(f *testing.F) {
	at := func(method, query, headers, body string) arrival {
		return arrival{method, "mcp.example", "/music/connections", query, headers, body}
	}
	post := asForm + "\n" + cookies
	fuzz(
		f, at("GET", "", cookies, ""), at("GET", "notice=ended", "", ""), at("GET", "notice=%3Cscript%3E", cookies, ""), at("POST", "", post, "request={visit}&do=end-all"),
		at("POST", "", post, "request={visit}&do=sign-in"), at("POST", "", post, "request={visit}&do=sign-out"), at("POST", "", post, "request={visit}&end=AAAAAAAAAAAAAAAAAAAAAA"),
		at("POST", "", post, "request={form}&do=end-all"), at("POST", "", asForm, "request={visit}&do=end-all"), at("POST", "", post+"\nSec-Fetch-Site: cross-site", "request={visit}&do=end-all"),
		arrival{"GET", "octo.example", "/connections", "", cookies, ""},
	)
}

func FuzzMCP(f *testing.F) {
	var seeds []arrival
	for _, path := range []string{"/music/mcp", "/music/mcp/", "/music/mcp/files", "/music/mcp/none"} {
		at := func(method, query, headers, body string) {
			seeds = append(seeds, arrival{method, "mcp.example", path, query, headers, body})
		}
		call := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"look"}}`
		at("POST", "", bearer+"\n"+asJSON, call)
		at("POST", "", bearer+"\n"+asJSON+"\nMcp-Protocol-Version: 2026-07-28\nMcp-Method: tools/call\nMcp-Name: look\nMcp-Param-City: x", call)
		at("POST", "", bearer+"\n"+asJSON+"\nMcp-Method: ping", call)
		at("POST", "", bearer+"\n"+asJSON+"\nMcp-Session-Id: x\nMcp-Protocol-Version: 2025-11-25", strings.Replace(call, "look", "delete", 1))
		at("POST", "", "Authorization: Bearer {due}\n"+asJSON, call)
		at("POST", "", asJSON, `{"jsonrpc":"2.0","id":"a","method":"ping"}`)
		at("POST", "", asJSON, `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"tools/call"}]`)
		at("POST", "", bearer+"\n"+asJSON, strings.Replace(call, "look", "backend-says-401", 1))
		at("POST", "access_token={access}", asJSON, call)
		at("GET", "cursor=a%2Fb", bearer+"\nAccept: text/event-stream\nLast-Event-ID: 1\nOrigin: https://claude.ai\nCookie: a=b\nX-Sallyport-Assertion: x\nX-Api-Key: x", "")
		at("DELETE", "", bearer+"\nMcp-Session-Id: x\nOrigin: https://evil.example", "")
		at("POST", "", "Authorization: Bearer {refresh}\n"+asJSON+"; charset=utf-16", call)
		at("OPTIONS", "", "Origin: https://claude.ai\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: authorization,mcp-param-x", "")
	}
	fuzz(f, seeds...)
}

func FuzzForwardAuth(f *testing.F) {
	const proxy = "Proxy-Authorization: Basic {edgebasic}\nAuthorization: Bearer {octoaccess}\n"
	var seeds []arrival
	for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS"} {
		for _, headers := range []string{
			proxy + "X-Forwarded-Uri: /mcp?a=b\nMcp-Protocol-Version: 2026-07-28\nMcp-Method: tools/call\nMcp-Name: look", proxy + "X-Original-Uri: /mcp?access_token=x",
			proxy + "Origin: https://evil.example", strings.Replace(proxy, "{octoaccess}", "{octodue}", 1), "Authorization: Bearer {octoaccess}", "Proxy-Authorization: Basic Og==\nAuthorization: Bearer x",
			"Proxy-Authorization: Basic {edgebasic}", proxy + "X-Forwarded-Host: mcp.example\nX-Forwarded-Uri: /music/mcp",
		} {
			for _, path := range []string{"/forward-auth/octo", "/forward-auth/octo/mcp", "/forward-auth/music", "/forward-auth/none"} {
				seeds = append(seeds, arrival{method, operatorHost, path, "", headers, ""})
			}
		}
	}
	fuzz(f, seeds...)
}

// FuzzPath has any method, host and path: documents and key sets, and whatever
// is nowhere.
func FuzzPath(f *testing.F) {
	w := newWorld(f)
	for _, host := range []string{"mcp.example", "octo.example", "login.example", "MCP.example:443", "evil.example", "", "[::1]:80"} {
		for _, path := range []string{
			"/.well-known/oauth-authorization-server/music", "/.well-known/openid-configuration/music", "/music/.well-known/oauth-authorization-server", "/music/.well-known/jwks.json",
			"/.well-known/oauth-protected-resource/music/mcp", "/.well-known/oauth-protected-resource/music/mcp/files", "/.well-known/oauth-protected-resource/music", "/.well-known/jwks.json",
			"/.well-known/oauth-authorization-server", "/callback", "/", "/music", "/music/", "//music//mcp", "/music/../octo/token", "/music/%2e%2e/token", "/.well-known/", "/music/mcp/files/x",
		} {
			f.Add("GET", host, path, "Origin: https://inspector.example\nX-Forwarded-Host: evil.example\nX-Forwarded-Proto: http", uint16(0))
		}
	}
	f.Fuzz(func(t *testing.T, method, host, path, headers string, fails uint16) {
		if method == "" || strings.ContainsFunc(method, notToken) || strings.ToUpper(method) != method {
			return
		}
		a := arrival{method: method, host: host, path: path, headers: headers}
		if rec, _ := w.answer(t, a); rec != nil && rec.Code == http.StatusNotImplemented { // a method that nobody has, RFC 9110 §15.6.2
			return
		}
		w.try(t, a, fails)
	})
}
