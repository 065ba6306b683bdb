package browsertest

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/pages"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// What the stories look for on a page.
const (
	approve chromedp.CSS = `button[value="approve"]`
	deny    chromedp.CSS = `button[value="deny"]`
	onward  chromedp.CSS = `a.button` // the interstitial's link
	problem chromedp.CSS = `p.status` // the error page
	login   chromedp.CSS = `a#login`  // the upstream
	arrived chromedp.CSS = `p#client` // the client
	request chromedp.CSS = `form[action*="/consent"]`
)

// TestStories walks through logins as users do.
func TestStories(t *testing.T) {
	browser := startChromium(t)
	stories := map[string]func(*testing.T, *world, *tab){
		"approve":                      testApprove,
		"approve without scripts":      testWithoutScripts,
		"approve with the keyboard":    testKeyboard,
		"deny":                         testDeny,
		"reload the consent page":      testReload,
		"back after approving":         testBack,
		"back after the login":         testBackAfterLogin,
		"submit twice":                 testDoubleSubmit,
		"two tabs":                     testTwoTabs,
		"framed by another site":       testFramed,
		"consent page left open":       testStaleConsent,
		"login page left open":         testStaleLogin,
		"no cookie at consent":         testNoCookieAtConsent,
		"no cookie at callback":        testNoCookieAtCallback,
		"custom scheme":                testCustomScheme,
		"redirect after a form's POST": testFormAction,
		"too many requests":            testTooMany,
		"a tenant's own look":          testLook,

		"connections: end one":                   testEndOne,
		"connections: end all without scripts":   testEndAllWithoutScripts,
		"connections: with the keyboard":         testEndByKeyboard,
		"connections: read aloud":                testReadAloud,
		"connections: deny and nothing is there": testNothingConnected,
		"connections: reload and back":           testReloadAndBack,
		"connections: press End twice":           testEndTwice,
		"connections: two tabs and two users":    testTwoUsers,
		"connections: page left open":            testStaleConnections,
		"connections: no cookies":                testNoCookiesAtConnections,
		"connections: framed by another site":    testFramedConnections,
		"connections: form of another site":      testForgedForm,
		"connections: from the error page":       testFromErrorPage,
	}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, newWorld(t), newProfile(browser, t))
		})
	}
}

// finish logs in at the upstream, whose page b is about to show.
func (b *tab) finish() {
	b.t.Helper()
	b.sees(login)
	b.click(login)
	b.sees(arrived)
}

// told fails unless b shows the error page with these words and with what to do.
func (b *tab) told(words string) {
	b.t.Helper()
	b.sees(problem)
	text := b.text("main")
	for _, want := range []string{"Error 400", words, "Go back to your application. If it is not connected there, start again."} {
		if !strings.Contains(text, want) {
			b.t.Errorf("the error page does not say %q:\n%s", want, text)
		}
	}
}

func testApprove(t *testing.T, w *world, b *tab) {
	for _, l := range looks() {
		b.looks(l)
		c := w.connect(t, "/callback")
		b.open(c.url)
		b.sees(approve)
		b.fits(l)
		b.click(approve)
		b.finish()
		w.connected(t, c)
	}
	w.quiet(t)
}

func testWithoutScripts(t *testing.T, w *world, b *tab) {
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	probe := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		show(rw, `<script>document.title = "It runs"</script>`)
	}))
	t.Cleanup(probe.Close)
	b.open(probe.URL)
	if title := get(b, chromedp.Title()); title != "Test" {
		t.Fatalf("scripts are not off: %s", title)
	}
	c := w.connect(t, "/callback")
	b.open(c.url)
	b.click(approve)
	b.finish()
	w.connected(t, c)
}

func testKeyboard(t *testing.T, w *world, b *tab) {
	c := w.connect(t, "/callback")
	b.open(c.url)
	b.sees(approve)
	var stops []string
	for range 3 {
		get(b, chromedp.KeyEvent(kb.Tab))
		stops = append(stops, js[string](b, `document.activeElement.innerText`))
		if outline := js[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
			t.Errorf("the focus on %v is drawn as %s", stops, outline)
		}
	}
	if got := strings.Join(stops, ", "); got != "Full address, Deny, Approve" {
		t.Fatalf("the tab key stops at %s", got)
	}
	get(b, chromedp.KeyEvent(kb.Enter))
	b.finish()
	w.connected(t, c)
}

func testDeny(t *testing.T, w *world, b *tab) {
	for _, l := range looks() {
		b.looks(l)
		c := w.connect(t, "/callback")
		b.open(c.url)
		b.click(deny)
		b.sees(arrived)
		if q := w.answered(t, c); q.Get("error") != "access_denied" || q.Has("code") {
			t.Errorf("%v: the client got %v", l, q)
		}
	}
}

func testReload(t *testing.T, w *world, b *tab) {
	c := w.connect(t, "/callback")
	b.open(c.url)
	before := js[string](b, `document.forms[0].request.value`)
	get(b, chromedp.Reload())
	if after := js[string](b, `document.forms[0].request.value`); after == before {
		t.Error("the page was not asked for again")
	}
	b.click(approve)
	b.finish()
	w.connected(t, c)
}

func testBack(t *testing.T, w *world, b *tab) {
	c := w.connect(t, "/callback")
	b.open(c.url)
	b.click(approve)
	b.sees(login)
	b.back()
	b.sees(request) // not the interstitial, which would throw the user forward again
	b.click(approve)
	b.finish()
	w.connected(t, c)
}

// back presses the browser's button and waits for the page. A script's
// history.back would leave the page that has to answer for it.
func (b *tab) back() { b.t.Helper(); get(b, chromedp.NavigateBack()) }

func testBackAfterLogin(t *testing.T, w *world, b *tab) {
	c := w.connect(t, "/callback")
	b.open(c.url)
	b.click(approve)
	b.finish()
	w.connected(t, c)
	b.back()
	b.click(login)
	b.told("The login")
	w.quiet(t)
}

func testDoubleSubmit(t *testing.T, w *world, b *tab) {
	c := w.connect(t, "/callback")
	b.open(c.url)
	get(b, chromedp.DoubleClick(approve))
	b.finish()
	w.connected(t, c)
	w.quiet(t)
}

func testTwoTabs(t *testing.T, w *world, one *tab) {
	two := one.beside()
	c1, c2 := w.connect(t, "/callback/one"), w.connect(t, "/callback/two")
	one.open(c1.url)
	two.open(c2.url)
	two.click(approve)
	one.click(approve)
	one.finish()
	w.connected(t, c1)
	two.finish()
	w.connected(t, c2)
}

func testFramed(t *testing.T, w *world, b *tab) {
	c := w.connect(t, "/callback")
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		show(rw, `<iframe id="harmless" src="%s/callback?harmless=1"></iframe><iframe id="ours" src="%s"></iframe>`,
			w.client, strings.ReplaceAll(c.url, "&", "&amp;"))
	}))
	t.Cleanup(site.Close)
	b.open(strings.Replace(site.URL, "127.0.0.1", "localhost", 1))
	if a := <-w.answers; !a.query.Has("harmless") {
		t.Errorf("the other frame got %v", a)
	}
	b.hears(w.URL, "frame-ancestors 'none'")
}

func testStaleConsent(t *testing.T, w *world, b *tab) {
	b.open(w.connect(t, "/callback").url)
	w.Advance(11 * time.Minute)
	b.click(approve)
	b.told("This page was open for too long")
	w.quiet(t)
}

func testStaleLogin(t *testing.T, w *world, b *tab) {
	b.open(w.connect(t, "/callback").url)
	b.click(approve)
	b.sees(login)
	w.Advance(11 * time.Minute)
	b.click(login)
	b.told("The login took too long")
	w.quiet(t)
}

func testNoCookieAtConsent(t *testing.T, w *world, b *tab) {
	b.open(w.connect(t, "/callback").url)
	b.forgetCookies(w.URL, "sp_form")
	b.click(approve)
	b.told("opened in another browser")
	w.quiet(t)
}

func testNoCookieAtCallback(t *testing.T, w *world, b *tab) {
	c := w.connect(t, "/callback")
	b.open(c.url)
	b.click(approve)
	b.sees(login)
	b.forgetCookies(w.URL, "sp_tx_")
	b.click(login)
	b.told("does not keep cookies")
	w.quiet(t)
}

// forgetCookies removes all cookies of a site, one of which starts with name:
// whoever blocks cookies sends none either.
func (b *tab) forgetCookies(site, name string) {
	b.t.Helper()
	cookies := func() []*network.Cookie {
		return call(b, network.GetCookies, network.GetCookiesParams{URLs: []string{site}}).Cookies
	}
	held := ""
	for _, cookie := range cookies() {
		held += cookie.Name + " "
		if !cookie.HTTPOnly || cookie.SameSite != network.CookieSameSiteLax {
			b.t.Errorf("the browser took the cookie as %+v", cookie)
		}
		call(b, network.DeleteCookies, network.DeleteCookiesParams{Name: cookie.Name, Domain: cookie.Domain, Path: cookie.Path})
	}
	if !strings.Contains(held, name) {
		b.t.Errorf("the browser held %q, no %s", held, name)
	}
	if left := cookies(); len(left) > 0 {
		b.t.Fatalf("%d cookies are left", len(left))
	}
}

func testCustomScheme(t *testing.T, w *world, b *tab) {
	const callback = "cursor://anysphere.cursor-mcp/oauth/callback"
	b.open(w.connect(t, callback).url)
	b.click(deny)
	b.sees(onward)
	want := callback + "?" + url.Values{
		"error": {"access_denied"}, "error_description": {"the user denied the request"},
		"iss": {w.URL + "/music"}, "state": {"client+state/=="},
	}.Encode()
	if link := js[string](b, `document.querySelector("a.button").href`); link != want {
		t.Errorf("the link goes to\n%s, want\n%s", link, want)
	}
	if refresh := js[string](b, `document.querySelector("meta[http-equiv=refresh]").content`); refresh != "0; url="+want {
		t.Errorf("the page says\n%s, want\n%s", refresh, want)
	}
	b.hears("goes to "+want, "metaTagRefresh")
}

func testTooMany(t *testing.T, _ *world, b *tab) {
	w := newWorld(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		c.Limits.Authorize = limit.Rate{Events: 1, Per: 4 * time.Minute}
	})
	c := w.connect(t, "/callback")
	b.open(c.url)
	b.sees(request)
	for _, l := range looks() {
		b.looks(l)
		get(b, chromedp.Reload())
		b.sees(problem)
		b.fits(l)
		if text := b.text("main"); !strings.Contains(text, "Error 429") || !strings.Contains(text, "Then load this page again.") {
			t.Errorf("the page says\n%s", text)
		}
	}
	w.Advance(4 * time.Minute)
	get(b, chromedp.Reload())
	b.click(approve)
	b.sees(problem) // the limit holds for the form as well, and it can be sent again
	w.Advance(4 * time.Minute)
	get(b, chromedp.Reload())
	b.sees(login)
}

// testLook shows that the browser takes a tenant's logo and colour under the
// page's policy.
func testLook(t *testing.T, _ *world, b *tab) {
	logo, err := pages.LogoURI([]byte(noteLogo))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Look = tenant.Look{Logo: logo, Color: "#5b2a86", Support: "https://help.example/"}
	})
	b.open(w.connect(t, "/callback").url)
	b.sees(`header img`)
	if wide := js[int](b, `document.querySelector("header img").naturalWidth`); wide == 0 {
		t.Error("the logo is not shown")
	}
	if fill := js[string](b, `getComputedStyle(document.querySelector("`+strings.ReplaceAll(string(approve), `"`, `'`)+`")).backgroundColor`); fill != "rgb(91, 42, 134)" {
		t.Errorf("the button is %s", fill)
	}
	if href := js[string](b, `document.querySelector("footer a:last-child").href`); href != "https://help.example/" {
		t.Errorf("help is at %s", href)
	}
}

// testFormAction shows why the consent form is not answered with a redirect:
// with the policy of the consent page Chromium does not follow one elsewhere.
func testFormAction(t *testing.T, w *world, b *tab) {
	policy := w.Get(t, nil, w.connect(t, "/callback").url).Header.Get("Content-Security-Policy")
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Redirect(rw, r, w.client+"/callback", http.StatusFound)
			return
		}
		rw.Header().Set("Content-Security-Policy", policy)
		show(rw, `<form method="post" action="/"><button value="approve">Approve</button></form>`)
	}))
	t.Cleanup(site.Close)
	b.open(site.URL)
	b.click(approve)
	b.hears("form-action 'self'")
	w.quiet(t)
}
