package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// world is a server with an upstream that has a login page and a client that
// has a callback, each on an origin of its own; the upstream is another site.
type world struct {
	*coretest.Server
	client  string      // origin of the client
	answers chan answer // what came to the client
}

// answer is one request to a client's callback.
type answer struct {
	path  string
	query url.Values
}

func newWorld(t *testing.T, options ...coretest.Option) *world {
	t.Helper()
	w := &world{answers: make(chan answer, 10)}
	client := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/callback") { // a browser asks for an icon
			http.NotFound(rw, r)
			return
		}
		w.answers <- answer{r.URL.Path, r.URL.Query()}
		show(rw, `<p id="client">Connected</p>`)
	}))
	t.Cleanup(client.Close)
	w.client = client.URL

	var callback string
	upstream := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		back := url.Values{"state": r.URL.Query()["state"], "code": {"ada"}}
		show(rw, `<a id="login" href="%s?%s">Log in as Ada</a>`, callback, back.Encode())
	}))
	t.Cleanup(upstream.Close)
	w.Server = coretest.New(t, append(options, func(_ *core.Config, tenants []*tenant.Tenant, fake *upstreamtest.Fake) {
		callback = tenants[0].Issuer + "/callback"
		fake.Login = strings.Replace(upstream.URL, "127.0.0.1", "localhost", 1) + "/login"
	})...)
	return w
}

// show writes a page of somebody else's. Its values are safe in HTML.
func show(w http.ResponseWriter, body string, values ...any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html lang=en><title>Test</title>"+body, values...)
}

// connection is a client that wants to be connected.
type connection struct {
	id, callback, url string
}

// connect registers a client with a callback at this path of the client's
// origin, or at a whole URI, and returns where it sends the browser.
func (w *world) connect(t *testing.T, callback string) connection {
	t.Helper()
	if strings.HasPrefix(callback, "/") {
		callback = w.client + callback
	}
	id := w.Register(t, "music", callback)
	q := w.AuthorizeQuery("music", id)
	q.Set("redirect_uri", callback)
	return connection{id, callback, w.URL + "/music/authorize?" + q.Encode()}
}

// answered returns what came to c's callback. It fails unless that is an
// authorization response to c's request.
func (w *world) answered(t *testing.T, c connection) url.Values {
	t.Helper()
	select {
	case a := <-w.answers:
		if w.client+a.path != c.callback || a.query.Get("iss") != w.URL+"/music" || a.query.Get("state") != "client+state/==" {
			t.Fatalf("%s got %v", a.path, a.query)
		}
		return a.query
	case <-time.After(patience):
		t.Fatalf("nothing came to %s", c.callback)
		return nil
	}
}

// connected ends the login of c as its client does.
func (w *world) connected(t *testing.T, c connection) {
	t.Helper()
	q := w.answered(t, c)
	a := w.PostForm(t, nil, "/music/token", url.Values{
		"grant_type": {"authorization_code"}, "code": q["code"], "client_id": {c.id},
		"redirect_uri": {c.callback}, "code_verifier": {coretest.Verifier},
	})
	if a.Status != http.StatusOK {
		t.Fatalf("the answer was %v, the token endpoint said %d %s", q, a.Status, a.Body)
	}
}

// quiet fails if anything more came to a client.
func (w *world) quiet(t *testing.T) {
	t.Helper()
	select {
	case a := <-w.answers:
		t.Errorf("%s got %v", a.path, a.query)
	default:
	}
}
