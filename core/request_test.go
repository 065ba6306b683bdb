package core_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/coretest"
)

func TestRequestsAreHeldToASize(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for _, c := range []struct {
		method, path string
		body         int
		status       int
	}{
		{"POST", "/music/token", 64 << 10, 400},
		{"POST", "/music/token", 64<<10 + 1, 413},
		{"POST", "/music/register", 64<<10 + 1, 413},
		{"POST", "/music/revoke", 64<<10 + 1, 413},
		{"POST", "/music/par", 64<<10 + 1, 413},
		{"POST", "/music/introspect", 64<<10 + 1, 413},
		{"POST", "/music/consent", 64<<10 + 1, 413},
		{"GET", "/music/authorize", 64<<10 + 1, 413},
		{"GET", "/music/authorize?" + strings.Repeat("x", 16<<10), 0, 400},
		{"GET", "/music/authorize?" + strings.Repeat("x", 16<<10+1), 0, 414},
		{"GET", "/music/callback?" + strings.Repeat("x", 16<<10+1), 0, 414},
		{"POST", "/music/token?" + strings.Repeat("x", 16<<10+1), 1, 414},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(strings.Repeat("x", c.body))
			if chunked {
				body = io.MultiReader(body) // hides the length
			}
			req, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			a := s.Do(t, nil, req)
			people := strings.Contains(c.path, "authorize") || strings.Contains(c.path, "callback") || strings.Contains(c.path, "consent")
			if a.Status != c.status || people != strings.HasPrefix(a.Body, "<!DOCTYPE html>") {
				t.Errorf("%s %.20s, %d bytes, chunked %v: %d, want %d: %.100s", c.method, c.path, c.body, chunked, a.Status, c.status, a.Body)
			} else if !people && a.Status > 400 {
				wantError(t, c.method+" "+c.path, a, c.status, "invalid_request")
			}
		}
	}
}

func TestLongStateComesBackWhole(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	query := s.AuthorizeQuery("music", s.Register(t, "music"))
	state := strings.Repeat(`{"a+b/c="}`, 400) + strings.Repeat("%", 96) // 4 KiB, most of it escaped
	query.Set("state", state)
	if answer := s.Code(t, s.Browser(), "music", query, "ada"); answer.Get("state") != state || answer.Get("code") == "" {
		t.Errorf("%d bytes of state came back as %d", len(state), len(answer.Get("state")))
	}
}

// slow is a server in a synctest bubble, with an access token for it.
func slow(t *testing.T, backend http.RoundTripper) (l *coretest.Listener, token string) {
	t.Helper()
	b := coretest.NewBubble(t, backend, nil)
	return coretest.Serve(t, b.Core), b.Token
}

// begin sends the beginning of a request and returns the connection.
func begin(t *testing.T, l *coretest.Listener, request string) net.Conn {
	t.Helper()
	conn, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestSlowBodiesEnd: whoever dribbles a body holds a connection for half a
// minute, and gets an answer where the body was needed for one.
func TestSlowBodiesEnd(t *testing.T) {
	t.Parallel()
	const form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type="
	for _, c := range []struct {
		request string
		status  int
	}{
		{"POST /music/token", 408},
		{"POST /music/register", 408},
		{"POST /music/consent", 408},
		{"POST /music/authorize", 405},
		{"POST /music/nowhere", 404},
		{"POST /nobody/token", 404},
		{"POST /music/mcp", 401},
	} {
		t.Run(c.request, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l, _ := slow(t, nil)
				began := time.Now()
				conn := begin(t, l, c.request+" HTTP/1.1\r\nHost: localhost\r\n"+form)
				answer := bufio.NewReader(conn)
				res, err := http.ReadResponse(answer, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_, rest := answer.ReadByte()
				if took := time.Since(began); res.StatusCode != c.status || rest == nil || took > 31*time.Second {
					t.Errorf("%d after %v, then %v", res.StatusCode, took, rest)
				}
			})
		})
	}
}

// transport is a backend in the process.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestStreamsHaveTime: what ends slow strangers ends no stream, neither one of
// the client's nor one of the backend's.
func TestStreamsHaveTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const large = 2 << 20 // more than the gateway keeps
		l, token := slow(t, transport(func(r *http.Request) (*http.Response, error) {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				return nil, err
			}
			events, backend := io.Pipe()
			go func() {
				for range 3 {
					time.Sleep(10 * time.Minute)
					_, _ = fmt.Fprintf(backend, "data: %d\n\n", n)
				}
				_ = backend.Close()
			}()
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: events, Request: r}, nil
		}))
		conn := begin(t, l, fmt.Sprintf("POST /music/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n", token, large))
		for range 4 {
			time.Sleep(5 * time.Minute)
			if _, err := io.WriteString(conn, strings.Repeat("x", large/4)); err != nil {
				t.Fatal(err)
			}
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		events, err := io.ReadAll(res.Body)
		if want := strings.Repeat(fmt.Sprintf("data: %d\n\n", large), 3); res.StatusCode != http.StatusOK || err != nil || string(events) != want {
			t.Errorf("%d %q, %v", res.StatusCode, events, err)
		}
		_ = conn.Close()
	})
}
