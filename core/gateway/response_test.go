package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// buffer is a log that several requests write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// logged has the server write its log to the buffer.
func logged(to *buffer) coretest.Option {
	return func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		c.Log = hclog.New(&hclog.LoggerOptions{Output: to})
	}
}

func relaying(t testing.TB, names ...string) coretest.Option {
	t.Helper()
	return func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		for _, name := range names {
			canonical, err := tenant.ParseResponseHeader(name)
			if err != nil {
				t.Fatal(err)
			}
			tenants[0].ResponseHeaders = append(tenants[0].ResponseHeaders, canonical)
		}
	}
}

var (
	crosses = []string{
		"Content-Language", "Content-Disposition", "Cache-Control", "ETag", "Last-Modified", "Expires", "Vary", "Retry-After", "RateLimit",
		"RateLimit-Policy", "X-RateLimit-Remaining", "Link", "Server-Timing", "Traceparent", "Deprecation", "Sunset", "Mcp-Protocol-Version",
		"Mcp-Param-A", "Allow", "X-Listed",
	}
	stays = []string{
		"Set-Cookie", "Set-Cookie2", "Strict-Transport-Security", "WWW-Authenticate", "Access-Control-Allow-Origin", "Content-Security-Policy",
		"Content-Security-Policy-Report-Only", "NEL", "Report-To", "Reporting-Endpoints", "Refresh", "Service-Worker-Allowed", "Location",
		"Alt-Svc", "Clear-Site-Data", "Cross-Origin-Opener-Policy", "Origin-Agent-Cluster", "X-Accel-Redirect", "X-Sendfile", "X-Powered-By",
		"X-Request-Id", "X-Frame-Options", "Proxy-Authenticate", "Authentication-Info", "X-Listed.Not", "X_Listed", "Mcp_Session_Id",
		"Speculation-Rules", "Permissions-Policy", "Accept-Ch", "SourceMap", "X-Dns-Prefetch-Control", "Public-Key-Pins",
	}
)

// TestBackendSaysOnlyWhatIsListed sends headers and trailers of both kinds.
func TestBackendSaysOnlyWhatIsListed(t *testing.T) {
	t.Parallel()
	log := &buffer{}
	s := coretest.New(t, relaying(t, "x-listed"), logged(log))
	token := s.Login(t, s.Browser(), "ada").Access
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range append(crosses, stays...) {
			w.Header().Set(name, "theirs")
			w.Header().Set(http.TrailerPrefix+name, "theirs")
		}
		_, _ = io.WriteString(w, "{}")
		_ = http.NewResponseController(w).Flush()
	})
	for range 2 {
		res, err := s.Browser().Do(request(t, s, token, http.MethodPost, "/music/mcp", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
		for what, h := range map[string]http.Header{"header": res.Header, "trailer": res.Trailer} {
			for _, name := range crosses {
				if v := h.Values(name); !strings.Contains(strings.Join(v, " "), "theirs") && (what == "header" || len(res.Trailer) == 0) {
					t.Errorf("%s %s: %q", what, name, v)
				}
			}
			for _, name := range stays {
				if v := fmt.Sprint(h.Values(name), h[name]); strings.Contains(v, "theirs") {
					t.Errorf("%s %s: %s", what, name, v)
				}
			}
		}
		if res.Trailer.Get("Server-Timing") != "theirs" || err != nil {
			t.Errorf("trailers %v, %v", res.Trailer, err)
		}
	}
	for _, name := range []string{"Nel", "X-Powered-By", "Set-Cookie"} {
		if n := strings.Count(log.String(), "tenant=music header="+name+"\n"); n != 1 {
			t.Errorf("%s is logged %d times:\n%s", name, n, log)
		}
	}
	if !strings.Contains(log.String(), "[WARN]") || !strings.Contains(log.String(), "response_headers") {
		t.Errorf("the log does not name the key:\n%s", log)
	}
}

func TestNamesThatNoTenantCanRelay(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Set-Cookie", "set_cookie", "Set-Cookie2", "Access-Control-Allow-Origin", "access.control-allow-origin", "Strict-Transport-Security", "WWW-Authenticate",
		"Proxy-Authenticate", "Content-Security-Policy", "Service-Worker-Allowed", "Location", "X-Accel-Redirect", "Connection", "Transfer-Encoding", "", "a b", "X:",
	} {
		if got, err := tenant.ParseResponseHeader(name); err == nil {
			t.Errorf("%q is taken as %q", name, got)
		}
	}
	if got, err := tenant.ParseResponseHeader("x-trace-id"); got != "X-Trace-Id" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestEarlyAnswersStayBehind: a 103 or 102 of the backend's is not the client's,
// and the headers that the gateway sets are on the final answer all the same.
func TestEarlyAnswersStayBehind(t *testing.T) {
	t.Parallel()
	backend := rawBackend(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nSet-Cookie: a=b\r\n\r\n"+
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	})
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) { tenants[0].Backend = backend })
	token := s.Login(t, s.Browser(), "ada").Access
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprintf(conn, "POST /music/mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nOrigin: https://claude.ai\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", conn.RemoteAddr(), token)
	all, err := io.ReadAll(conn)
	answer := string(all)
	if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 OK\r\n") || strings.Contains(answer, "preload") {
		t.Fatalf("%v\n%s", err, answer)
	}
	for _, ours := range []string{"X-Content-Type-Options: nosniff", "X-Request-Id: ", "Access-Control-Allow-Origin: *"} {
		if !strings.Contains(answer, ours) {
			t.Errorf("%s is missing:\n%s", ours, answer)
		}
	}
}

func TestWhatBrowsersRenderIsSandboxed(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	for kind, sandboxed := range map[string]bool{
		"text/html": true, "TEXT/HTML; charset=utf-8": true, "image/svg+xml": true, "application/xhtml+xml": true, "text/xml": true,
		"application/xml": true, "application/pdf": true, "text/plain": true, "application/x-unknown": true, "text/html,application/json": true,
		"application/json": false, "application/json; charset=utf-8": false, "text/event-stream": false, "application/problem+json": false, "": false,
		"multipart/x-mixed-replace; boundary=x": true, "Multipart/Mixed; boundary=x": true, "message/http": true, "application/json,multipart/mixed": true,
	} {
		handle(s, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			if kind != "" {
				w.Header()["Content-Type"] = strings.Split(kind, ",")
			}
			_, _ = io.WriteString(w, "<!doctype html><script>alert(1)</script>")
		})
		h := s.Call(t, "music", token).Header
		if nested := strings.Contains(strings.ToLower(kind), "multipart/") || strings.Contains(kind, "message/"); nested {
			// A browser would take the headers of its parts for the host's.
			if got := h.Values("Content-Type"); len(got) != 1 || got[0] != "application/octet-stream" {
				t.Errorf("%s: %q crossed", kind, got)
			}
			continue
		}
		if want := map[bool]string{true: "sandbox"}[sandboxed]; h.Get("Content-Security-Policy") != want {
			t.Errorf("%s: %v", kind, h)
		}
		if kind == "" && h.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("a type was guessed: %v", h)
		}
	}
}
