package core_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/upstream"
)

func wantNoLeak(t *testing.T, what string, a coretest.Answer) {
	t.Helper()
	text := a.Body
	for name, values := range a.Header {
		if name != "Set-Cookie" {
			text += "\n" + name + ": " + strings.Join(values, ", ")
		}
	}
	if location, err := url.QueryUnescape(a.Header.Get("Location")); err == nil {
		text += "\n" + location
	}
	for _, word := range append(slices.Clip(inside), "engine-detail", "upstream-detail", "upstream-access", "upstream-refresh") {
		if strings.Contains(strings.ToLower(text), word) {
			t.Errorf("%s: the answer holds %q: %d %s", what, word, a.Status, text)
		}
	}
	if a.Status < 300 {
		t.Errorf("%s: %d, want an error", what, a.Status)
	}
}

func TestNoErrorTellsOfTheInside(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	user := s.Browser()
	tokens := s.Login(t, user, "ada")
	q := s.AuthorizeQuery("music", tokens.ClientID)
	with := func(name, value string) string {
		changed, _ := url.ParseQuery(q.Encode())
		changed.Set(name, value)
		return "/music/authorize?" + changed.Encode()
	}
	for _, target := range []string{
		"/", "/nobody/token", "/music/none", "/music/callback", "/music/callback?state=x", "/music/callback?state=" + strings.Repeat("x", 4000),
		"/music/callback?state=%00%0a", "/music/authorize", "/music/authorize?%zz", "/music/token", "/music/register", "/music/consent",
		"/music/mcp?access_token=" + tokens.Access, "/.well-known/none/music",
		with("client_id", "sp_cl_AAAA"), with("client_id", tokens.ClientID+"A"), with("client_id", "%00"), with("redirect_uri", "javascript:alert(1)"),
		with("redirect_uri", "http://127.0.0.1:1\\@x"), with("code_challenge", "x"), with("resource", "://"), with("response_type", "x"),
		with("request_uri", "urn:ietf:params:oauth:request_uri:AAAA"), with("request_uri", "https://127.0.0.1/x"),
	} {
		wantNoLeak(t, "GET "+target, s.Get(t, user, target))
	}
	for _, c := range []struct {
		target string
		form   url.Values
	}{
		{"/music/token", nil},
		{"/music/token", url.Values{"grant_type": {"x"}}},
		{"/music/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {"sp_cl_AAAA"}}},
		{"/music/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {tokens.ClientID}, "code": {"sp_ac_AAAA"}}},
		{"/music/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Access}}},
		{"/music/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Refresh}, "scope": {"admin"}}},
		{"/music/token", url.Values{"grant_type": {strings.Repeat("x", 70<<10)}}},
		{"/music/revoke", nil},
		{"/music/revoke", url.Values{"client_id": {"sp_cl_AAAA"}, "token": {tokens.Access}}},
		{"/music/revoke", url.Values{"client_id": {s.Register(t, "music")}, "token": {tokens.Access}}},
		{"/music/revoke", url.Values{"client_id": {tokens.ClientID}, "token": {strings.Repeat("x", 70<<10)}}},
		{"/music/introspect", nil},
		{"/music/introspect", url.Values{"client_id": {tokens.ClientID}, "token": {tokens.Access}}},
		{"/music/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {tokens.Access}}},
		{"/music/par", nil},
		{"/music/par", url.Values{"client_id": {"sp_cl_AAAA"}}},
		{"/music/par", url.Values{"client_id": {tokens.ClientID}, "request_uri": {"urn:ietf:params:oauth:request_uri:AAAA"}}},
		{"/music/consent", nil},
		{"/music/consent", url.Values{"request": {"%%%"}}},
		{"/music/consent", url.Values{"request": {strings.Repeat("A", 300)}, "decision": {"approve"}}},
	} {
		wantNoLeak(t, "POST "+c.target, s.PostForm(t, user, c.target, c.form))
	}
	for _, body := range []string{
		"", "{", "[]", "null", `{"redirect_uris":"x"}`, `{"redirect_uris":[1]}`, `{"redirect_uris":["x"]}`,
		`{"redirect_uris":["` + coretest.ClientCallback + strings.Repeat("x", 1200) + `"]}`,
		`{"redirect_uris":["` + coretest.ClientCallback + `"],"token_endpoint_auth_method":"private_key_jwt"}`,
	} {
		wantNoLeak(t, "register "+body[:min(len(body), 40)], s.PostJSON(t, "/music/register", body))
		wantNoLeak(t, "token as JSON", s.PostJSON(t, "/music/token", body))
	}
	for _, token := range []string{"", "x", "sp_at_", tokens.Refresh, tokens.Access + "A", strings.Repeat("x", 5000)} {
		wantNoLeak(t, "call", s.Call(t, "music", token))
	}
	s.Backend.Close()
	wantNoLeak(t, "backend down", s.Call(t, "music", tokens.Access))
}

func TestNoStoreFailureTellsOfTheInside(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, withServers, onMemory(driver))
	user := s.Browser()
	tokens := s.Login(t, user, "ada")
	fresh, id := code(t, s)
	state := s.Consent(t, user, "music", s.AuthorizeQuery("music", tokens.ClientID), "approve").Query().Get("state")
	s.Forget()
	driver.Fail(func(op, key string) error {
		return errors.New("redis: engine-detail " + op + " " + key + " at bolt.go:12")
	})
	again := url.Values{"grant_type": {"refresh_token"}, "client_id": {tokens.ClientID}, "refresh_token": {tokens.Refresh}}
	for what, a := range map[string]coretest.Answer{
		"redeem":   redeem(t, s, "music", fresh, id, nil),
		"refresh":  s.PostForm(t, nil, "/music/token", again),
		"call":     s.Call(t, "music", tokens.Access),
		"revoke":   revoke(t, s, tokens.Access, tokens.ClientID, nil),
		"inspect":  introspect(t, s, tokens.Access),
		"exchange": exchange(t, s, tokens.Access, nil),
		"callback": s.Get(t, user, "/music/callback?code=ada&state="+state),
	} {
		wantNoLeak(t, what, a)
		if a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503: %s", what, a.Status, a.Body)
		}
		if strings.Contains(a.Body, "invalid_grant") || a.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%s: the client would throw its token away: %s", what, a.Body)
		}
	}
	driver.Fail(nil)
	if m := introspect(t, s, tokens.Access).JSON(t); m["active"] != true || len(s.Fake.Revoked()) > 0 {
		t.Errorf("after the failure: %v, revoked at the upstream %v", m, s.Fake.Revoked())
	}
	if a := s.PostForm(t, nil, "/music/token", again); a.Status != http.StatusOK {
		t.Errorf("refresh after the failure: %d %s", a.Status, a.Body)
	}
}

// failure is something that goes wrong inside while a request is answered. It
// tells how often it may: at the first operation, at the second, and so on.
type failure struct {
	what     string
	statuses []int // from 500 up, that an answer may have then
	// inject has the nth operation fail and returns how to undo that and how many
	// operations there were.
	inject func(w *world, nth int) (undo func() int)
}

// Nothing of the inside reaches an answer, a log or an audit line that has no
// business there, whichever route is asked and whatever fails behind it: the
// store at any of its operations, the upstream in every way it can, the backend,
// the network, our own code.
func TestNothingInsideIsToldWhateverFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	routes := everywhere()
	mounted := map[string]bool{}
	for _, route := range w.server.Routes() {
		mounted[route.Path] = true
		for _, method := range route.Methods {
			if !slices.ContainsFunc(routes[route.Path], func(a arrival) bool { return a.method == method }) {
				t.Errorf("%s %s is mounted, and no request here asks it", method, route.Path)
			}
		}
	}
	failed := map[string]int{}
	for path, arrivals := range routes {
		if !mounted[path] && path != onOperator {
			t.Errorf("%s is not mounted", path)
		}
		for _, a := range arrivals {
			well, sent := w.answer(t, a)
			if well == nil || well.Code >= 400 {
				t.Fatalf("%+v does not go all the way: %v", a, well)
			}
			w.checkAnswer(t, a, well, sent)
			for _, f := range failures() {
				for nth, more := 0, true; more && nth < 20; nth++ {
					undo := f.inject(w, nth)
					ill, sent := w.answer(t, a)
					more = undo() > nth
					if !more {
						break
					}
					failed[f.what]++
					w.checkAnswer(t, a, ill, sent, f.statuses...)
					if strings.HasPrefix(f.what, "the store") {
						w.checkBlame(t, a, well, ill)
					}
				}
			}
		}
	}
	for _, f := range failures() {
		if failed[f.what] == 0 {
			t.Errorf("%s: no request came so far", f.what)
		}
	}
	t.Logf("%d routes, %v", len(routes), failed)
}

func failures() []failure {
	all := []failure{
		{"the store", []int{503}, func(w *world, nth int) func() int {
			n := 0
			w.store.Fail(func(op, key string) error {
				if n++; n-1 == nth {
					return fmt.Errorf("redis: %s %s %s at bolt.go:12", canary, op, key)
				}
				return nil
			})
			return func() int { w.store.Fail(nil); return n }
		}},
		{"the store from then on", []int{503}, func(w *world, nth int) func() int {
			n := 0
			w.store.Fail(func(op, key string) error {
				if n++; n > nth {
					return fmt.Errorf("redis: %s %s %s at bolt.go:12", canary, op, key)
				}
				return nil
			})
			return func() int { w.store.Fail(nil); return n }
		}},
		upstreamFailure("a panic in a provider", []int{500, 502}, func() error { panic("runtime error: " + canary) }),
		upstreamFailure("an upstream error of no kind", []int{503}, func() error { return errors.New("dial tcp 10.0.0.1:443: " + canary) }),
		backendFailure("a backend that is not there", []int{502}, func() (*http.Response, error) {
			return nil, errors.New("dial tcp 10.0.0.1:9000: " + canary)
		}),
		backendFailure("a backend that answers nothing", []int{502}, func() (*http.Response, error) { return nil, errors.New("EOF") }),
		backendFailure("a panic on the way to the backend", []int{500}, func() (*http.Response, error) { panic("runtime error: " + canary) }),
		backendFailure("a backend that breaks off", nil, func() (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, Header: http.Header{"Mcp-From-Backend": {"yes"}}, Body: broken{}, ContentLength: -1}, nil
		}),
		backendFailure("a backend that speaks for the gateway", []int{502}, func() (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusUnauthorized, ProtoMajor: 1, ContentLength: -1, Body: http.NoBody,
				Header: http.Header{"Www-Authenticate": {`Bearer error="` + canary + `"`}, "Set-Cookie": {"sp_form=" + canary}, "Access-Control-Allow-Origin": {"https://" + canary}},
			}, nil
		}),
	}
	for _, kind := range []upstream.Kind{
		upstream.AccessDenied, upstream.InvalidGrant, upstream.InvalidScope, upstream.InteractionRequired,
		upstream.RateLimited, upstream.Unavailable, upstream.Misconfigured, upstream.Bug,
	} {
		all = append(all, upstreamFailure("upstream: "+string(kind), []int{502, 503}, func() error {
			return &upstream.Error{Kind: kind, Detail: canary + " at x.go:1", Err: errors.New("dial tcp 10.0.0.1:443: " + canary)}
		}))
	}
	return all
}

func upstreamFailure(what string, statuses []int, fault func() error) failure {
	return failure{what, statuses, func(w *world, nth int) func() int {
		n := 0
		w.up.fail = func(string) error {
			if n++; n-1 == nth {
				return fault()
			}
			return nil
		}
		return func() int { w.up.fail = nil; return n }
	}}
}

func backendFailure(what string, statuses []int, fault func() (*http.Response, error)) failure {
	return failure{what, statuses, func(w *world, nth int) func() int {
		n := 0
		w.backend.fail = func(r *http.Request) (*http.Response, error) {
			if n++; n-1 != nth {
				return w.backend.good(r), nil
			}
			res, err := fault()
			if res != nil {
				res.Request = r
			}
			return res, err
		}
		return func() int { w.backend.fail = nil; return n }
	}}
}

// broken is a body that ends in trouble.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("read tcp 10.0.0.1:9000: " + canary) }
func (broken) Close() error             { return nil }

// What strangers have us fetch fails in its own way.
func TestFetchThatFailsTellsNothing(t *testing.T) {
	t.Parallel()
	for what, resolve := range map[string]func() ([]netip.Addr, error){
		"no such name": func() ([]netip.Addr, error) {
			return nil, errors.New("lookup documents.example on 10.0.0.1:53: " + canary)
		},
		"an address inside":  func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil },
		"nobody there":       func() ([]netip.Addr, error) { return nil, nil },
		"a resolver's panic": func() ([]netip.Addr, error) { return nil, errors.New("runtime error: " + canary) },
	} {
		w := newWorld(t)
		w.resolve = resolve
		for _, a := range []arrival{
			{"GET", "mcp.example", "/music/authorize", strings.ReplaceAll(goodAuthorize, "{client}", "https://documents.example/c.json"), "", ""},
			{"POST", "mcp.example", "/music/token", "", asForm, "grant_type=refresh_token&refresh_token={refresh}&client_id=https://documents.example/d.json"},
			{"POST", "mcp.example", "/music/par", "", asForm, "client_id=https://documents.example/e.json"},
			{"POST", "mcp.example", "/music/revoke", "", asForm, "token=x&client_id=https://documents.example/f.json"},
		} {
			rec, sent := w.answer(t, a)
			if rec.Code < 400 {
				t.Errorf("%s: %+v: %d", what, a, rec.Code)
			}
			w.checkAnswer(t, a, rec, sent, 503)
		}
	}
}
