package pages

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(t *testing.T, d Consent) []element {
	t.Helper()
	w := httptest.NewRecorder()
	New().Consent(w, d)
	return markup(t, w.Body.String())
}

func TestConsentSaysWhoWhatAndWhere(t *testing.T) {
	const (
		claim    = "Unverified This name is the application’s own claim."
		document = "This name is published by"
		vouched  = "The operator of Music registered this application."
		local    = "An application on this computer."
		handler  = "The application on this device that opens links of this kind."
		website  = "A website."
		warning  = "Did you just start this yourself?"
		anything = "It names no single permission."
	)
	tests := []struct {
		name    string
		change  func(*Consent)
		has     []string
		lacking []string
	}{
		{"registered by itself", func(*Consent) {},
			[]string{"Allow access to Music?", "Claude", claim, "See your playlists playlists.read", " raw ",
				"claude.ai", website, "https://claude.ai/api/mcp/auth_callback", "you log in at Tidal"},
			[]string{document, vouched, local, handler, warning, anything}},
		{"metadata document", func(d *Consent) { d.ClientHost = "vscode.dev" },
			[]string{document + " vscode.dev."}, []string{claim, vouched}},
		{"registered by the operator", func(d *Consent) { d.Verified = true },
			[]string{vouched}, []string{claim, document}},
		{"the operator's word stands above a document", func(d *Consent) { d.Verified, d.ClientHost = true, "vscode.dev" },
			[]string{vouched}, []string{claim, document}},
		{"loopback", func(d *Consent) { d.Loopback, d.RedirectHost = true, "127.0.0.1:33418" },
			[]string{"127.0.0.1:33418", local, warning, "any application running here"}, []string{handler, website}},
		{"custom scheme", func(d *Consent) { d.CustomScheme, d.RedirectHost = true, "cursor" },
			[]string{"cursor:", handler, warning}, []string{local, website}},
		{"no scopes", func(d *Consent) { d.Scopes = nil }, []string{anything}, []string{"playlists"}},
		{"no full address", func(d *Consent) { d.RedirectURI = "" }, []string{"claude.ai"}, []string{"Full address"}},
		{"look-alike host", func(d *Consent) { d.RedirectHost = "cl\u0430ude.ai" },
			[]string{`cl\u0430ude.ai`}, []string{"cl\u0430ude"}},
		{"long host keeps its end", func(d *Consent) { d.RedirectHost = strings.Repeat("claude.ai.", 24) + "evil.example" },
			[]string{strings.Repeat("claude.ai.", 24) + "evil.example"}, nil},
		{"long name is cut", func(d *Consent) { d.ClientName = strings.Repeat("trust ", 100) },
			[]string{"trust t…"}, []string{strings.Repeat("trust ", 14)}},
		{"reordering name", func(d *Consent) { d.ClientName = "\u202eedualC" },
			[]string{"edualC"}, []string{"\u202e"}},
		{"invisible name", func(d *Consent) { d.ClientName = "\u3164\u200b\u2800\ufe0f" },
			[]string{"An application without a name"}, []string{"\u3164"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := question()
			test.change(&d)
			text := words(t, ask(t, d), "main")
			for _, s := range test.has {
				if !strings.Contains(text, s) {
					t.Errorf("page does not say %q:\n%s", s, text)
				}
			}
			for _, s := range test.lacking {
				if strings.Contains(text, s) {
					t.Errorf("page says %q:\n%s", s, text)
				}
			}
		})
	}
}

func TestConsentListsEveryScope(t *testing.T) {
	d := question()
	d.Scopes = nil
	for range 20 {
		d.Scopes = append(d.Scopes, Scope{Name: "a", Text: "b"})
	}
	if n := len(named(ask(t, d), "li")); n != 20 {
		t.Errorf("%d scopes are listed, want 20", n)
	}
}

func TestClientNameIsIsolated(t *testing.T) {
	d := question()
	d.ClientName = "תוכנית"
	for _, e := range named(ask(t, d), "bdi") {
		if e.text == d.ClientName {
			return
		}
	}
	t.Error("the client's name stands in no <bdi>")
}

func TestConsentForm(t *testing.T) {
	d := question()
	d.Request = `a"b&amp;c`
	all := ask(t, d)
	form := named(all, "form")
	if len(form) != 1 || form[0].attrs["method"] != "post" || form[0].attrs["action"] != d.Action {
		t.Fatalf("form: %v", form)
	}
	sent := map[string]string{}
	for _, e := range named(all, "input") {
		if e.attrs["type"] != "hidden" {
			t.Errorf("visible input %v", e.attrs)
		}
		sent[e.attrs["name"]] = e.attrs["value"]
	}
	if len(sent) != 1 || sent["request"] != d.Request {
		t.Errorf("hidden fields: %v", sent)
	}
	var choices []string
	for _, e := range named(all, "button") {
		if e.attrs["type"] != "submit" || e.attrs["name"] != "decision" {
			t.Errorf("button %v", e.attrs)
		}
		choices = append(choices, e.text+"="+e.attrs["value"])
	}
	// Deny comes first: it is what a browser submits when no button was chosen.
	if got := strings.Join(choices, " "); got != "Deny=deny Approve=approve" {
		t.Errorf("buttons: %s", got)
	}
}

func TestFormTargetCannotRunCode(t *testing.T) {
	d := question()
	d.Action = "javascript:alert(1)"
	if form := named(ask(t, d), "form"); strings.Contains(form[0].attrs["action"], "javascript") {
		t.Errorf("action = %q", form[0].attrs["action"])
	}
}
