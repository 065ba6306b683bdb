package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/core/grant"
)

// lookAgain is how often an open stream is asked whether its grant stands.
const lookAgain = 30 * time.Second

// stream is a backend's answer without an announced end. It ends when the grant
// does, and when it has lasted as long as an access token may: whoever was let
// in once is not let in for ever. That its own token expires meanwhile does not
// end it, because an answer that is under way would be lost.
type stream struct {
	io.ReadCloser
	call   *call
	grants *grant.Store
	timer  *time.Timer
	left   time.Duration // until it has lasted too long
	over   atomic.Bool
}

// watch makes a stream of an answer. Without a user there is no grant that
// could end.
func (g *Gateway) watch(res *http.Response, c *call) {
	if c.anonymous() || res.ContentLength >= 0 || res.Body == http.NoBody {
		return
	}
	s := &stream{ReadCloser: res.Body, call: c, grants: g.gate.grants, left: c.tenant.Lifetimes.Access}
	s.timer = time.AfterFunc(min(lookAgain, s.left), s.look)
	res.Body = s
}

// look ends the stream or comes back later. A store that does not answer ends
// nothing.
func (s *stream) look() {
	s.left -= lookAgain
	ctx, cancel := context.WithTimeout(s.call.in.Context(), lookAgain)
	defer cancel()
	if s.left > 0 && grant.ReasonOf(s.grants.Stands(ctx, s.call.tenant, s.call.live)) == "" {
		s.timer.Reset(min(lookAgain, s.left))
		return
	}
	s.over.Store(true)
	s.call.cancel()
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
	s.timer.Stop()
	return s.ReadCloser.Close()
}
