package resource_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/resource"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

const (
	ownURL = "https://tools.example.com/mcp"
	secret = "the+server's%secret"
)

// world is an MCP server behind a Gate, beside a running Sallyport whose tenant
// music it is the resource of.
type world struct {
	*coretest.Server
	cfg   resource.Config
	gate  *resource.Gate
	store *memory.Driver
	reads atomic.Int64 // of the store: a token that is asked about costs one
}

func newWorld(t testing.TB, change func(*resource.Config), options ...coretest.Option) *world {
	t.Helper()
	w := &world{store: &memory.Driver{}}
	w.Server = coretest.New(t, append(options, func(c *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		w.store.Now, c.Store = c.Now, w.store
		tenants[0].Backend, tenants[0].External = nil, ownURL
		tenants[0].ResourceServers = []tenant.ResourceServer{{ID: "tools", Secret: seal.NewSecret(secret)}}
	})...)
	w.storeAnswers(nil)
	w.cfg = resource.Config{
		Issuer: w.URL + "/music", Resource: ownURL, Name: "Tools", ID: "tools", Secret: seal.NewSecret(secret),
		Fetch: private(t, w.URL), Now: w.Now,
	}
	if change != nil {
		change(&w.cfg)
	}
	w.gate = newGate(t, w.cfg)
	return w
}

// storeAnswers makes Sallyport's store fail with err, or work again.
func (w *world) storeAnswers(err error) {
	w.store.Fail(func(op, _ string) error {
		if op == "get" {
			w.reads.Add(1)
		}
		return err
	})
}

func newGate(t testing.TB, cfg resource.Config) *resource.Gate {
	t.Helper()
	gate, err := resource.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// private is a client that may ask a server of the test's.
func private(t testing.TB, url string) *fetch.Client {
	client := fetch.New(fetch.Config{PrivateHosts: []string{strings.TrimPrefix(url, "http://")}})
	t.Cleanup(client.Close)
	return client
}

// answer is what a request ended with.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a request with the token, which may be empty, through h.
func call(t testing.TB, h http.Handler, token string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, ownURL, strings.NewReader("{}"))
	r.Header.Set("X-Sallyport-Assertion", "forged")
	r.Header["X_sallyport_user"] = []string{"forged"}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
		t.Error("the caller's request was changed")
	}
	body, _ := io.ReadAll(rec.Result().Body)
	return answer{rec.Code, rec.Result().Header, string(body)}
}

// tell answers with what a server sees of a request.
func tell(w http.ResponseWriter, r *http.Request) {
	who := "nobody"
	if u := resource.FromContext(r.Context()); u != nil {
		who = u.Subject
	}
	for name := range r.Header {
		if strings.Contains(strings.ToLower(name), "sallyport") {
			who += " with " + name
		}
	}
	_, _ = io.WriteString(w, who+" "+r.Header.Get("Authorization"))
}
