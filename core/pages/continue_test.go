package pages

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestContinueNavigatesToTheExactTarget(t *testing.T) {
	targets := []string{
		"https://login.example/authorize?client_id=a&state=b;c,d'e",
		"https://login.example/a;b='c',(d)?x=%22%27%3Cscript%3E&amp;y=url=z#f",
		"https://login.example/?state=AbC+/==&copy=1&lt=2",
		"cursor://anysphere.cursor-mcp/oauth/callback?code=a&state=b",
		"claude://claude.ai/mcp-auth-callback/sdk?error=access_denied",
		"com.example.app:/callback?code=a",
		"http://127.0.0.1:33418/?code=a&iss=https%3A%2F%2Fm.example",
		"http://[::1]:1/callback",
	}
	for _, target := range targets {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			New().Continue(w, Continue{Tenant: music, Target: target, TargetName: "Tidal"})
			if w.Code != http.StatusOK {
				t.Fatalf("status %d", w.Code)
			}
			all := markup(t, w.Body.String())
			var refresh string
			for _, e := range named(all, "meta") {
				if e.attrs["http-equiv"] == "refresh" {
					refresh = e.attrs["content"]
				}
			}
			// HTML, shared declarative refresh steps: what follows "url=" is the
			// address to its end, unless it begins with a quote.
			if got, ok := strings.CutPrefix(refresh, "0; url="); !ok || got != target {
				t.Errorf("refresh %q, want %q", refresh, target)
			}
			links := named(all, "a")
			if len(links) != 1 {
				t.Fatalf("%d links", len(links))
			}
			// html/template writes ' ( ) as %27 %28 %29 in the link: same meaning.
			if got, want := meaning(t, links[0].attrs["href"]), meaning(t, target); got != want {
				t.Errorf("link %q, want %q", got, want)
			}
			if text := words(t, all, "main"); !strings.Contains(text, "Continue to Tidal") {
				t.Errorf("page says %q", text)
			}
		})
	}
}

func meaning(t *testing.T, s string) string {
	t.Helper()
	plain, err := url.PathUnescape(s)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestContinueRefusesWhatRunsCode(t *testing.T) {
	targets := []string{
		"", "/relative", "//host/path", "host", ":x", "https:", "1a:b", "ht tp://x", "é:x",
		"javascript:alert(1)", "JavaScript:alert(1)", "java\nscript:alert(1)", "\tjavascript:alert(1)",
		" javascript:alert(1)", "\x01javascript:alert(1)", "data:text/html,<script>", "DATA:x", "vbscript:x",
		"blob:https://a.example/1", "filesystem:https://a/", "file:///etc/passwd", "about:blank", "view-source:https://a/",
		"https://a.example/ b", "https://a.example/\r\nb", "https://a.example/\x7f", "https://a.example/é",
		"https://a.example/\u202e", "https://a.example/\xff",
	}
	for _, target := range targets {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			New().Continue(w, Continue{Tenant: music, Target: target, TargetName: "Tidal"})
			if w.Code != http.StatusInternalServerError {
				t.Errorf("status %d", w.Code)
			}
			page := w.Body.String()
			if strings.Contains(page, "refresh") || strings.Contains(page, "href") ||
				len(target) > 4 && strings.Contains(page, target) {
				t.Errorf("the target is in the page:\n%s", page)
			}
			if text := words(t, markup(t, page), "h1"); text != "This login cannot go on" {
				t.Errorf("h1 %q", text)
			}
		})
	}
}

func TestContinueSaysWhatWasDecided(t *testing.T) {
	say := func(denied bool) string {
		w := httptest.NewRecorder()
		New().Continue(w, Continue{Tenant: music, Target: "cursor://x", TargetName: "Cursor", Denied: denied})
		return words(t, markup(t, w.Body.String()), "main")
	}
	if yes, no := say(false), say(true); !strings.HasPrefix(yes, "Going to Cursor") ||
		!strings.HasPrefix(no, "You denied access") || strings.Contains(yes, "denied") {
		t.Errorf("approved: %q\ndenied: %q", yes, no)
	}
}
