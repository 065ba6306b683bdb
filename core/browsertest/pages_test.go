package browsertest

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/pages"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

var pictures = flag.String("pages", "", "write a picture of every page into this folder")

// axe is the accessibility checker, installed for the end-to-end tests.
const axe = "../../cmd/sallyport/e2e/node/node_modules/axe-core/axe.min.js"

// noteLogo is a logo as tenants have them: dark, on nothing.
const noteLogo = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 32"><circle cx="12" cy="25" r="6"/><circle cx="36" cy="21" r="6"/><path d="M16 25V6L42 2v19h-4V9L20 12v13z"/></svg>`

// variants returns one of each page in each of its forms, with the longest and
// strangest content that gets that far. target is where the interstitial goes.
func variants(target string) map[string]func(http.ResponseWriter) {
	p, music := pages.New(), pages.Tenant{Name: "Music", UpstreamName: "Tidal", ConnectionsURL: target}
	logo, err := pages.LogoURI([]byte(noteLogo))
	if err != nil {
		panic(err)
	}
	own := func(t pages.Tenant, color string) pages.Tenant {
		t.Look = tenant.Look{Logo: logo, Color: color, Support: "mailto:help@music.example"}
		return t
	}
	consent := func(change func(*pages.Consent)) func(http.ResponseWriter) {
		d := pages.Consent{
			Tenant: music, ClientName: "Claude", RedirectHost: "claude.ai", RedirectURI: "https://claude.ai/api/mcp/auth_callback",
			Scopes: []pages.Scope{{Name: "playlists.read", Text: "See your playlists"}, {Name: "playlists.write", Text: "Change your playlists"}},
			Action: "/consent", Request: "sealed",
		}
		change(&d)
		return func(w http.ResponseWriter) { p.Consent(w, d) }
	}
	onward := func(d pages.Continue) func(http.ResponseWriter) {
		d.Target = target
		return func(w http.ResponseWriter) { p.Continue(w, d) }
	}
	listed := func(change func(*pages.Connections)) func(http.ResponseWriter) {
		day := time.Date(2026, 3, 2, 14, 5, 0, 0, time.UTC)
		d := pages.Connections{
			Tenant: music, Action: "/connections", Request: "sealed", SignedIn: true, AccountName: "Ada Lovelace",
			Connections: []pages.Connection{
				{ID: "1", ClientName: "Claude", RedirectHost: "claude.ai", Created: day, LastUsed: day.AddDate(0, 1, 3), Expires: day.AddDate(0, 2, 3), Scopes: []pages.Scope{
					{Name: "playlists.read", Text: "See your playlists"}, {Name: "playlists.write", Text: "Change your playlists"},
				}},
				{ID: "2", ClientName: "Cursor", RedirectHost: "cursor", CustomScheme: true, Created: day, LastUsed: day, Expires: day.AddDate(0, 1, 0), Scopes: []pages.Scope{
					{Name: "r_usr", Text: ""},
				}},
				{ID: "3", ClientName: "Inspector", RedirectHost: "127.0.0.1:6274", Loopback: true, Pending: true, Created: day, LastUsed: day, Expires: day},
			},
		}
		change(&d)
		return func(w http.ResponseWriter) { p.Connections(w, d) }
	}
	fault := func(d pages.Error) func(http.ResponseWriter) { return func(w http.ResponseWriter) { p.Error(w, d) } }
	return map[string]func(http.ResponseWriter){
		"consent-website":   consent(func(*pages.Consent) {}),
		"consent-look":      consent(func(d *pages.Consent) { d.Tenant = own(d.Tenant, "#5b2a86") }),
		"consent-look-pale": consent(func(d *pages.Consent) { d.Tenant = own(d.Tenant, "#ffd500") }),
		"connections-look":  listed(func(d *pages.Connections) { d.Tenant = own(d.Tenant, "#d1345b") }),
		"interstitial-look": onward(pages.Continue{Tenant: own(music, "#ffffff"), TargetName: "Tidal"}),
		"error-look":        fault(pages.Error{Tenant: own(music, "#000000"), Status: http.StatusServiceUnavailable, Title: "This has to wait", Message: "The server cannot do this right now; try again shortly.", Hint: "Then load this page again.", RequestID: "0b7c5f0e6d4f4c0fa9f1"}),
		"consent-document":  consent(func(d *pages.Consent) { d.ClientHost = "vscode.dev" }),
		"consent-operator":  consent(func(d *pages.Consent) { d.Verified, d.Scopes = true, nil }),
		"consent-loopback": consent(func(d *pages.Consent) {
			d.Loopback, d.RedirectHost, d.RedirectURI = true, "127.0.0.1:33418", "http://127.0.0.1:33418/"
		}),
		"consent-scheme": consent(func(d *pages.Consent) {
			d.CustomScheme, d.RedirectHost, d.RedirectURI = true, "cursor", "cursor://anysphere.cursor-mcp/oauth/callback"
		}),
		"consent-long": consent(func(d *pages.Consent) {
			d.Name, d.UpstreamName = strings.Repeat("Music", 12), "La musique de tout le monde et de partout"
			d.ClientName = strings.Repeat("Wholly", 20)
			d.RedirectHost = strings.Repeat("claude.ai.", 20) + "evil.example"
			d.RedirectURI = "https://" + d.RedirectHost + "/" + strings.Repeat("callback", 20)
			d.Scopes = []pages.Scope{{Name: "https://www.googleapis.example/auth/" + strings.Repeat("everything.", 8), Text: ""},
				{Name: "x", Text: strings.Repeat("Donaudampfschiff", 6)}}
		}),
		"consent-strange": consent(func(d *pages.Consent) {
			d.Name, d.ClientName, d.RedirectHost = "موسيقى", "תוכנית Z̸̡̛̠͇̦͚̭̀̈́̓͝a̷̢̛͖͈l̵̨̛̮̖̾̔g̴̛̝̟͊o", "cl\u0430ude.ai"
		}),
		"interstitial":        onward(pages.Continue{Tenant: music, TargetName: "Tidal"}),
		"interstitial-denied": onward(pages.Continue{Tenant: music, TargetName: "127.0.0.1:33418", Denied: true}),
		"connections":         listed(func(*pages.Connections) {}),
		"connections-none":    listed(func(d *pages.Connections) { d.Connections, d.Notice = nil, pages.AllEnded }),
		"connections-one": listed(func(d *pages.Connections) {
			d.Connections, d.Notice = d.Connections[:1], pages.Ended
		}),
		"connections-long": listed(func(d *pages.Connections) {
			d.AccountName, d.Partial, d.Notice = strings.Repeat("Ada", 40), true, pages.Stale
			d.Connections[0].ClientName, d.Connections[0].RedirectHost = strings.Repeat("Wholly", 20), strings.Repeat("claude.ai.", 20)+"evil.example"
			d.Connections[1].ClientName = "תוכנית Z̸̡̛̠͇̦͚̭̀̈́̓͝a̷̢̛͖͈l̵̨̛̮̖̾̔g̴̛̝̟͊o"
			d.Connections[1].Scopes = []pages.Scope{{Name: "https://www.googleapis.example/auth/" + strings.Repeat("everything.", 8), Text: ""}}
		}),
		"connections-signed-out": listed(func(d *pages.Connections) { d.SignedIn, d.Notice = false, pages.SignedOut }),
		"connections-sign-in":    listed(func(d *pages.Connections) { d.SignedIn = false }),
		"connections-failed":     listed(func(d *pages.Connections) { d.SignedIn, d.Notice = false, pages.SignInFailed }),
		"error": fault(pages.Error{Tenant: music, Status: http.StatusBadRequest, Title: "This login cannot go on",
			Message: "The login took too long, or this page was loaded a second time.",
			Hint:    "Go back to your application. If it is not connected there, start again.", RequestID: "0b7c5f0e6d4f4c0fa9f1"}),
		"error-limited": func(w http.ResponseWriter) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			p.Fault(w, r, &tenant.Tenant{DisplayName: "Music", Issuer: "https://mcp.example/music", Provider: upstreamtest.Provider{Fake: &upstreamtest.Fake{}}},
				oauth.TooMany("too many requests from this address", 40*time.Second))
		},
		"error-bare": fault(pages.Error{Status: http.StatusNotFound, Title: "Nothing here", Message: "No page has this address."}),
	}
}

// TestPages checks every page in every look: no violation of a rule of
// axe-core, which holds those of WCAG 2.2 that a program can decide, and no
// sideways scrolling.
func TestPages(t *testing.T) {
	checker, err := os.ReadFile(axe)
	if err != nil {
		t.Fatalf("this test needs axe-core, which `make test` installs: %v", err)
	}
	if *pictures != "" {
		if err := os.MkdirAll(*pictures, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	browser := startChromium(t)
	gallery := httptest.NewUnstartedServer(nil)
	all := variants("http://" + gallery.Listener.Addr().String() + "/stay")
	gallery.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if variant, ok := all[r.URL.Path[1:]]; ok {
			variant(w)
			return
		}
		w.WriteHeader(http.StatusNoContent) // the browser stays where it is
	})
	gallery.Start()
	t.Cleanup(gallery.Close)
	for name := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newProfile(browser, t)
			call(b, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}) // for axe-core
			b.open(gallery.URL + "/" + name)
			js[*int](b, string(checker)+"; null")
			for _, l := range looks() {
				b.looks(l)
				b.fits(l)
				b.passes(l)
				if *pictures != "" {
					file := filepath.Join(*pictures, name+"-"+l.String()+".png")
					if err := os.WriteFile(file, get(b, chromedp.FullScreenshot(100)), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// passes fails for every rule of axe-core that the page breaks.
func (b *tab) passes(l look) {
	b.t.Helper()
	result := js[struct {
		Passed     int      `json:"passed"`
		Violations []string `json:"violations"`
	}](b, `axe.run(document).then(r => ({
		passed: r.passes.length,
		violations: r.violations.map(v => v.id + ": " + v.help + "\n" + v.nodes.map(n => n.html + "\n" + n.failureSummary).join("\n")),
	}))`)
	for _, v := range result.Violations {
		b.t.Errorf("%v: %s", l, v)
	}
	if result.Passed < 10 {
		b.t.Errorf("%v: axe-core found only %d rules to pass", l, result.Passed)
	}
}
