package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/tenant"
)

// relay leaves of a backend's answer what may cross to the client: a list of
// headers, in trailers too.
func (g *Gateway) relay(res *http.Response, t *tenant.Tenant) {
	g.relayed.filter(res.Header, t)
	g.relayed.filter(res.Trailer, t)
	if res.Body == nil || res.Body == http.NoBody {
		return
	}
	res.Body = &trailed{ReadCloser: res.Body, filter: func() {
		g.relayed.filter(res.Trailer, t)
		delete(res.Trailer, sessionHeader) // it names a session before the body only
	}}
	kind := res.Header["Content-Type"]
	if len(kind) == 0 || nests(kind) {
		res.Header.Set("Content-Type", "application/octet-stream") // net/http would guess, and may guess HTML; parts have headers that nothing filters
	}
	if len(kind) > 1 || renders(res.Header.Get("Content-Type")) {
		res.Header.Set("Content-Security-Policy", "sandbox") // a backend's page gets neither scripts nor the host's origin
	}
	if mediaType(res.Header) == "text/event-stream" {
		res.Header.Set("X-Accel-Buffering", "no") // nginx before us hands each event on (ngx_http_proxy_module)
	}
}

// mediaType returns the media type in the header without parameters, or nothing
// if it is malformed.
func mediaType(h http.Header) string {
	kind, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return kind
}

// nests reports whether one of the types is of a body whose parts have headers of
// their own (RFC 2046 §5.1): browsers that show multipart/x-mixed-replace have
// taken a part's Set-Cookie and type for the host's.
func nests(kinds []string) bool {
	return slices.ContainsFunc(kinds, func(kind string) bool {
		kind = strings.ToLower(strings.TrimSpace(kind))
		return strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/")
	})
}

// renders reports whether a browser may show content of that type as a document:
// all but the types that MCP and APIs use.
func renders(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return true
	case kind == "application/json", kind == "text/event-stream", kind == "application/octet-stream":
		return false
	}
	return !strings.HasPrefix(kind, "application/") || !strings.HasSuffix(kind, "+json")
}

// trailed is a body that filters the trailers which come at its end.
type trailed struct {
	io.ReadCloser
	filter func()
}

// Read implements io.Reader.
func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.filter()
	}
	return n, err
}

// relayed filters headers, and logs the first of each name that it leaves out of
// a tenant's answers.
type relayed struct {
	log hclog.Logger

	mu   sync.Mutex
	seen map[string]map[string]bool // tenant, name
}

const (
	// mostDropped bounds the names that are logged for a tenant, and
	// mostTenants the tenants: names are the backend's to choose.
	mostDropped = 100
	mostTenants = 1 << 16
)

func (r *relayed) filter(h http.Header, t *tenant.Tenant) {
	for name := range h {
		canonical := http.CanonicalHeaderKey(name)
		if t.RelaysHeader(canonical) {
			continue
		}
		delete(h, name)
		if !r.first(t.Name, canonical) {
			continue
		}
		if tenant.CanRelay(canonical) {
			r.log.Warn("a header of the backend does not cross to clients; if they need it, list it in the tenant's response_headers",
				"tenant", t.Name, "header", canonical)
		} else {
			r.log.Warn("a header of the backend does not cross to clients: it is the gateway's to send, or speaks about the whole host",
				"tenant", t.Name, "header", canonical)
		}
	}
}

// first reports whether a header of that name was not left out before.
func (r *relayed) first(tenantName, header string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := r.seen[tenantName]
	if names == nil {
		if len(r.seen) >= mostTenants {
			return false
		}
		names = map[string]bool{}
		r.seen[tenantName] = names
	}
	if names[header] || len(names) >= mostDropped {
		return false
	}
	names[header] = true
	return true
}

// untraced is a context whose values hide the httptrace.ClientTrace of
// httputil.ReverseProxy. With it the proxy would hand on a backend's 1xx answers
// (RFC 9110 §15.2), and would clear the headers that the gateway has set for the
// final answer. 100 is the server's own, when the body is read.
type untraced struct{ context.Context }

// Value implements context.Context.
func (c untraced) Value(key any) any {
	value := c.Context.Value(key)
	if _, ok := value.(*httptrace.ClientTrace); ok {
		return nil
	}
	return value
}
