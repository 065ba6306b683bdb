package gateway_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// listenMessage opens a stream of notifications (MCP 2026-07-28).
const listenMessage = `{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true}}}`

// ask sends a request to the bubble's MCP endpoint.
func (b *bubble) ask(t *testing.T, method, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost/music/mcp", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.Token)
	res, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func (b *bubble) readyz(t *testing.T) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	b.Core.Operator().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return w.Code, w.Body.String()
}

func TestDrainEndsStreamsThatCarryNoAnswer(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		method, body string
		media        string
		ends         bool // with the drain, else after the backend's hour
	}{
		"a stream of a GET":            {http.MethodGet, "", "text/event-stream", true},
		"with a parameter":             {http.MethodGet, "", "text/event-stream; charset=utf-8", true},
		"notifications of a POST":      {http.MethodPost, listenMessage, "text/event-stream", true},
		"in a batch":                   {http.MethodPost, "[" + listenMessage + "]", "text/event-stream", true},
		"a call":                       {http.MethodPost, message("tools/call"), "text/event-stream", false},
		"a call beside notifications":  {http.MethodPost, "[" + listenMessage + "," + message("tools/call") + "]", "text/event-stream", false},
		"a call that names the method": {http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"subscriptions/listen"}}`, "text/event-stream", false},
		"a download":                   {http.MethodGet, "", "application/octet-stream", false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				b.backend = func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", c.media)
					client := http.NewResponseController(w)
					for range 3600 {
						_, _ = io.WriteString(w, "data: tick\n\n")
						if client.Flush() != nil || r.Context().Err() != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}
				began := time.Now()
				res := b.ask(t, c.method, c.body)
				time.Sleep(90*time.Second + 500*time.Millisecond)
				go b.Core.Drain()
				body, err := io.ReadAll(res.Body)
				if err != nil || !strings.HasSuffix(string(body), "data: tick\n\n") {
					t.Errorf("the stream is not complete: %v, %d bytes", err, len(body))
				}
				if took := time.Since(began); (took < 100*time.Second) != c.ends {
					t.Errorf("it ended after %v", took)
				}
				time.Sleep(2 * time.Second)
				if n := b.inside.Load(); n != 0 {
					t.Errorf("the backend still works for %d", n)
				}
			})
		})
	}
}

// TestDrainEndsStreamsBetweenEvents has backends that stop in the middle.
func TestDrainEndsStreamsBetweenEvents(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ first, second, want string }{
		"nothing yet":           {"", "data: 2\n\n", ""},
		"half an event":         {"data: 1\n\ndata: 2", "2\n\ndata: 3\n\n", "data: 1\n\ndata: 22\n\ndata: 3\n\n"},
		"a line of an event":    {"event: x\n", "data: 1\n\n", "event: x\ndata: 1\n\n"},
		"between events":        {"data: 1\n\n", "data: 2\n\n", "data: 1\n\n"},
		"between events, CRLF":  {"data: 1\r\n\r\n", "data: 2\r\n\r\n", "data: 1\r\n\r\n"},
		"between events, CR":    {"data: 1\r\r", "data: 2\r\r", "data: 1\r\r"},
		"between CR and LF":     {"data: 1\r\n\r", "\ndata: 2\n\n", "data: 1\r\n\r"},
		"behind a comment":      {"data: 1\n\n: still here\n", "data: 2\n\n", "data: 1\n\n: still here\n"},
		"a comment in an event": {"data: 1\n: still here\n", "data: 2\n\n", "data: 1\n: still here\ndata: 2\n\n"},
		"in a comment":          {": still", " here\n", ": still here\n"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				b.backend = func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					client := http.NewResponseController(w)
					for _, part := range []string{c.first, c.second} {
						_, _ = io.WriteString(w, part)
						_ = client.Flush()
						time.Sleep(time.Minute)
					}
				}
				res := b.ask(t, http.MethodGet, "")
				began := time.Now()
				time.Sleep(30 * time.Second)
				go b.Core.Drain()
				body, err := io.ReadAll(res.Body)
				if err != nil || string(body) != c.want {
					t.Errorf("%q, %v; want %q", body, err, c.want)
				}
				if took := time.Since(began); took > 61*time.Second {
					t.Errorf("it ended after %v", took)
				}
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

func TestStreamsThatBeginWhileDrainingLastUntilTheListenerCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		if status, body := b.readyz(t); status != http.StatusOK {
			t.Errorf("before: %d %s", status, body)
		}
		b.Core.Drain()
		if status, body := b.readyz(t); status != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
			t.Errorf("draining: %d %s", status, body)
		}
		began := time.Now()
		res := b.ask(t, http.MethodGet, "")
		time.Sleep(9500 * time.Millisecond)
		go b.Core.Drain()
		body, err := io.ReadAll(res.Body)
		if took := time.Since(began); err != nil || took < 9*time.Second || took > 10*time.Second || len(body) == 0 {
			t.Errorf("%v, %d bytes after %v", err, len(body), took)
		}
	})
}
