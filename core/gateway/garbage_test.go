package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// rawBackend is a backend that reads a request and then does as it likes with
// the connection, which is closed behind it.
func rawBackend(t *testing.T, answer func(net.Conn)) *url.URL {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					answer(conn)
				}
			}()
		}
	}()
	return &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/mcp"}
}

func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 64 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	return b.String()
}

// TestGarbageFromTheBackend is not parallel: it counts goroutines.
func TestGarbageFromTheBackend(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	packed := bomb()
	for _, c := range []struct {
		what   string
		answer string
		status int
		torn   bool   // the body has no end
		body   string // of a good answer; empty: any
	}{
		{"nothing", "", 502, false, ""},
		{"no HTTP", "SSH-2.0-OpenSSH_9.9\r\n", 502, false, ""},
		{"a status that is none", "HTTP/1.1 abc OK\r\n\r\n", 502, false, ""},
		{"a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", 502, false, ""},
		{"a negative status", "HTTP/1.1 -20 OK\r\n\r\n", 502, false, ""},
		{"half a header", ok + "Content-Type: text", 502, false, ""},
		{"a header without a colon", ok + "Content-Type text\r\n\r\n", 502, false, ""},
		{"a header without end", ok + "X: " + strings.Repeat("x", 1<<20), 502, false, ""},
		{"headers without end", ok + strings.Repeat("X-A: b\r\n", 1<<17), 502, false, ""},
		{"two lengths", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 502, false, ""},
		{"a negative length", ok + "Content-Length: -1\r\n\r\nab", 502, false, ""},
		{"an unknown coding", ok + "Transfer-Encoding: xyz\r\n\r\nab", 502, false, ""},
		{"a protocol of its own", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 502, false, ""},
		{"a body that is too short", ok + "Content-Length: 10\r\n\r\nshort", 200, true, ""},
		{"a body that is too long", ok + "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nX-Hidden: yes\r\n\r\n", 200, false, "{}"},
		{"half a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nab", 200, true, ""},
		{"a chunk of no size", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nab", 200, true, ""},
		{"no last chunk", ok + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", 200, true, ""},
		{"length and chunks", ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, false, "{}"},
		{"a body up to the end of the connection", ok + "\r\n{}", 200, false, "{}"},
		{"a packed body", ok + "Content-Encoding: gzip\r\nContent-Type: application/json\r\n\r\n" + packed, 200, false, packed},
		{"a packed body that is none", ok + "Content-Encoding: gzip\r\n\r\nnot packed", 200, false, "not packed"},
		{"many answers to come", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 10_000), 502, false, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			backend := rawBackend(t, func(conn net.Conn) { _, _ = io.WriteString(conn, c.answer) })
			s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) { tenants[0].Backend = backend })
			token := s.Login(t, s.Browser(), "ada").Access
			defer wantSettled(t, runtime.NumGoroutine())
			r := request(t, s, token, http.MethodPost, "/music/mcp", strings.NewReader(message("tools/call")))
			r.Header.Set("Accept-Encoding", "gzip") // what comes is what was sent
			res, err := s.Browser().Do(r)
			if c.torn && err != nil {
				return // torn before the client had anything of it
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != c.status || (err != nil) != c.torn || res.Header.Get("X-Hidden") != "" {
				t.Errorf("%d, %v, %.200s", res.StatusCode, err, body)
			}
			if c.body != "" && string(body) != c.body {
				t.Errorf("%d bytes, %.200s", len(body), body)
			}
			if c.status == http.StatusBadGateway {
				a := coretest.Answer{Status: res.StatusCode, Header: res.Header, Body: string(body)}
				wantRPC(t, c.what, a, http.StatusBadGateway, -32000, "temporarily_unavailable")
				if a.JSON(t)["id"] != 7.0 {
					t.Errorf("not an answer to the message: %s", a.Body)
				}
			}
			if strings.Contains(string(body), backend.Host) || strings.Contains(string(body), "malformed") {
				t.Errorf("it tells of the inside: %s", body)
			}
		})
	}
}

// wantSettled waits until no more goroutines run than did, give or take those
// of the client's own connection.
func wantSettled(t *testing.T, before int) {
	t.Helper()
	const own = 4
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+own; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			var stacks bytes.Buffer
			stacks.Grow(1 << 16)
			buf := stacks.AvailableBuffer()[:1<<16]
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// A backend that never answers keeps nothing once its client has gone.
func TestBackendThatNeverAnswers(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	backend := rawBackend(t, func(conn net.Conn) {
		close(asked)
		_, _ = conn.Read(make([]byte, 1)) // returns when we hang up
		close(gone)
	})
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) { tenants[0].Backend = backend })
	token := s.Login(t, s.Browser(), "ada").Access
	settled := runtime.NumGoroutine()
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-asked
		leave()
	}()
	res, err := s.Browser().Do(request(t, s, token, http.MethodPost, "/music/mcp", strings.NewReader("{}")).WithContext(ctx))
	if err == nil {
		_ = res.Body.Close()
		t.Fatal("answered")
	}
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Fatal("the backend still has its connection")
	}
	wantSettled(t, settled)
}
