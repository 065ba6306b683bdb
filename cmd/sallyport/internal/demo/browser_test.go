package demo

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// pages serves a login of the shape Sallyport's has: a consent form, an
// interstitial that refreshes, a redirect away and back, and a callback.
func pages(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	html := func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Referrer-Policy", "no-referrer")
		fmt.Fprint(w, body)
	}
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		html(w, `<p>Allow?<form method=post action=consent><input type=hidden name=csrf value="a&amp;b">
			<input type=checkbox name=skip value=1><input type=checkbox name=keep checked>
			<button name=decision value=deny>No</button><button name=decision value=approve>Yes</button></form>
			<form action=/elsewhere></form>`)
	})
	mux.HandleFunc("POST /consent", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		if got, want := r.PostForm.Encode(), "csrf=a%26b&decision=approve&keep=on"; got != want {
			t.Errorf("consent form = %s, want %s", got, want)
		}
		if r.Header.Get("Origin") != "null" || r.Header.Get("Sec-Fetch-Site") != "same-origin" {
			t.Errorf("headers = %v", r.Header)
		}
		http.SetCookie(w, &http.Cookie{Name: "tx", Value: "1", Path: "/", HttpOnly: true})
		html(w, `<meta HTTP-EQUIV="Refresh" content="0; URL='/away?x=1&amp;y=2'"><a href="/away">go on</a>`)
	})
	mux.HandleFunc("GET /away", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "x=1&y=2" {
			t.Errorf("query = %s", r.URL.RawQuery)
		}
		http.Redirect(w, r, "/back", http.StatusFound)
	})
	mux.HandleFunc("GET /back", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("tx"); err != nil {
			http.Error(w, "another browser", http.StatusForbidden)
			return
		}
		http.Redirect(w, r, "http://127.0.0.1:1/callback?code=c", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /kept", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("q") != "1" {
			t.Errorf("307 lost the form: %v", r.PostForm)
		}
		http.Redirect(w, r, "http://127.0.0.1:1/callback", http.StatusSeeOther)
	})
	mux.HandleFunc("POST /temporary", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/kept", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("GET /307", func(w http.ResponseWriter, r *http.Request) {
		html(w, `<form method=POST action=/temporary><input name=q value=1></form>`)
	})
	mux.HandleFunc("GET /loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("GET /dead", func(w http.ResponseWriter, r *http.Request) { html(w, `<p>The end.<style>p{}</style>`) })
	mux.HandleFunc("GET /refused", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		html(w, `<p>Unknown client.<form></form>`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func isCallback(u *url.URL) bool { return u.Host == "127.0.0.1:1" }

func TestVisitFollowsALoginToTheCallback(t *testing.T) {
	t.Parallel()
	final, err := NewBrowser(SignIn("ada"), nil).Visit(t.Context(), pages(t).URL+"/authorize", isCallback)
	if err != nil {
		t.Fatal(err)
	}
	if got := final.String(); got != "http://127.0.0.1:1/callback?code=c" {
		t.Errorf("final = %s", got)
	}
}

func TestVisitKeepsAPostThrough307(t *testing.T) {
	t.Parallel()
	if _, err := NewBrowser(func(*Form) error { return nil }, nil).Visit(t.Context(), pages(t).URL+"/307", isCallback); err != nil {
		t.Error(err)
	}
}

func TestVisitSaysWhereItStopped(t *testing.T) {
	t.Parallel()
	server := pages(t)
	press := func(f *Form) error { return f.Press("decision", "perhaps") }
	tests := []struct {
		path string
		fill Fill
		want []string
	}{
		{"/dead", SignIn("ada"), []string{"/dead", "leads nowhere", "The end."}},
		{"/refused", SignIn("ada"), []string{"/refused", "status 400", "Unknown client."}},
		{"/loop", SignIn("ada"), []string{"gave up", "/loop"}},
		{"/back", SignIn("ada"), []string{"status 403", "another browser"}},
		{"/authorize", press, []string{"no button decision=perhaps", "approve"}},
	}
	for _, tt := range tests {
		final, err := NewBrowser(tt.fill, nil).Visit(t.Context(), server.URL+tt.path, isCallback)
		if err == nil {
			t.Errorf("%s led to %v", tt.path, final)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q lacks %q", tt.path, err, want)
			}
		}
	}
}
