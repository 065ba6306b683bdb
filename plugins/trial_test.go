package plugins

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/sdk/abi"
)

// TestShown: what a person sees of a request holds no secret, however short,
// wherever its name gives it away, and none that is known by its value.
func TestShown(t *testing.T) {
	r := newRedactor(Binding{ClientSecret: seal.NewSecret("client-secret-1")}, abi.Raw(`{"query":[["code","c0de-c0de"]]}`))
	for name, tt := range map[string]struct {
		req  abi.Request
		body string
		want string
	}{
		"form": {
			abi.Request{URL: "https://up.example/token", Headers: []abi.Header{{"content-type", "application/x-www-form-urlencoded"}}},
			"grant_type=refresh_token&refresh_token=rt&state=s", "grant_type=refresh_token&refresh_token=[redacted]&state=s",
		},
		"json": {
			abi.Request{URL: "https://up.example/token", Headers: []abi.Header{{"Content-Type", "application/json; charset=utf-8"}}},
			`{"token":"rt","nested":[{"password":"p"}],"n":12345678901234567890,"url":"a&b"}`,
			`{"n":12345678901234567890,"nested":[{"password":"[redacted]"}],"token":"[redacted]","url":"a&b"}`,
		},
		"by value": {abi.Request{URL: "https://up.example/"}, "x=c0de-c0de", "x=[redacted]"},
		"not JSON": {abi.Request{URL: "https://up.example/", Headers: []abi.Header{{"content-type", "application/json"}}}, "{c0de-c0de", "{[redacted]"},
	} {
		if _, got := r.shownRequest(&tt.req, []byte(tt.body)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	req := &abi.Request{
		URL:     "https://up.example/c0de-c0de?access_token=at&page=2",
		Headers: []abi.Header{{"Authorization", "Bearer at"}, {"x-api-secret", "s"}, {"accept", "client-secret-1"}},
	}
	shown, _ := r.shownRequest(req, nil)
	if want := "https://up.example/[redacted]?access_token=[redacted]&page=2"; shown.URL != want {
		t.Errorf("URL %s, want %s", shown.URL, want)
	}
	var all strings.Builder
	for _, h := range shown.Headers {
		all.WriteString(h[0] + ": " + h[1] + "\n")
	}
	if want := "Authorization: Bearer [redacted]\nx-api-secret: [redacted]\naccept: [redacted]\n"; all.String() != want {
		t.Errorf("headers\n%swant\n%s", all.String(), want)
	}
	if req.Headers[0][1] != "Bearer at" {
		t.Error("the request itself was changed")
	}
}

// TestSystemFor refuses documents that are none, before anything runs.
func TestSystemFor(t *testing.T) {
	m := &Module{cfg: Config{}.withDefaults()}
	for doc, want := range map[string]string{
		"\x02\x00\x00\x00{}":                    "",
		"\x00\x00":                              "shorter than the length of a head",
		"\x03\x00\x00\x00{}":                    "head is longer than itself",
		"\x02\x00\x00\x00{]":                    "invalid character",
		"\x0d\x00\x00\x00{\"seed\":\"zz\"}":     "seed",
		"\x0f\x00\x00\x00{\"seed\":\"00ff\"}\n": "",
	} {
		_, _, err := m.systemFor([]byte(doc))
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", doc, err, want)
		}
	}
}

// TestConverseChecksWhatServingChecks: a person who tries a plugin out sees what
// a server would refuse of it.
func TestConverseChecksWhatServingChecks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	try := func(mode, op, input string) error {
		_, err := r.module.Converse(t.Context(), r.binding(mode), op, []byte(input), func(Turn) {})
		return err
	}
	const login = `{"state":"st","code_challenge":"ch","scopes":[],"redirect_uri":"https://octo.example/callback"}`
	if err := try("", abi.OpAuthorize, login); err != nil {
		t.Errorf("a login: %v", err)
	}
	if err := try("no-state", abi.OpAuthorize, login); err == nil || !strings.Contains(err.Error(), "given state") {
		t.Errorf("an authorize URL without a state: %v", err)
	}
	if err := try("phish", abi.OpAuthorize, login); !errors.Is(err, fetch.ErrHostNotAllowed) {
		t.Errorf("an authorize URL elsewhere: %v", err)
	}
	r.module.manifest.Capabilities.Revoke = false
	if err := try("", abi.OpRevoke, `{"credential":{"access_token":"at"}}`); err == nil || !strings.Contains(err.Error(), "never calls revoke") {
		t.Errorf("an operation that the manifest leaves out: %v", err)
	}
}
