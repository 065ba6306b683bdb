package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest"
)

// arrived is a request as the backend got it.
type arrived struct {
	line   string
	header http.Header // trailers too
	body   string
}

// recorder keeps what the backend gets.
type recorder struct {
	mu  sync.Mutex
	all []arrived
}

func record(s *coretest.Server) *recorder {
	rec := &recorder{}
	handle(s, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		header := r.Header.Clone()
		for name, values := range r.Trailer {
			header[name] = append(header[name], values...)
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.all = append(rec.all, arrived{r.Method + " " + r.RequestURI, header, string(body)})
	})
	return rec
}

func (rec *recorder) take() []arrived {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	all := rec.all
	rec.all = nil
	return all
}

// raw sends bytes as they are, and an end, and returns the statuses of all
// answers but the end's.
func raw(t *testing.T, s *coretest.Server, request string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	end := "GET /end HTTP/1.1\r\nHost: " + conn.RemoteAddr().String() + "\r\nConnection: close\r\n\r\n"
	_, _ = io.WriteString(conn, request+end) // it may be refused before it is sent
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	for reader := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			return statuses
		}
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode == http.StatusNotFound && res.Close && strings.Contains(string(body), "no tenant") {
			return statuses
		}
		statuses = append(statuses, res.StatusCode)
	}
}

// TestOneRequestStaysOne sends what two parsers may take for different numbers
// of requests, or for other headers. Whatever the gateway makes of it, the
// backend gets nothing that was not let in, under the one name that it was.
func TestOneRequestStaysOne(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	rec := record(s)
	host := strings.TrimPrefix(s.URL, "http://")
	// A complete second request, hidden in the first, without a token.
	hidden := "POST /music/mcp HTTP/1.1\r\nHost: " + host + "\r\nX-Hidden: yes\r\nContent-Length: 0\r\n\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	for what, c := range map[string]struct {
		headers string
		body    string
		reaches int // requests that reach the backend, at most
	}{
		"plain":                             {"Content-Length: 2\r\n", "{}", 1},
		"length and chunks":                 {fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n", len(hidden)), "0\r\n\r\n" + hidden, 1},
		"chunks and length":                 {"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", chunked, 1},
		"two lengths":                       {"Content-Length: 0\r\nContent-Length: 2\r\n", "{}", 0},
		"two lengths in one":                {"Content-Length: 2, 0\r\n", "{}", 0},
		"a length with a sign":              {"Content-Length: +2\r\n", "{}", 0},
		"a negative length":                 {"Content-Length: -1\r\n", "{}", 0},
		"a length in hex":                   {"Content-Length: 0x2\r\n", "{}", 0},
		"a huge length":                     {"Content-Length: 18446744073709551618\r\n", "{}", 0},
		"an unknown coding":                 {"Transfer-Encoding: xchunked\r\nContent-Length: 2\r\n", "{}", 0},
		"two codings":                       {"Transfer-Encoding: chunked, identity\r\n", chunked, 0},
		"chunked twice":                     {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked, 0},
		"a coding behind a control":         {"Transfer-Encoding: \x0bchunked\r\nContent-Length: 2\r\n", "{}", 0},
		"a coding with a space in the name": {"Transfer-Encoding : chunked\r\nContent-Length: 2\r\n", "{}", 0},
		"a folded coding":                   {"Transfer-Encoding:\r\n chunked\r\n", chunked, 1},
		"a folded line":                     {"X-A: b\r\n X-Hidden: yes\r\nContent-Length: 2\r\n", "{}", 1},
		"a carriage return in a value":      {"X-A: b\rX-Hidden: yes\r\nContent-Length: 2\r\n", "{}", 0},
		"a zero byte":                       {"X-A: b\x00\r\nContent-Length: 2\r\n", "{}", 0},
		"a name with a space":               {"X-Sallyport-Subject : root\r\nContent-Length: 2\r\n", "{}", 0},
		"a name with a control":             {"X-Sallyport-Subject\x01: root\r\nContent-Length: 2\r\n", "{}", 0},
		"a line without a colon":            {"X-Hidden yes\r\nContent-Length: 2\r\n", "{}", 0},
		"two hosts":                         {"Host: evil.example\r\nContent-Length: 2\r\n", "{}", 0},
		"a chunk with a bare line feed":     {"Transfer-Encoding: chunked\r\n", "2\n{}\r\n0\r\n\r\n", 0},
		"a chunk that is too short":         {"Transfer-Encoding: chunked\r\n", "5\r\n{}\r\n0\r\n\r\n", 0},
		"a chunk of no size":                {"Transfer-Encoding: chunked\r\n", "x\r\n{}\r\n0\r\n\r\n", 0},
		"a huge chunk":                      {"Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n", 0},
		"a trailer":                         {"Transfer-Encoding: chunked\r\nTrailer: X-Sallyport-Subject\r\n", "2\r\n{}\r\n0\r\nX-Sallyport-Subject: root\r\n\r\n", 1},
		"a trailer of a large body": {"Transfer-Encoding: chunked\r\nTrailer: X-Sallyport-Subject, X-Hidden\r\n",
			fmt.Sprintf("200000\r\n%s\r\n0\r\nX-Sallyport-Subject: root\r\nX-Hidden: yes\r\n\r\n", strings.Repeat("x", 0x200000)), 1},
		"two requests in a row":      {"Content-Length: 2\r\n", "{}" + hidden, 1},
		"a body without length":      {"", hidden, 1},
		"no body and a second token": {"Authorization: Bearer other\r\nContent-Length: 2\r\n", "{}", 0},
	} {
		statuses := raw(t, s, "POST /music/mcp HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer "+token+"\r\n"+c.headers+"\r\n"+c.body)
		all := rec.take()
		if len(all) > c.reaches || c.reaches == 0 && (len(statuses) == 0 || statuses[0] != http.StatusBadRequest && statuses[0] != http.StatusNotImplemented) {
			t.Errorf("%s: answers %v, the backend got %d", what, statuses, len(all))
		}
		for _, r := range all {
			if r.header.Get("X-Hidden") != "" || r.header.Get("X-Sallyport-Subject") != "" || r.line != "POST /mcp" ||
				r.header.Get("Authorization") != "Bearer upstream-access-ada-0" {
				t.Errorf("%s: the backend got %s %v", what, r.line, r.header)
			}
		}
		if c.reaches == 1 && (len(all) != 1 || len(statuses) == 0 || statuses[0] != http.StatusOK) {
			t.Errorf("%s: answers %v, the backend got %d", what, statuses, len(all))
		}
	}
}

func TestRequestLines(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	rec := record(s)
	host := strings.TrimPrefix(s.URL, "http://")
	for line, want := range map[string]int{
		"POST /music/mcp HTTP/1.1":                       200,
		"POST " + s.URL + "/music/mcp HTTP/1.1":          200,
		"POST http://evil.example/music/mcp HTTP/1.1":    404,
		"POST //music/mcp HTTP/1.1":                      404,
		"POST /music//mcp HTTP/1.1":                      404,
		"POST /music/x/../mcp HTTP/1.1":                  404,
		"POST /music/./mcp HTTP/1.1":                     404,
		"POST /music/mcp/../token HTTP/1.1":              404,
		"POST /music%2Fmcp HTTP/1.1":                     200,
		"POST /music/mcp;x HTTP/1.1":                     404,
		"POST /music\\mcp HTTP/1.1":                      404,
		"POST /music/mcp\x00 HTTP/1.1":                   400,
		"POST /music/mcp#x HTTP/1.1":                     404,
		"POST /music/mcp HTTP/1.1 HTTP/1.1":              400,
		"POST  /music/mcp HTTP/1.1":                      400,
		"POST /music/mcp HTTP/9.9":                       505,
		"CONNECT " + host + " HTTP/1.1":                  404,
		"TRACE /music/mcp HTTP/1.1":                      405,
		"GET /music/mcp?x=1%0d%0aX-Hidden:%20a HTTP/1.1": 200,
	} {
		statuses := raw(t, s, line+"\r\nHost: "+host+"\r\nAuthorization: Bearer "+token+"\r\nContent-Length: 0\r\n\r\n")
		all := rec.take()
		if len(statuses) != 1 || statuses[0] != want || (len(all) == 1) != (want == 200) {
			t.Errorf("%q: answers %v, want %d; the backend got %d", line, statuses, want, len(all))
		}
		for _, r := range all {
			if r.header.Get("X-Hidden") != "" {
				t.Errorf("%q: the backend got %v", line, r.header)
			}
		}
	}
}

// A client may name in Connection what no proxy is to pass on. It cannot name
// what the proxy says itself.
func TestConnectionHeaderTakesNothingOfOursAway(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	got := seen(t, send(t, s, token, message("ping"), "Connection", "close, Authorization, X-Sallyport-Assertion, X-Forwarded-For, X-Private", "X-Private", "a"))
	if got.Get("Authorization") != "Bearer upstream-access-ada-0" || got.Get("X-Sallyport-Assertion") == "" || got.Get("X-Forwarded-For") != "127.0.0.1" || got.Get("X-Private") != "" {
		t.Errorf("%v", got)
	}
}
