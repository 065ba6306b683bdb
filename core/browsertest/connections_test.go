package browsertest

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/sallyport/sallyport/core/coretest"
)

// What the stories look for on the connections page.
const (
	signIn  chromedp.CSS = `button[value="sign-in"]`
	signOut chromedp.CSS = `button[value="sign-out"]`
	end     chromedp.CSS = `button[name="end"]`
	endAll  chromedp.CSS = `button[value="end-all"]`
	notice  chromedp.CSS = `[role="status"]`
	heading chromedp.CSS = `h1`
)

// connections opens the page.
func (b *tab) connections(w *world) { b.t.Helper(); b.open(w.URL + "/music/connections") }

// enters signs in as Ada and waits for the page.
func (b *tab) enters(w *world) {
	b.t.Helper()
	b.connections(w)
	b.click(signIn)
	b.sees(login)
	b.click(login)
	b.sees(signOut)
}

// count is how many elements there are.
func (b *tab) count(selector chromedp.CSS) int {
	b.t.Helper()
	return js[int](b, "document.querySelectorAll(`"+string(selector)+"`).length")
}

// notes waits for the notice and fails unless it says so.
func (b *tab) notes(words string) {
	b.t.Helper()
	b.sees(notice)
	if text := b.text(notice); !strings.Contains(text, words) {
		b.t.Errorf("the page notes %q, want %q", text, words)
	}
}

// works tells whether a call with these tokens gets through.
func (w *world) works(t *testing.T, tokens coretest.Tokens) bool {
	t.Helper()
	a := w.Call(t, "music", tokens.Access)
	if a.Status != http.StatusOK && a.Status != http.StatusUnauthorized {
		t.Fatalf("a call: %d %s", a.Status, a.Body)
	}
	return a.Status == http.StatusOK
}

func testEndOne(t *testing.T, w *world, b *tab) {
	for _, l := range looks() {
		b.looks(l)
		tokens := w.Login(t, w.Browser(), "ada")
		b.connections(w)
		b.fits(l)
		b.enters(w)
		b.fits(l)
		if n := b.count(end); n != 1 || !w.works(t, tokens) {
			t.Fatalf("%v: %d connections", l, n)
		}
		b.click(end)
		b.notes("The connection has ended.")
		b.fits(l)
		if n := b.count(end); n != 0 || w.works(t, tokens) {
			t.Errorf("%v: %d connections are left", l, n)
		}
		b.click(signOut)
		b.sees(signIn)
		b.fits(l)
		if text := b.text(heading); text != "You are signed out" {
			t.Errorf("%v: the page says %q", l, text)
		}
	}
}

func testEndAllWithoutScripts(t *testing.T, w *world, b *tab) {
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	one, two := w.Login(t, w.Browser(), "ada"), w.Login(t, w.Browser(), "ada")
	bobs := w.Login(t, w.Browser(), "bob")
	b.enters(w)
	b.click(`summary`)
	b.sees(endAll)
	b.click(endAll)
	b.notes("All your connections have ended.")
	if w.works(t, one) || w.works(t, two) || !w.works(t, bobs) {
		t.Error("not exactly Ada's connections have ended")
	}
}

func testEndByKeyboard(t *testing.T, w *world, b *tab) {
	w.Login(t, w.Browser(), "ada")
	w.Login(t, w.Browser(), "ada")
	b.connections(w)
	stop := func() string {
		get(b, chromedp.KeyEvent(kb.Tab))
		if outline := js[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
			t.Errorf("the focus on %s is drawn as %s", js[string](b, `document.activeElement.innerText`), outline)
		}
		return js[string](b, `document.activeElement.innerText`)
	}
	if got := stop(); got != "Sign in at Fake Upstream" {
		t.Fatalf("the tab key stops at %q", got)
	}
	get(b, chromedp.KeyEvent(kb.Enter))
	b.sees(login)
	b.click(login)
	b.sees(signOut)
	var stops []string
	for range 4 {
		stops = append(stops, stop())
	}
	if got := strings.Join(stops, ", "); got != "Sign out, End, End, End all of them" {
		t.Fatalf("the tab key stops at %s", got)
	}
	get(b, chromedp.KeyEvent(kb.Enter)) // opens the details
	if got := stop(); got != "End all 2 connections" {
		t.Fatalf("behind the summary is %q", got)
	}
	get(b, chromedp.KeyEvent(kb.Enter))
	b.notes("All your connections have ended.")
}

// testReadAloud looks at the names that a screen reader gives: a row of buttons
// called End is of no use to somebody who jumps from button to button.
func testReadAloud(t *testing.T, w *world, b *tab) {
	w.Login(t, w.Browser(), "ada")
	b.enters(w)
	b.click(end)
	b.notes("ended")
	w.Login(t, w.Browser(), "ada")
	get(b, chromedp.Reload())
	b.sees(end)
	told := b.reads("heading", "button", "status", "list", "main")
	want := []string{
		"main ", "heading Your connections to Music", "status ", "button Sign out", "list ", "heading Test Client", "button End Test Client",
		"list ", "heading What ending does",
	}
	if !slices.Equal(told, want) {
		t.Errorf("read aloud:\n%q\nwant:\n%q", told, want)
	}
}

// reads returns roles and names as assistive technology gets them, in order.
func (b *tab) reads(roles ...string) (told []string) {
	b.t.Helper()
	nodes := call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes
	byID := map[accessibility.NodeID]*accessibility.Node{}
	for _, node := range nodes {
		byID[node.NodeID] = node
	}
	var walk func(*accessibility.Node)
	walk = func(node *accessibility.Node) {
		if node.Role != nil && node.Name != nil {
			if role := strings.Trim(string(node.Role.Value), `"`); slices.Contains(roles, role) {
				told = append(told, role+" "+strings.Trim(string(node.Name.Value), `"`))
			}
		}
		for _, id := range node.ChildIDs {
			if child := byID[id]; child != nil {
				walk(child)
			}
		}
	}
	walk(nodes[0])
	return told
}

func testNothingConnected(t *testing.T, w *world, b *tab) {
	b.open(w.connect(t, "/callback").url)
	b.click(deny)
	b.sees(arrived)
	b.enters(w)
	if text := b.text("main"); !strings.Contains(text, "No application is connected.") || b.count(end) != 0 {
		t.Errorf("the page says\n%s", text)
	}
}

func testReloadAndBack(t *testing.T, w *world, b *tab) {
	w.Login(t, w.Browser(), "ada")
	kept := w.Login(t, w.Browser(), "ada")
	b.enters(w)
	get(b, chromedp.Reload())
	b.sees(end)
	b.click(`li:last-child ` + end) // the older one
	b.notes("The connection has ended.")
	get(b, chromedp.Reload()) // asks no question, since it repeats no POST
	b.sees(signOut)
	if b.count(end) != 1 || !w.works(t, kept) {
		t.Error("reloading ended another one")
	}
	b.back()
	b.sees(signOut)
	if n := b.count(end); n != 1 {
		t.Errorf("going back shows %d connections", n)
	}
	b.click(signOut)
	b.sees(signIn)
	b.back()
	b.sees(signIn) // and not the list
}

func testEndTwice(t *testing.T, w *world, b *tab) {
	older, newer := w.Login(t, w.Browser(), "ada"), w.Login(t, w.Browser(), "ada")
	b.enters(w)
	get(b, chromedp.DoubleClick(end))
	b.notes("The connection has ended.")
	if w.works(t, newer) || !w.works(t, older) {
		t.Error("the second click ended the next connection")
	}
}

func testTwoUsers(t *testing.T, w *world, one *tab) {
	adas := w.Login(t, w.Browser(), "ada")
	one.enters(w)
	two := one.beside()
	two.connections(w)
	two.sees(end) // the same browser
	two.click(signOut)
	two.sees(signIn)
	one.click(end)
	one.notes("Nothing was changed.")
	one.sees(signIn)
	if !w.works(t, adas) {
		t.Error("a page of somebody who signed out ended a connection")
	}
}

func testStaleConnections(t *testing.T, w *world, b *tab) {
	tokens := w.Login(t, w.Browser(), "ada")
	b.enters(w)
	w.Advance(16 * time.Minute)
	b.click(end)
	b.notes("Nothing was changed.")
	b.sees(signIn)
	if !w.works(t, tokens) {
		t.Error("the connection has ended")
	}
}

func testNoCookiesAtConnections(t *testing.T, w *world, b *tab) {
	tokens := w.Login(t, w.Browser(), "ada")
	b.connections(w)
	b.forgetCookies(w.URL, "sp_form")
	b.click(signIn)
	b.notes("does not keep cookies")

	b.click(signIn)
	b.sees(login)
	b.forgetCookies(w.URL, "sp_tx_")
	b.click(login)
	b.told("does not keep cookies")

	b.enters(w)
	b.forgetCookies(w.URL, "sp_user_")
	b.click(end)
	b.notes("Nothing was changed.")
	if !w.works(t, tokens) {
		t.Error("the connection has ended")
	}
}

func testFramedConnections(t *testing.T, w *world, b *tab) {
	w.Login(t, w.Browser(), "ada")
	b.enters(w)
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		show(rw, `<iframe src="%s/music/connections"></iframe>`, w.URL)
	}))
	t.Cleanup(site.Close)
	b.open(strings.Replace(site.URL, "127.0.0.1", "localhost", 1))
	b.hears(w.URL, "frame-ancestors 'none'")
}

// testForgedForm lets another site post what the page's own buttons post, with
// a token that it got for itself.
func testForgedForm(t *testing.T, w *world, b *tab) {
	tokens := w.Login(t, w.Browser(), "ada")
	b.enters(w)
	id := js[string](b, `document.querySelector('button[name="end"]').value`)
	own := js[string](b, `document.forms[0].request.value`) // more than an attacker has
	site := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		show(rw, `<form method="post" action="%s/music/connections"><input type="hidden" name="request" value="%s"><button name="end" value="%s">Win</button></form>`, w.URL, own, id)
	}))
	t.Cleanup(site.Close)
	for _, host := range []string{"localhost", "127.0.0.1"} { // another site; another origin of the same
		b.open(strings.Replace(site.URL, "127.0.0.1", host, 1))
		b.click(end)
		b.notes("Nothing was changed.")
		if !w.works(t, tokens) {
			t.Fatalf("a form at %s ended the connection", host)
		}
	}
}

func testFromErrorPage(t *testing.T, w *world, b *tab) {
	w.Login(t, w.Browser(), "ada")
	b.open(w.URL + "/music/callback?state=x")
	b.sees(problem)
	b.click(`footer a`)
	b.sees(signIn)
	b.click(signIn)
	b.sees(login)
	b.click(login)
	b.sees(end)
}
