package sdk

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/tree"
)

// Response is what the upstream answered. Redirects are not followed: a 3xx
// is an answer like any other. Body is valid during the call only.
type Response struct {
	Status  int
	Headers []abi.Header // names in lower case
	Body    []byte
}

// OK tells whether the status is 2xx.
func (r *Response) OK() bool { return r.Status/100 == 2 }

// Header returns the first header of that name, or "".
func (r *Response) Header(name string) string {
	return Form(r.Headers).Get(strings.ToLower(name))
}

// JSON parses the body as JSON, without the byte order mark that some servers
// send first (RFC 8259 §8.1). If the body is not JSON, JSON returns the error of
// Unreadable.
func (r *Response) JSON() (tree.Value, error) {
	v, err := tree.Parse(bytes.TrimPrefix(r.Body, []byte("\xef\xbb\xbf")))
	if err != nil {
		return tree.Value{}, r.Unreadable(err.Error())
	}
	return v, nil
}

// Form reads the body as a form. If it is none, the error is Unavailable.
func (r *Response) Form() (Form, error) {
	f, err := ParseForm(string(r.Body))
	if err != nil {
		return nil, r.Unreadable(err.Error())
	}
	return f, nil
}

// Unreadable returns the error for an answer that makes no sense. It tells
// what kind of answer it was, and nothing of what was in it. It is Misconfigured
// if the status is a 4xx with which asking again does not help (RFC 9110 §15.5),
// such as 404 at a wrong URL, and Unavailable otherwise.
func (r *Response) Unreadable(why string) *Error {
	kind := abi.KindUnavailable
	if lasting(r.Status) {
		kind = abi.KindMisconfigured
	}
	return Fail(kind, "unreadable answer: "+why+"; "+r.summary())
}

// lasting reports whether a status says that asking the same again does not help.
func lasting(status int) bool {
	switch status {
	case 408, 409, 423, 425, 429:
		return false
	}
	return status/100 == 4
}

// Overload returns RateLimited or Unavailable if the status says that the
// upstream is too busy or broken, and nil otherwise. A 403 counts as too busy
// if the headers say that a limit is spent.
func (r *Response) Overload(now time.Time) error {
	spent := r.Header("x-ratelimit-remaining") == "0"
	switch {
	case r.Status == 429, r.Status == 403 && (spent || r.Header("retry-after") != ""):
		e := Fail(abi.KindRateLimited, r.summary())
		e.RetryAfter = r.retryAfter(now)
		return e
	case r.Status >= 500:
		e := Fail(abi.KindUnavailable, r.summary())
		e.RetryAfter = r.retryAfter(now)
		return e
	}
	return nil
}

// retryAfter reads Retry-After as seconds or as a date (RFC 9110 §10.2.3), or
// else the widespread X-RateLimit-Reset in seconds since 1970. Some upstreams
// write both with a fraction, which is rounded up.
func (r *Response) retryAfter(now time.Time) int {
	text := strings.TrimSpace(r.Header("retry-after"))
	seconds, ok := roundedUp(text)
	if at, isDate := ParseTime(text); isDate {
		seconds, ok = at.Unix()-now.Unix(), true
	}
	if reset, isNumber := roundedUp(r.Header("x-ratelimit-reset")); !ok && isNumber {
		seconds = reset - now.Unix()
	}
	const longest = 24 * 3600 // who says more means something else
	return int(min(max(seconds, 0), longest))
}

// roundedUp reads a number of seconds and rounds it up to a whole one.
func roundedUp(text string) (int64, bool) {
	if n, ok := ParseInt(text); ok {
		return n, true
	}
	n, ok := ParseSeconds(text)
	if !ok {
		return 0, false
	}
	return n + 1, true
}

func (r *Response) summary() string {
	kind := r.Header("content-type")
	if kind == "" {
		kind = "no content type"
	}
	return "status " + strconv.Itoa(r.Status) + ", " + oneLine(kind) + ", " + strconv.Itoa(len(r.Body)) + " bytes"
}
