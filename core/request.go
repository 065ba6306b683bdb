package core

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
)

// What a request to an OAuth endpoint may be. Header lines are bounded by
// whoever runs the http.Server.
const (
	// maxQuery has room for a state of 4 KiB with every byte escaped, beside a
	// client id of 1 KiB and the rest of an authorization request.
	maxQuery = 16 << 10 // bytes
	maxBody  = 64 << 10 // bytes
	bodyTime = 30 * time.Second
)

// hurry gives the sender of a body bodyTime for it, from now on. It holds for
// bodies that nobody reads as well: net/http waits for the rest of them after
// the answer, and a stranger could keep a connection that way for ever. Only
// the real clock knows when the network has been waiting for long.
func (s *Server) hurry(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// Writers without a connection, in tests, have no deadline.
		_ = http.NewResponseController(w).SetReadDeadline(s.cfg.wall().Add(bodyTime))
	}
}

// receive reads the request whole and holds it to its bounds, so that no
// handler meets a body that is too large, too slow or cut off.
func receive(w http.ResponseWriter, r *http.Request) error {
	if len(r.URL.RawQuery) > maxQuery {
		fault := oauth.Errorf(oauth.InvalidRequest, "the query is longer than %d bytes", maxQuery)
		fault.Status = http.StatusRequestURITooLong
		return fault
	}
	if r.ContentLength == 0 {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return broken(err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // as in hurry
	r.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

func broken(err error) error {
	fault := oauth.Errorf(oauth.InvalidRequest, "the body ended early")
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		fault = oauth.Errorf(oauth.InvalidRequest, "the body is larger than %d bytes", maxBody)
		fault.Status = http.StatusRequestEntityTooLarge
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		fault = oauth.Errorf(oauth.InvalidRequest, "the body took longer than %v", bodyTime)
		fault.Status = http.StatusRequestTimeout
	}
	fault.Cause = err
	return fault
}
