package pages

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/tenant"
)

// seen is what a connections page says, and its markup.
func seen(t *testing.T, d Connections) (string, []element) {
	t.Helper()
	w := httptest.NewRecorder()
	New().Connections(w, d)
	all := markup(t, w.Body.String())
	return words(t, all, "main"), all
}

func TestConnectionsSayWhoWhatAndSince(t *testing.T) {
	t.Parallel()
	text, all := seen(t, list())
	for _, want := range []string{
		"Signed in at Tidal as Ada", "Claude", "A website, claude.ai", "See your playlists", "raw",
		"Connected 2 Mar 2026, 13:05 Last renewed 2 Apr 2026, 13:05 Ends, if unused 2 May 2026, 13:05",
		"An application on a computer, at 127.0.0.1:6274", "Not collected yet", "which opens cursor: links",
		"End all 3 connections", "cannot take that token back at Tidal",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	var buttons []string
	for _, b := range named(all, "button") {
		buttons = append(buttons, b.attrs["name"]+"="+b.attrs["value"])
	}
	if got := strings.Join(buttons, " "); got != "do=sign-out end=1 end=2 end=3 do=end-all" {
		t.Errorf("buttons %s", got)
	}
	if n := strings.Count(text, "Not collected yet"); n != 1 {
		t.Errorf("%d connections are said to be unfinished", n)
	}
}

func TestConnectionsOfOneHasNoEndAll(t *testing.T) {
	t.Parallel()
	d := list()
	d.Connections = d.Connections[:1]
	if text, _ := seen(t, d); strings.Contains(text, "End all") {
		t.Errorf("the page offers to end all: %s", text)
	}
}

func TestNoticesOfConnections(t *testing.T) {
	t.Parallel()
	none, someone := Connections{Tenant: music}, list()
	for _, c := range []struct {
		page   Connections
		notice Notice
		says   string
		title  string
	}{
		{someone, NoNotice, "", "Your connections to Music"},
		{someone, Ended, "The connection has ended.", "Your connections to Music"},
		{someone, AllEnded, "All your connections have ended.", "Your connections to Music"},
		{someone, Stale, "Nothing was changed.", "Your connections to Music"},
		{someone, SignedOut, "", "Your connections to Music"}, // an old address
		{none, NoNotice, "", "Your connections to Music"},
		{none, SignedOut, "The applications stay connected.", "You are signed out"},
		{none, SignInFailed, "The sign-in at Tidal did not succeed.", "Your connections to Music"},
		{none, Stale, "Nothing was changed.", "Your connections to Music"},
	} {
		c.page.Notice = c.notice
		text, all := seen(t, c.page)
		if title := words(t, all, "h1"); title != c.title || !strings.Contains(text, c.says) {
			t.Errorf("%q, signed in %v: %q\n%s", c.notice, c.page.SignedIn, title, text)
		}
		for _, other := range []string{"has ended.", "have ended.", "Nothing was changed.", "did not succeed", "stay connected."} {
			if !strings.Contains(c.says, other) && strings.Contains(text, other) {
				t.Errorf("%q, signed in %v: says %q", c.notice, c.page.SignedIn, other)
			}
		}
	}
}

func TestSeeConnectionsTakesNothingFromTheRequest(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	SeeConnections(w, &tenant.Tenant{Issuer: "https://mcp.example/music"}, Ended)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "https://mcp.example/music/connections?notice=ended" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for query, want := range map[string]Notice{
		"": NoNotice, "notice=ended": Ended, "notice=stale": Stale, "notice=You+won": NoNotice, "notice=%00": NoNotice, "notice=": NoNotice,
	} {
		if got := NoticeOf(httptest.NewRequest(http.MethodGet, "/?"+query, nil)); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}
