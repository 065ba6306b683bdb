package gateway

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"
)

// subscriptionsListen is the one method whose answer stays open for
// notifications alone (MCP 2026-07-28).
const subscriptionsListen = "subscriptions/listen"

// idleStreams are the open streams that carry notifications and no answer to a
// call. A client opens such a stream again when it ends, so a server that stops
// may end them at any event boundary.
type idleStreams struct {
	mu   sync.Mutex
	open map[*idleStream]struct{}
}

// EndIdleStreams ends every open stream that carries no answer to a call, each
// at its next event boundary. Calls under way continue.
func (g *Gateway) EndIdleStreams() {
	g.idle.mu.Lock()
	open := make([]*idleStream, 0, len(g.idle.open))
	for s := range g.idle.open {
		open = append(open, s)
	}
	g.idle.mu.Unlock()
	for _, s := range open {
		s.end()
	}
}

// idleStream is the body of one such stream.
type idleStream struct {
	io.ReadCloser
	streams *idleStreams
	cancel  func() // ends the backend's part

	mu     sync.Mutex
	events boundary
	ending bool // end at the next boundary
	ended  bool // the rest of the backend's answer does not count
}

// track makes an answer that is an idle stream known to EndIdleStreams.
func (g *Gateway) track(res *http.Response, c *call) {
	if !isIdleStream(res, c) {
		return
	}
	s := &idleStream{ReadCloser: res.Body, streams: &g.idle, cancel: c.cancel}
	g.idle.mu.Lock()
	defer g.idle.mu.Unlock()
	if g.idle.open == nil {
		g.idle.open = map[*idleStream]struct{}{}
	}
	g.idle.open[s] = struct{}{}
	res.Body = s
}

// isIdleStream reports whether an answer is an event stream that carries
// notifications alone: the answer to a GET (MCP 2025-11-25, Listening for
// Messages from the Server), or to subscriptions/listen.
func isIdleStream(res *http.Response, c *call) bool {
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || media != "text/event-stream" || res.ContentLength >= 0 {
		return false
	}
	if c.in.Method == http.MethodGet {
		return true
	}
	if !bytes.Contains(c.bytes(), []byte(subscriptionsListen)) {
		return false
	}
	messages, err := c.parsed()
	return err == nil && len(messages) > 0 && !slices.ContainsFunc(messages, func(m message) bool { return m.method != subscriptionsListen })
}

// end ends the stream now, or as soon as the event under way is complete.
func (s *idleStream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
	s.settle()
}

// settle ends a stream that is to end and is between two events.
func (s *idleStream) settle() {
	if s.ending && !s.ended && s.events.between() {
		s.ended = true
		s.cancel()
	}
}

// Read returns io.EOF once the stream has ended, so that the client receives a
// complete answer and not a broken one. What the backend sends after that is
// dropped: it could be the beginning of an event.
func (s *idleStream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.EOF
	}
	s.events.add(p[:n])
	s.settle()
	if s.ended && (err == nil || !errors.Is(err, io.EOF)) {
		err = io.EOF
	}
	return n, err
}

// Close also makes EndIdleStreams forget the stream.
func (s *idleStream) Close() error {
	s.streams.mu.Lock()
	delete(s.streams.open, s)
	s.streams.mu.Unlock()
	return s.ReadCloser.Close()
}

// boundary follows an event stream and knows whether an event is under way. A
// line ends with LF, CR or CRLF; an empty line ends an event; a line that begins
// with a colon is a comment and belongs to no event (HTML Living Standard,
// Parsing an event stream).
type boundary struct {
	afterCR bool // an LF now belongs to the line end before it
	inLine  bool // the current line has a first byte
	comment bool // which was a colon
	inEvent bool // an event has a complete line and no empty line yet
}

func (b *boundary) add(p []byte) {
	for _, c := range p {
		if c == '\n' && b.afterCR {
			b.afterCR = false
			continue
		}
		b.afterCR = c == '\r'
		switch {
		case c != '\n' && c != '\r':
			if !b.inLine {
				b.inLine, b.comment = true, c == ':'
			}
		case !b.inLine:
			b.inEvent = false
		default:
			b.inEvent = b.inEvent || !b.comment
			b.inLine = false
		}
	}
}

// between reports whether no event and no line is under way.
func (b *boundary) between() bool { return !b.inLine && !b.inEvent }
