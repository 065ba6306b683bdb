package e2e

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/oauth"
)

// underWay is a login whose user has logged in at the upstream, and whose browser
// has not brought the code to the server.
type underWay struct {
	*userOf
	hold *heldCallback
	done chan struct{}
	got  answer
	err  error
}

// begin starts a client that logs in and stops at the callback.
func (c *changeTest) begin(ctx context.Context, file, login string) *underWay {
	c.t.Helper()
	base := c.transport
	if base == nil {
		base = direct.Transport
	}
	w := &underWay{hold: &heldCallback{base: base, arrived: make(chan struct{}), released: make(chan struct{})}, done: make(chan struct{})}
	w.userOf = c.user(ctx, file, login, w.hold)
	go func() {
		defer close(w.done)
		w.got, w.err = w.do(ctx, "call")
	}()
	select {
	case <-w.hold.arrived:
	case <-w.done:
		c.t.Fatalf("%s: expected a login under way, got %+v, %v", w.name, w.got, w.err)
	case <-ctx.Done():
		c.t.Fatal(ctx.Err())
	}
	return w
}

// goOn lets the browser go to the callback.
func (w *underWay) goOn() { close(w.hold.released) }

// wait returns what the client's command came to.
func (w *underWay) wait(ctx context.Context) (answer, error) {
	select {
	case <-w.done:
		return w.got, w.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// heldCallback is the transport of a browser that stops once before it sends the
// request for the callback.
type heldCallback struct {
	base              http.RoundTripper
	once              sync.Once
	arrived, released chan struct{}
}

// RoundTrip implements http.RoundTripper.
func (h *heldCallback) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/callback") {
		h.once.Do(func() { close(h.arrived) })
		select {
		case <-h.released:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return h.base.RoundTrip(r)
}

// bareLogin is a login under way of a client that is no SDK's.
type bareLogin struct {
	c        *changeTest
	browser  *demo.Browser
	clientID string
	callback string // with the code
}

func (c *changeTest) beginBare(ctx context.Context, login string) *bareLogin {
	c.t.Helper()
	l := &bareLogin{c: c, browser: demo.NewBrowser(demo.SignIn(login), c.transport)}
	var err error
	if l.clientID, err = registerAt(ctx, direct, c.tenantURL(octo)); err != nil {
		c.t.Fatal(err)
	}
	q := url.Values{
		"response_type": {"code"}, "client_id": {l.clientID}, "redirect_uri": {chaosCallback},
		"code_challenge": {string(oauth.ChallengeOf(chaosVerifier))}, "code_challenge_method": {"S256"},
	}
	at, err := l.browser.Visit(ctx, c.tenantURL(octo)+"/authorize?"+q.Encode(),
		func(u *url.URL) bool { return strings.HasPrefix(u.String(), c.callback(octo)) })
	if err != nil {
		c.t.Fatal(err)
	}
	l.callback = at.String()
	return l
}

// finish fails unless the login ends with tokens that work.
func (l *bareLogin) finish(ctx context.Context) {
	t := l.c.t
	t.Helper()
	final, err := l.browser.Visit(ctx, l.callback, func(u *url.URL) bool { return strings.HasPrefix(u.String(), chaosCallback) })
	if err != nil {
		t.Fatalf("a login that was under way before the change and after it was undone: %v", err)
	}
	copied := &copyOf{url: l.c.tenantURL(octo), clientID: l.clientID, client: direct}
	if status, err := copied.redeem(ctx, final.Query().Get("code")); status != http.StatusOK {
		t.Fatalf("redeem: %d, %v", status, err)
	}
	if res := whoami(ctx, t, l.c.mcpURL(octo), copied.access); res.StatusCode != http.StatusOK {
		t.Errorf("a call: %s", res.Status)
	}
}
