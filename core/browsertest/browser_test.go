package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// patience bounds every step. Nothing waits for it unless it fails.
const patience = 2 * time.Minute

// startChromium returns the context of a browser that ends with the test. It
// reaches loopback and nothing else.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("this test needs Chromium; on Debian: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], // with a new user data folder
		chromedp.ExecPath(program),
		chromedp.WSURLReadTimeout(patience),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// A page that comes back from memory loses clicks while it thaws.
		chromedp.Flag("disable-features", "Translate,BackForwardCache"),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	)
	if os.Geteuid() == 0 { // Chromium refuses to build its sandbox for root
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, quit := chromedp.NewContext(allocator)
	t.Cleanup(quit)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// look is how the user sees a page.
type look struct {
	width  int64
	scheme string // prefers-color-scheme
}

func (l look) String() string { return fmt.Sprintf("%d-%s", l.width, l.scheme) }

func looks() []look {
	return []look{{320, "light"}, {320, "dark"}, {1280, "light"}, {1280, "dark"}}
}

// tab is one tab. Its methods end the test when the browser does not do what
// it is told.
type tab struct {
	t   *testing.T
	ctx context.Context
	// said receives the browser's own messages, and "goes to URL (reason)"
	// when a page navigates by itself.
	said chan string
}

// newProfile opens a tab that shares no cookie with others.
func newProfile(browser context.Context, t *testing.T) *tab {
	t.Helper()
	return openTab(browser, t, chromedp.WithNewBrowserContext())
}

// beside opens a tab with the same cookies.
func (b *tab) beside() *tab {
	b.t.Helper()
	return openTab(b.ctx, b.t)
}

func openTab(parent context.Context, t *testing.T, options ...chromedp.ContextOption) *tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, options...)
	t.Cleanup(closeTab)
	b := &tab{t, ctx, make(chan string, 1000)}
	if err := chromedp.Do(ctx); err != nil { // without a deadline: the tab would end at it
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	call(b, log.Enable, cdp.Empty{})
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	return b
}

func (b *tab) hear(event any) {
	var line string
	switch event := event.(type) {
	case *log.EventEntryAdded:
		line = event.Entry.Text
	case *page.EventFrameRequestedNavigation:
		line = fmt.Sprintf("goes to %s (%s)", event.URL, event.Reason)
	default:
		return
	}
	select {
	case b.said <- line:
	default: // must not block; nobody reads a thousand lines
	}
}

// hears waits for a message that contains all the words.
func (b *tab) hears(words ...string) {
	b.t.Helper()
	var all []string
	limit := time.After(patience)
	for {
		select {
		case line := <-b.said:
			missing := false
			for _, w := range words {
				missing = missing || !strings.Contains(line, w)
			}
			if !missing {
				return
			}
			all = append(all, line)
		case <-limit:
			b.t.Fatalf("the browser did not say %q but %q", words, all)
		}
	}
}

// get runs an action and returns its value.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("%v\nthe browser is at %s", err, b.where())
	}
	return value
}

// call runs a command of the DevTools protocol.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	return get(b, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, params) })
}

// where describes the page for a failure.
func (b *tab) where() string {
	ctx, cancel := context.WithTimeout(b.ctx, time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return "a page that does not answer"
	}
	return text
}

func (b *tab) open(address string) { b.t.Helper(); get(b, chromedp.Navigate(address)) }

// sees waits until an element is visible.
func (b *tab) sees(selector chromedp.CSS) { b.t.Helper(); get(b, chromedp.WaitVisible(selector)) }

func (b *tab) click(selector chromedp.CSS) { b.t.Helper(); get(b, chromedp.Click(selector)) }

func (b *tab) text(selector chromedp.CSS) string {
	b.t.Helper()
	return get(b, chromedp.Text(selector))
}

// js is the value of an expression in the page.
func js[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// looks sets what the pages see of the user's screen.
func (b *tab) looks(l look) {
	b.t.Helper()
	get(b, chromedp.EmulateViewport(l.width, 800))
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}},
	})
}

// fits fails when the page scrolls sideways or is not in the user's colours.
func (b *tab) fits(l look) {
	b.t.Helper()
	if wide := js[int64](b, `document.scrollingElement.scrollWidth`); wide > l.width {
		b.t.Errorf("%v: the page is %d pixels wide", l, wide)
	}
	// rgb(244, 243, 239) or the like: the first number tells light from dark.
	var red int
	if _, err := fmt.Sscanf(js[string](b, `getComputedStyle(document.body).backgroundColor`), "rgb(%d,", &red); err != nil {
		b.t.Error(err)
	}
	if (red > 127) != (l.scheme == "light") {
		b.t.Errorf("%v: the background's red is %d", l, red)
	}
}
