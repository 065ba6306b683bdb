package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest"
)

func TestUpgradeIsRefusedAndAnOfferOfHTTP2PassedOver(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	for offer, want := range map[string]int{"websocket": 400, "h2c, websocket": 400, "": 400, "h2c": 200} {
		r := request(t, s, token, http.MethodGet, "/music/mcp", nil)
		r.Header["Upgrade"], r.Header["Connection"] = []string{offer}, []string{"Upgrade, HTTP2-Settings"}
		r.Header.Set("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
		a := s.Do(t, nil, r)
		if a.Status != want {
			t.Errorf("%q: %d %s", offer, a.Status, a.Body)
		} else if want == http.StatusOK {
			if h := seen(t, a); h.Get("Upgrade") != "" || h.Get("Http2-Settings") != "" || strings.Contains(h.Get("Connection"), "pgrade") {
				t.Errorf("the offer crossed: %v", h)
			}
		} else {
			wantRPC(t, offer, a, want, -32000, "invalid_request")
		}
	}
}

func TestBackendThatRedirectsIsNotFollowed(t *testing.T) {
	t.Parallel()
	var log buffer
	s := coretest.New(t, logged(&log))
	token := s.Login(t, s.Browser(), "ada").Access
	for _, status := range []int{301, 302, 303, 307, 308} {
		handle(s, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://10.0.0.7:9000/mcp/?token=upstream-access-ada-0#upstream-access-ada-0")
			w.WriteHeader(status)
		})
		a := s.Call(t, "music", token)
		wantRPC(t, fmt.Sprint(status), a, http.StatusBadGateway, -32000, "temporarily_unavailable")
		if a.Header.Get("Location") != "" || strings.Contains(a.Body, "10.0.0.7") {
			t.Errorf("%d: the address is told: %v %s", status, a.Header, a.Body)
		}
	}
	if text := log.String(); !strings.Contains(text, "redirects to http://10.0.0.7:9000/mcp/;") || strings.Contains(text, "upstream-access") {
		t.Errorf("the log: %s", text)
	}
}

func TestHeadersAboutTheHostAreNotTheBackends(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	theirs := []string{"Alt-Svc", "Clear-Site-Data", "Set-Cookie", "Strict-Transport-Security", "WWW-Authenticate", "X-Content-Type-Options", "X-Request-Id", "Access-Control-Allow-Origin"}
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range append(theirs, "Mcp-Session-Id", "Cache-Control") {
			w.Header().Set(name, "theirs")
		}
		w.WriteHeader(http.StatusForbidden)
	})
	h := s.Call(t, "music", token).Header
	for _, name := range theirs {
		if strings.Contains(strings.Join(h.Values(name), " "), "theirs") {
			t.Errorf("%s: %q", name, h.Values(name))
		}
	}
	if !strings.HasPrefix(h.Get("Mcp-Session-Id"), "theirs.") || h.Get("Cache-Control") != "theirs" || len(h.Values("X-Request-Id")) != 1 {
		t.Errorf("%v", h)
	}
}

func TestTrailersCross(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Server-Timing")
		_, _ = io.WriteString(w, "data: x\n\n")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("Server-Timing", "1")
	})
	res, err := s.Browser().Do(request(t, s, token, http.MethodPost, "/music/mcp", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.ReadAll(res.Body); err != nil || res.Trailer.Get("Server-Timing") != "1" {
		t.Errorf("%v, %v", res.Trailer, err)
	}
}

// A client that asks before it sends a body is answered by the gate: refused
// before it sends, told to go on once it is let in.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	good := s.Login(t, s.Browser(), "ada").Access
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %q", body, r.Header["Expect"])
	})
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	t.Cleanup(client.CloseIdleConnections)
	for token, want := range map[string]struct {
		status    int
		continued bool
		body      string
	}{good: {200, true, "{} []"}, "bad": {401, false, ""}} {
		continued, read := false, false
		body := strings.NewReader("{}")
		r := request(t, s, token, http.MethodPost, "/music/mcp", readFunc(func(p []byte) (int, error) {
			read = true
			return body.Read(p)
		}))
		r.ContentLength = 2
		r.Header.Set("Expect", "100-continue")
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			continued = code == http.StatusContinue
			return nil
		}, Got100Continue: func() { continued = true }}))
		a := s.Do(t, client, r)
		if a.Status != want.status || continued != want.continued || read != want.continued || want.body != "" && a.Body != want.body {
			t.Errorf("%q: %d %s, continued %v, read %v", token, a.Status, a.Body, continued, read)
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A backend may refuse a large body before it has all of it. The client has the
// answer then, and is not waited for.
func TestEarlyAnswerReachesAClientThatIsStillSending(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	for _, answer := range []string{"", "too large", strings.Repeat("x", 64<<10)} {
		handle(s, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, 2<<20) // now we wait for more
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = io.WriteString(w, answer)
		})
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "POST /music/mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 100000000\r\n\r\n", strings.TrimPrefix(s.URL, "http://"), token)
		_, _ = conn.Write(make([]byte, 2<<20))
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		reader := bufio.NewReader(conn)
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusRequestEntityTooLarge || string(body) != answer {
			t.Errorf("%d, %d bytes, %v", res.StatusCode, len(body), err)
		}
		if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the connection is still open: %v", err)
		}
		_ = conn.Close()
	}
}

// The body of a client that does not say its length is kept for a second try
// all the same, if it is small, and streams on if it is not.
func TestBodyOfUnknownLength(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	for name, size := range map[string]int{"small": 1000, "just kept": 1 << 20, "large": 3 << 20} {
		var tries []int
		handle(s, func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			tries = append(tries, int(n))
			if len(tries) == 1 {
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		r := request(t, s, token, http.MethodPost, "/music/mcp", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))
		a := s.Do(t, nil, r)
		s.Advance(2 * time.Minute) // another replacement is due then
		want := []int{size, size}
		if name == "large" {
			want = want[:1]
		}
		if fmt.Sprint(tries) != fmt.Sprint(want) || (a.Status == http.StatusOK) != (len(want) == 2) {
			t.Errorf("%s: the backend got %v, the client %d", name, tries, a.Status)
		}
	}
}

// Nothing that is done about a body whose sender is cut off may touch the
// answer to one that came whole.
func TestAnswerToALargeBodyMayTakeLong(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	seen := make(chan struct{}, 1)
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "data: %d\n", n)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-seen: // when the client has it
			_, _ = io.WriteString(w, "data: last\n")
		case <-r.Context().Done():
		}
	})
	client := s.Browser()
	for range 3 { // on one connection
		res, err := client.Do(request(t, s, token, http.MethodPost, "/music/mcp", strings.NewReader(strings.Repeat("x", 2<<20))))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(res.Body)
		first, _ := lines.ReadString('\n')
		time.Sleep(20 * time.Millisecond) // whatever ends the answer has had its chance
		seen <- struct{}{}
		last, err := lines.ReadString('\n')
		if first != "data: 2097152\n" || last != "data: last\n" {
			t.Errorf("%q, %q, %v", first, last, err)
		}
		_ = res.Body.Close()
	}
}

// A proxy that speaks HTTP/2 to us has many streams on one connection: each
// flows, ends and is refused by itself.
func TestStreamsOverHTTP2(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	front := httptest.NewUnstartedServer(s.Core)
	front.Config.Protocols = &http.Protocols{}
	front.Config.Protocols.SetUnencryptedHTTP2(true)
	front.Start()
	t.Cleanup(front.Close)
	var dialled atomic.Int64
	transport := &http.Transport{Protocols: front.Config.Protocols, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		dialled.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, front.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}

	left := make(chan struct{})
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		_, _ = io.WriteString(w, "first")
		_ = http.NewResponseController(w).Flush()
		if r.Method == http.MethodGet {
			<-r.Context().Done()
			close(left)
		}
	})
	ctx, leave := context.WithCancel(t.Context())
	stream, err := client.Do(request(t, s, token, http.MethodGet, "/music/mcp", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Body.Close() }()
	if _, err := io.ReadFull(stream.Body, make([]byte, 5)); err != nil || stream.ProtoMajor != 2 {
		t.Fatal(stream.Proto, err)
	}
	large := strings.Repeat("x", 3<<20)
	for body, status := range map[string]int{"small ": 200, large: 200} {
		a := s.Do(t, client, request(t, s, token, http.MethodPost, "/music/mcp", strings.NewReader(body)))
		if a.Status != status || a.Body != body+"first" {
			t.Errorf("%d, %d bytes", a.Status, len(a.Body))
		}
	}
	if a := s.Do(t, client, request(t, s, "bad", http.MethodPost, "/music/mcp", strings.NewReader(large))); a.Status != http.StatusUnauthorized {
		t.Errorf("a bad token: %d", a.Status)
	}
	leave()
	select {
	case <-left:
	case <-time.After(time.Minute):
		t.Error("the backend still works for a stream that was reset")
	}
	if n := dialled.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}
