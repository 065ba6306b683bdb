package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/core/grant"
)

// lookAgain is how often an open stream is asked whether its grant stands.
const lookAgain = 30 * time.Second

// streams are the open streams with a user, by tenant and grant.
type streams struct {
	mu   sync.Mutex
	open map[[2]string]map[*stream]struct{}
}

func newStreams() *streams { return &streams{open: map[[2]string]map[*stream]struct{}{}} }

func (s *streams) add(key [2]string, one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[key] == nil {
		s.open[key] = map[*stream]struct{}{}
	}
	s.open[key][one] = struct{}{}
}

func (s *streams) remove(key [2]string, one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.open[key], one); len(s.open[key]) == 0 {
		delete(s.open, key)
	}
}

// recheck has the streams of a grant that may have ended ask about it now, and
// all streams if no grant is named.
func (s *streams) recheck(tenantName, grantID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if grantID != "" {
		for one := range s.open[[2]string{tenantName, grantID}] {
			one.timer.Reset(0)
		}
		return
	}
	for _, of := range s.open {
		for one := range of {
			one.timer.Reset(0)
		}
	}
}

// stream is a backend's answer without an announced end. It ends when the grant
// does: by revocation, or when the grant expires. That its own token expires
// meanwhile does not end it: an answer that is under way would be lost, and
// clients open a stream again with the token they have.
type stream struct {
	io.ReadCloser
	call    *call
	grants  *grant.Store
	streams *streams
	timer   *time.Timer
	over    atomic.Bool
	closed  atomic.Bool
}

// watch makes a stream of an answer. Without a user there is no grant that
// could end.
func (g *Gateway) watch(res *http.Response, c *call) {
	if c.anonymous() || res.ContentLength >= 0 || res.Body == http.NoBody {
		return
	}
	s := &stream{ReadCloser: res.Body, call: c, grants: g.gate.grants, streams: g.streams}
	s.timer = time.AfterFunc(lookAgain, s.look)
	g.streams.add(s.key(), s)
	res.Body = s
}

func (s *stream) key() [2]string { return [2]string{s.call.tenant.Name, s.call.live.ID} }

// look ends the stream or comes back later. A store that does not answer ends
// nothing.
func (s *stream) look() {
	ctx, cancel := context.WithTimeout(s.call.in.Context(), lookAgain)
	defer cancel()
	switch {
	case s.closed.Load():
	case grant.ReasonOf(s.grants.Stands(ctx, s.call.tenant, s.call.live)) == "":
		s.timer.Reset(lookAgain)
	default:
		s.over.Store(true)
		s.call.cancel()
	}
}

// Read ends as if the backend had ended.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && s.over.Load() {
		err = io.EOF
	}
	return n, err
}

// Close also stops the watch.
func (s *stream) Close() error {
	s.closed.Store(true)
	s.streams.remove(s.key(), s)
	s.timer.Stop()
	return s.ReadCloser.Close()
}
