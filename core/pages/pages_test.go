package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
)

var music = Tenant{Name: "Music", UpstreamName: "Tidal"}

// question is an ordinary consent request, the base that tests vary.
func question() Consent {
	return Consent{
		Tenant: music, ClientName: "Claude", RedirectHost: "claude.ai",
		RedirectURI: "https://claude.ai/api/mcp/auth_callback",
		Scopes:      []Scope{{"playlists.read", "See your playlists"}, {"raw", ""}},
		Action:      "/music/authorize", Request: "sealed-request",
	}
}

// list is a connections page with one of each kind, the base that tests vary.
func list() Connections {
	day := time.Date(2026, 3, 2, 14, 5, 0, 0, time.FixedZone("", 3600))
	return Connections{
		Tenant: music, Action: "/music/connections", Request: "sealed", SignedIn: true, AccountName: "Ada",
		Connections: []Connection{
			{ID: "1", ClientName: "Claude", RedirectHost: "claude.ai", Scopes: []Scope{{"playlists.read", "See your playlists"}, {"raw", ""}},
				Created: day, LastUsed: day.AddDate(0, 1, 0), Expires: day.AddDate(0, 2, 0)},
			{ID: "2", ClientName: "Inspector", RedirectHost: "127.0.0.1:6274", Loopback: true, Pending: true, Created: day, LastUsed: day, Expires: day},
			{ID: "3", ClientName: "Cursor", RedirectHost: "cursor", CustomScheme: true, Created: day, LastUsed: day, Expires: day},
		},
	}
}

// samples answers one of each page.
func samples(t *testing.T) map[string]*httptest.ResponseRecorder {
	t.Helper()
	p := New()
	answer := func(f func(http.ResponseWriter)) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		f(w)
		return w
	}
	loopback, scheme, verified := question(), question(), question()
	loopback.Loopback, loopback.RedirectHost = true, "localhost:8787"
	scheme.CustomScheme, scheme.RedirectHost = true, "cursor"
	verified.Verified, verified.Scopes, verified.RedirectURI = true, nil, ""
	onward := Continue{Tenant: music, Target: "https://login.tidal.com/authorize?a=b", TargetName: "Tidal"}
	denied := Continue{Tenant: music, Target: "cursor://x/cb?error=access_denied", TargetName: "cursor", Denied: true}
	someone, nobody, noted := list(), Connections{Tenant: music, Action: "/music/connections", Request: "sealed"}, list()
	noted.Notice, noted.Partial, noted.Connections = Stale, true, nil
	fault := Error{Tenant: music, Status: 400, Title: "Not known", Message: "No such client.", Hint: "Add it again.", RequestID: "r-1"}
	return map[string]*httptest.ResponseRecorder{
		"consent":          answer(func(w http.ResponseWriter) { p.Consent(w, question()) }),
		"consent loopback": answer(func(w http.ResponseWriter) { p.Consent(w, loopback) }),
		"consent scheme":   answer(func(w http.ResponseWriter) { p.Consent(w, scheme) }),
		"consent verified": answer(func(w http.ResponseWriter) { p.Consent(w, verified) }),
		"continue":         answer(func(w http.ResponseWriter) { p.Continue(w, onward) }),
		"continue denied":  answer(func(w http.ResponseWriter) { p.Continue(w, denied) }),
		"connections":      answer(func(w http.ResponseWriter) { p.Connections(w, someone) }),
		"connections none": answer(func(w http.ResponseWriter) { p.Connections(w, noted) }),
		"connections of":   answer(func(w http.ResponseWriter) { p.Connections(w, nobody) }),
		"error":            answer(func(w http.ResponseWriter) { p.Error(w, fault) }),
		"error bare":       answer(func(w http.ResponseWriter) { p.Error(w, Error{Status: 404, Title: "Nothing here"}) }),
	}
}

func TestEveryPageHasTheSecurityHeaders(t *testing.T) {
	for name, page := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			style := named(markup(t, page.Body.String()), "style")
			if len(style) != 1 || style[0].text != styleSheet {
				t.Fatal("the style sheet is not sent as it is embedded")
			}
			sum := sha256.Sum256([]byte(style[0].text))
			want := map[string]string{
				"Content-Security-Policy": "default-src 'none'; style-src 'sha256-" +
					base64.StdEncoding.EncodeToString(sum[:]) +
					"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
				"X-Frame-Options":        "DENY",
				"X-Content-Type-Options": "nosniff",
				"Referrer-Policy":        "no-referrer",
				"Cache-Control":          "no-store",
				"Content-Type":           "text/html; charset=utf-8",
				"Content-Length":         strconv.Itoa(page.Body.Len()),
				// Popup logins need their opener.
				"Cross-Origin-Opener-Policy": "",
			}
			for header, value := range want {
				if got := page.Header().Get(header); got != value {
					t.Errorf("%s: %q, want %q", header, got, value)
				}
			}
		})
	}
}

func TestStatus(t *testing.T) {
	for name, page := range samples(t) {
		want := map[string]int{"error": 400, "error bare": 404}[name]
		if want == 0 {
			want = 200
		}
		if page.Code != want {
			t.Errorf("%s: status %d, want %d", name, page.Code, want)
		}
	}
	for status, want := range map[int]int{0: 500, 200: 500, 204: 500, 302: 500, 399: 500, 400: 400, 503: 503, 599: 599, 600: 500} {
		w := httptest.NewRecorder()
		New().Error(w, Error{Tenant: music, Status: status, Title: "Fault"})
		if w.Code != want {
			t.Errorf("Error with status %d answered %d, want %d", status, w.Code, want)
		}
		if text := words(t, markup(t, w.Body.String()), "main"); !strings.Contains(text, strconv.Itoa(want)) {
			t.Errorf("page of status %d says %q", want, text)
		}
	}
}

func TestHeadHasTheHeadersOfGetAndNoBody(t *testing.T) {
	p := New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.Consent(w, question())
	}))
	defer server.Close()
	ask := func(method string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		answer.Header.Del("Date")
		return answer, string(body)
	}
	get, page := ask(http.MethodGet)
	head, nothing := ask(http.MethodHead)
	if page == "" || nothing != "" || head.ContentLength != int64(len(page)) {
		t.Errorf("GET has %d bytes, HEAD %d and announces %d", len(page), len(nothing), head.ContentLength)
	}
	if get.StatusCode != head.StatusCode || !reflect.DeepEqual(get.Header, head.Header) {
		t.Errorf("GET %d %v\nHEAD %d %v", get.StatusCode, get.Header, head.StatusCode, head.Header)
	}
}

const hostile = "</title></style></p>\"'><script>alert(1)</script><img src=x onerror=alert(1)>" +
	"{{.}} \u202e\u2066\u200f\u061c\u0000\u2028 end"

// infest sets every string of a struct and of what it embeds or lists, except
// the named fields: a field added later is covered without being thought of.
func infest(v reflect.Value, value, except string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(value)
	case reflect.Slice:
		for i := range v.Len() {
			infest(v.Index(i), value, except)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != except {
				infest(v.Field(i), value, except)
			}
		}
	}
}

func TestHostileTextStaysText(t *testing.T) {
	p := New()
	consent := func(change func(*Consent)) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, s string) {
			d := question()
			infest(reflect.ValueOf(&d).Elem(), s, "Action")
			change(&d)
			p.Consent(w, d)
		}
	}
	onward := func(denied bool) func(http.ResponseWriter, string) {
		return func(w http.ResponseWriter, s string) {
			d := Continue{Target: "https://a.example/", Denied: denied}
			infest(reflect.ValueOf(&d).Elem(), s, "Target")
			p.Continue(w, d)
		}
	}
	tests := map[string]func(w http.ResponseWriter, s string){
		"unverified":    consent(func(d *Consent) { d.ClientHost = "" }),
		"from document": consent(func(*Consent) {}),
		"verified":      consent(func(d *Consent) { d.Verified = true }),
		"loopback":      consent(func(d *Consent) { d.Loopback = true }),
		"scheme":        consent(func(d *Consent) { d.CustomScheme = true }),
		"continue":      onward(false),
		"denied":        onward(true),
		"connections": func(w http.ResponseWriter, s string) {
			d := list()
			infest(reflect.ValueOf(&d).Elem(), s, "Action")
			p.Connections(w, d)
		},
		"error": func(w http.ResponseWriter, s string) {
			d := Error{Status: 400}
			infest(reflect.ValueOf(&d).Elem(), s, "")
			p.Error(w, d)
		},
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			good, bad := httptest.NewRecorder(), httptest.NewRecorder()
			answer(good, "harmless")
			answer(bad, hostile)
			want, got := tags(markup(t, good.Body.String())), tags(markup(t, bad.Body.String()))
			if got != want {
				t.Errorf("hostile text changed the markup\n got %s\nwant %s", got, want)
			}
			shown := markup(t, bad.Body.String())[0].text
			if i := strings.IndexFunc(shown, func(r rune) bool {
				return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl)
			}); i >= 0 {
				t.Errorf("a control character is shown: %+q", shown[max(0, i-60):i+10])
			}
		})
	}
}
