package plugins

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

func TestExchangeOfTwoRequests(t *testing.T) {
	r := newRig(t)
	cred, err := exchange(t, r.bind(t, "happy"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"POST /token grant_type=exchange&client_id=client+one&client_secret=" + url.QueryEscape(secret),
		"GET /user ",
	}
	if got := r.requests(); !slices.Equal(got, want) {
		t.Errorf("requests %q", got)
	}
	if cred.AccessToken.Reveal() != "at-1-abcdefgh" || cred.Account.ID != "42" || cred.Account.Name != "Ada" ||
		!cred.ExpiresAt.Equal(startTime().Add(time.Hour)) || !slices.Equal(cred.Scopes, []string{"read"}) {
		t.Errorf("credential %+v", cred)
	}
	if !strings.Contains(r.log.String(), "op=exchange runs=3 requests=2") {
		t.Errorf("want three runs for two requests: %s", r.log)
	}
	if r.auth[1] != "Bearer at-1-abcdefgh" {
		t.Errorf("second request carries %q", r.auth[1])
	}
}

func TestBasicIsFormEncoded(t *testing.T) {
	r := newRig(t)
	if _, err := exchange(t, r.bind(t, "basic")); err != nil {
		t.Fatal(err)
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("client+one:"+url.QueryEscape(secret)))
	if r.auth[0] != want || strings.Contains(r.requests()[0], "secret") {
		t.Errorf("got %q in %q", r.auth[0], r.requests()[0])
	}
}

func TestWaitIsAStep(t *testing.T) {
	r := newRig(t)
	if _, err := exchange(t, r.bind(t, "wait")); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.log.String(), "runs=4 requests=2") {
		t.Errorf("log: %s", r.log)
	}
}

func TestClientAuthInTheBody(t *testing.T) {
	places := secretPlaces{urls: []string{"https://a.example:443/token?"}}
	c := &conversation{provider: &provider{module: &Module{}, places: places, binding: Binding{ClientID: "id", ClientSecret: seal.NewSecret("se&cret")}}, secret: &redactor{}}
	to := &url.URL{Scheme: "https", Host: "a.example", Path: "/token"}
	tests := []struct {
		name, contentType, body string
		auth                    abi.ClientAuth
		want                    string
		kind                    upstream.Kind
	}{
		{"none", formType, "a=b", abi.ClientAuth{Method: abi.AuthNone}, "a=b&client_id=id", ""},
		{"no body", "", "", abi.ClientAuth{Method: abi.AuthPost}, "client_id=id&client_secret=se%26cret", ""},
		{"renamed", formType + "; charset=utf-8", "a=b", abi.ClientAuth{Method: abi.AuthPost, IDParam: "key", SecretParam: "secret"}, "a=b&key=id&secret=se%26cret", ""},
		{"there already", formType, "client_id=id", abi.ClientAuth{Method: abi.AuthNone}, "client_id=id", ""},
		{"another there", formType, "client_id=x", abi.ClientAuth{Method: abi.AuthNone}, "", upstream.Bug},
		{"json", jsonType, `{"z":1}`, abi.ClientAuth{Method: abi.AuthPost}, `{"client_id":"id","client_secret":"se\u0026cret","z":1}`, ""},
		{"json list", jsonType, `[1]`, abi.ClientAuth{Method: abi.AuthPost}, "", upstream.Bug},
		{"text", "text/plain", "x", abi.ClientAuth{Method: abi.AuthPost}, "", upstream.Bug},
		{"no key", formType, "", abi.ClientAuth{Method: abi.AuthPrivateKeyJWT}, "", upstream.Misconfigured},
		{"unknown", formType, "", abi.ClientAuth{Method: "mtls"}, "", upstream.Bug},
	}
	for _, tt := range tests {
		header := map[string][]string{}
		if tt.contentType != "" {
			header["Content-Type"] = []string{tt.contentType}
		}
		got, err := c.authenticate(&tt.auth, "POST", to, header, []byte(tt.body))
		if string(got) != tt.want || err != nil != (tt.kind != "") || err != nil && upstream.KindOf(err) != tt.kind {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "se&cret") {
			t.Errorf("%s: the error tells the secret: %v", tt.name, err)
		}
	}
	c.binding.ClientSecret = seal.Secret{}
	if _, err := c.authenticate(&abi.ClientAuth{Method: abi.AuthBasic}, "POST", to, map[string][]string{}, nil); upstream.KindOf(err) != upstream.Misconfigured {
		t.Errorf("no secret: %v", err)
	}
}

func TestFailuresBecomeKinds(t *testing.T) {
	tests := []struct {
		mode     string
		kind     upstream.Kind
		want     string
		requests int
	}{
		{"undeclared", upstream.Misconfigured, "other.example:443 is none of", 0},
		{"host-header", upstream.Bug, "Host is not for the caller", 0},
		{"redirect", upstream.Unavailable, "302", 1},
		{"large", upstream.Unavailable, "sent more than 262144 bytes", 1},
		{"exit", upstream.Bug, "it called exit(3)", 0},
		{"panic", upstream.Bug, "panic: nil map of [redacted]", 0},
		{"bomb", upstream.Bug, "out of memory", 0},
		{"loop", upstream.Bug, "and was stopped; it last said: about to loop", 0},
		{"recurse", upstream.Bug, "used up its fuel", 0},
		{"not-json", upstream.Bug, "not the JSON it should be", 0},
		{"out-of-range", upstream.Bug, "pointer outside its memory", 0},
		{"two-members", upstream.Bug, "has 2 of request, result, error and wait_ms", 0},
		{"huge", upstream.Bug, "at most 262144", 0},
		{"kind", upstream.Bug, `unknown error kind "whatever"`, 0},
		{"sleep", upstream.Unavailable, "3600000", 0},
		{"endless", upstream.Bug, "more than 8 steps", 8},
	}
	r := newRig(t)
	other := r.bind(t, "happy")
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			r.pass(2 * circuitWindow) // what came before does not count
			p := r.bind(t, tt.mode)
			before, started := len(r.requests()), time.Now()
			_, err := exchange(t, p)
			if upstream.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want kind %s and %q", err, tt.kind, tt.want)
			}
			if n := len(r.requests()) - before; n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if _, err := exchange(t, other); err != nil {
				t.Errorf("another tenant: %v", err)
			}
		})
	}
}

func TestOthersRunWhileOneLoops(t *testing.T) {
	r := newRig(t)
	looping, other := r.bind(t, "loop"), r.bind(t, "happy")
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := exchange(t, looping); upstream.KindOf(err) != upstream.Bug {
			t.Errorf("loop: %v", err)
		}
	})
	if _, err := exchange(t, other); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestUnlistedPrivateAddress(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Fetch = fetch.New(fetch.Config{}) })
	b := r.binding("happy")
	_, err := exchange(t, r.bind(t, "happy"))
	if upstream.KindOf(err) != upstream.Misconfigured || !strings.Contains(err.Error(), r.hostport()) {
		t.Errorf("http: %v", err)
	}
	b.Settings["base"] = strings.Replace(r.upstream.URL, "http:", "https:", 1)
	p, err := r.host.Bind(t.Context(), "probe", b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = exchange(t, p)
	if upstream.KindOf(err) != upstream.Misconfigured || !errors.Is(err, fetch.ErrAddressNotAllowed) {
		t.Errorf("https: %v", err)
	}
	if len(r.requests()) != 0 {
		t.Errorf("requests %v", r.requests())
	}
}

func TestOnlyIdempotentRequestsAreSentAgain(t *testing.T) {
	r := newRig(t)
	r.fail["/token"] = 1
	if _, err := exchange(t, r.bind(t, "happy")); upstream.KindOf(err) != upstream.Unavailable || len(r.requests()) != 1 {
		t.Errorf("once only: %v, %d requests", err, len(r.requests()))
	}
	r.fail["/token"] = 1
	if _, err := exchange(t, r.bind(t, "idempotent")); err != nil || len(r.requests()) != 4 {
		t.Errorf("idempotent: %v, %d requests", err, len(r.requests()))
	}
}

func TestFailureTellsWhetherTheUpstreamMayHaveActed(t *testing.T) {
	for name, c := range map[string]struct {
		mode    string
		disturb func(*rig, *memory)
		lost    bool
	}{
		"no connection":            {"happy", func(r *rig, _ *memory) { r.upstream.Close() }, false},
		"hung up":                  {"happy", func(r *rig, _ *memory) { r.fail["/token"] = 1 }, true},
		"hung up on a question":    {"idempotent", func(r *rig, _ *memory) { r.fail["/token"] = 2 }, false},
		"broke down":               {"happy", func(r *rig, _ *memory) { r.say["/token"] = 503 }, true},
		"broke down on a question": {"happy", func(r *rig, _ *memory) { r.say["/user"] = 503 }, false},
		"said no":                  {"happy", func(r *rig, _ *memory) { r.say["/token"] = 429 }, false},
		"answer not kept":          {"happy", func(_ *rig, j *memory) { j.fail = errors.New("down") }, true},
		"answer kept, not read":    {"buggy", func(r *rig, _ *memory) {}, false},
		"not allowed":              {"undeclared", func(*rig, *memory) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, j := newRig(t), &memory{}
			p := r.bind(t, c.mode)
			c.disturb(r, j)
			_, err := refresh(t, p, j)
			if e, ok := errors.AsType[*upstream.Error](err); !ok || e.Lost != c.lost {
				t.Errorf("%v, lost %v; want %v", err, e.Lost, c.lost)
			}
		})
	}
}

func TestAuthorizeURLIsChecked(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		mode string
		kind upstream.Kind
	}{
		{"happy", ""}, {"no-state", upstream.Bug}, {"two-states", upstream.Bug},
		{"no-challenge", upstream.Bug}, {"phish", upstream.Misconfigured},
		{"script", upstream.Misconfigured}, {"fragment", upstream.Bug}, {"long", upstream.Bug},
	}
	for _, tt := range tests {
		got, err := r.bind(t, tt.mode).Authorize(t.Context(), upstream.AuthorizeRequest{State: "st-1", CodeChallenge: "ch-1"})
		if tt.kind == "" {
			if err != nil || got != r.upstream.URL+"/authorize?state=st-1&code_challenge=ch-1" {
				t.Errorf("%s: %q, %v", tt.mode, got, err)
			}
		} else if got != "" || upstream.KindOf(err) != tt.kind {
			t.Errorf("%s: %q, %v", tt.mode, got, err)
		}
	}
}

func TestSecretsStayOutside(t *testing.T) {
	r := newRig(t)
	_, err := exchange(t, r.bind(t, "echo"))
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok || e.Kind != upstream.InvalidGrant || e.Message != "m" || e.RetryAfter != 7*time.Second {
		t.Fatalf("got %v", err)
	}
	// Detail is the input document as the guest saw it.
	if !strings.Contains(e.Detail, `"id":"client one"`) || !strings.Contains(e.Detail, "[redacted]") {
		t.Errorf("this is not the document: %s", e.Detail)
	}
	for _, s := range []string{secret, "client_secret", "the-code-123", "the-verifier-123"} {
		if strings.Contains(e.Detail, s) {
			t.Errorf("%q is in: %s", s, e.Detail)
		}
	}
	r.bind(t, "happy")
	if _, err := refresh(t, r.bind(t, "buggy"), nil); err == nil || strings.Contains(err.Error(), "at-1-abcdefgh") || strings.Contains(r.log.String(), "at-1-abcdefgh") {
		t.Errorf("a token of the answer is told: %v", err)
	}
}

func TestTenThousandLogLines(t *testing.T) {
	r := newRig(t)
	if _, err := exchange(t, r.bind(t, "log")); err != nil {
		t.Fatal(err)
	}
	log := r.log.String()
	if !strings.Contains(log, "provider: line 9999: plugin=probe tenant=octo") || !strings.Contains(log, "cut at its beginning") ||
		strings.Contains(log, "line 1:") || strings.Count(log, "line 9999") != 1 {
		t.Errorf("%d bytes of log, ending %s", len(log), log[max(0, len(log)-300):])
	}
}

func TestCloseDrains(t *testing.T) {
	r := newLoadedRig(t)
	p := r.bind(t, "happy")
	if err := r.module.acquire(); err != nil { // a conversation that runs
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.host.Close(context.Background()) }()
	for r.module.acquire() == nil {
		r.module.release()
	}
	select {
	case err := <-done:
		t.Fatalf("closed under a running conversation: %v", err)
	default:
	}
	if _, err := exchange(t, p); upstream.KindOf(err) != upstream.Unavailable {
		t.Errorf("after Close: %v", err)
	}
	r.module.release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestQueueingEndsWithTheCaller(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Limits.Instances = 1 })
	p := r.bind(t, "happy")
	busy, err := r.module.pool.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = p.Exchange(ctx, upstream.ExchangeRequest{})
	if upstream.KindOf(err) != upstream.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	r.module.pool.give(t.Context(), busy, false)
	if _, err := exchange(t, p); err != nil {
		t.Errorf("once it is free: %v", err)
	}
}

func TestDescription(t *testing.T) {
	r := newRig(t)
	d := r.bind(t, "happy").Describe()
	if d.Name != "probe" || d.Version != "1.2.0" || d.Digest != r.module.Digest() || !d.PKCE || !d.CanRefresh || !d.CanRevoke ||
		!slices.Equal(d.DefaultScopes, []string{"read"}) || d.ScopeText["read"] != "Read" || len(d.ScopeText) != 1 {
		t.Errorf("%+v", d)
	}
	if d.Refresh != (upstream.RefreshRules{Rotates: true}) {
		t.Errorf("refresh rules of the manifest: %+v", d.Refresh)
	}
	if got := r.bind(t, "check-grace").Describe().Refresh; got != (upstream.RefreshRules{Rotates: true, SingleUse: true, Grace: 30 * time.Second}) {
		t.Errorf("refresh rules of a tenant's settings: %+v", got)
	}
	if err := r.bind(t, "happy").Revoke(t.Context(), &upstream.Credential{}); err != nil {
		t.Error(err)
	}
}

func TestRequestDigestTellsRequestsApart(t *testing.T) {
	base := abi.Request{Method: "POST", URL: "https://a.example/", Headers: []abi.Header{{"a", "b"}}}
	seen := map[string]int{}
	for i, r := range []abi.Request{
		base,
		{Method: "GET", URL: base.URL, Headers: base.Headers},
		{Method: base.Method, URL: base.URL + "x", Headers: base.Headers},
		{Method: base.Method, URL: base.URL, Headers: []abi.Header{{"ab", ""}}},
		{Method: base.Method, URL: base.URL, Headers: []abi.Header{{"a", "b"}, {"", ""}}},
		{Method: base.Method, URL: base.URL, Headers: base.Headers, ClientAuth: &abi.ClientAuth{}},
		{Method: base.Method, URL: base.URL, Headers: base.Headers, ClientAuth: &abi.ClientAuth{Method: "post"}},
	} {
		for _, body := range []string{"", "x"} {
			seen[RequestDigest(&r, []byte(body))] = i
		}
	}
	if len(seen) != 14 {
		t.Errorf("%d digests of 14 requests", len(seen))
	}
	if got := RequestDigest(&base, []byte("body")); got != goldenDigest {
		t.Errorf("the encoding changed: %s", got)
	}
}

// goldenDigest was computed from the words of RequestDigest by other code.
const goldenDigest = "d10c2faa1d00b23266ad78e72bc89c7496a343dc81873176614bc77f41df1732"
