package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a refusal on its way to a client. Description is all that the
// client learns; Cause stays in the log.
type Error struct {
	Code        Code
	Description string
	Status      int           // 0: the code's usual status
	RetryAfter  time.Duration // sent as Retry-After if positive
	Cause       error
}

// Errorf returns an Error with a description for the client.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: fmt.Sprintf(format, args...)}
}

// Unavailable wraps a failure of our own machinery (a store that does not
// answer). It is never presented as the client's fault: a client that reads
// invalid_grant throws a good token away. A cause that says itself what the
// client is told, with a status of 500 or more, is told.
func Unavailable(cause error) *Error {
	if e, ok := errors.AsType[*Error](cause); ok && e.StatusCode() >= http.StatusInternalServerError {
		return &Error{Code: e.Code, Description: e.Description, Status: e.StatusCode(), RetryAfter: e.RetryAfter, Cause: cause}
	}
	return &Error{
		Code: TemporarilyUnavailable, Description: "the server cannot do this right now; try again shortly",
		Status: http.StatusServiceUnavailable, RetryAfter: 5 * time.Second, Cause: cause,
	}
}

// TooMany refuses one request too many (RFC 6585 §4). Like Unavailable it is no
// judgement of what the request showed: a client that waits loses nothing.
func TooMany(what string, wait time.Duration) *Error {
	return &Error{
		Code: TemporarilyUnavailable, Status: http.StatusTooManyRequests, RetryAfter: wait,
		Description: fmt.Sprintf("%s; try again in %v", what, time.Duration(seconds(wait))*time.Second),
	}
}

// NotFound says that nothing is at an address. Clients try addresses in turn.
func NotFound(what string) *Error {
	return &Error{Code: "not_found", Status: http.StatusNotFound, Description: what}
}

// WithRequest returns e with the request's id in its description, for a fault
// that a user has to hand on to the operator.
func (e *Error) WithRequest(id string) *Error {
	named := *e
	named.Description = strings.TrimSuffix(e.Description, ".") + " (request id " + id + ")"
	return &named
}

// Error is for the log.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Description
	if e.Cause != nil {
		s = strings.TrimSuffix(s, ".") + ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// StatusCode is the HTTP status the error is sent with.
func (e *Error) StatusCode() int {
	switch {
	case e.Status != 0:
		return e.Status
	case e.Code == InvalidClient, e.Code == InvalidToken:
		return http.StatusUnauthorized
	case e.Code == InsufficientScope:
		return http.StatusForbidden
	case e.Code == ServerError:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// AsError finds the *Error in err's chain. Anything else is ours to fix and
// none of the client's business: it becomes server_error, its text the cause.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: ServerError, Description: "something went wrong on our side", Cause: err}
}

// WriteJSON writes v as the JSON answer of an OAuth endpoint, never to be
// cached (RFC 6749 §5.1).
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // no answer type of ours fails to marshal
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// WriteError writes err as a JSON error (RFC 6749 §5.2).
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e := AsError(err)
	e.SetRetryAfter(w.Header())
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if e.Code == InvalidClient && strings.EqualFold(scheme, "Basic") {
		// RFC 6749 §5.2: answer in the scheme the client tried.
		w.Header().Set("WWW-Authenticate", `Basic realm="token endpoint"`)
	}
	WriteJSON(w, e.StatusCode(), e.wire())
}

// WriteRPC writes err as the answer to the JSON-RPC message of that id, nil if
// it is not known, with a code of JSON-RPC's; the OAuth error is its data. MCP
// clients give up the connection over a refusal in any other form, or take the
// server for one of another era (MCP 2026-07-28, Backward Compatibility).
func WriteRPC(w http.ResponseWriter, id json.RawMessage, code int, err error) {
	e := AsError(err)
	e.SetRetryAfter(w.Header())
	type fault struct {
		Code    int               `json:"code"`
		Message string            `json:"message"`
		Data    map[string]string `json:"data"`
	}
	WriteJSON(w, e.StatusCode(), struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id,omitempty"` // MCP: an error without id, where JSON-RPC has null
		Error   fault           `json:"error"`
	}{"2.0", id, fault{code, clean(e.Description), e.wire()}})
}

// Challenge is what a 401 or 403 of the protected resource tells a client
// (RFC 6750 §3, RFC 9728 §5.1).
type Challenge struct {
	ResourceMetadata string   // URL of the protected resource metadata
	Scopes           []string // all that are needed, granted already or not
}

// Write answers err with the challenge. A nil err is a request without any
// token: the challenge then carries no error (RFC 6750 §3.1).
func (c Challenge) Write(w http.ResponseWriter, err error) {
	status, body := http.StatusUnauthorized, map[string]string{
		"error": string(InvalidToken), "error_description": "this resource needs an access token",
	}
	if err != nil {
		e := AsError(err)
		e.SetRetryAfter(w.Header())
		status, body = e.StatusCode(), e.wire()
	}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		c.Set(w.Header(), err)
	}
	WriteJSON(w, status, body)
}

// Set puts the challenge into the header of an answer, for whoever writes a
// body of its own.
func (c Challenge) Set(h http.Header, err error) {
	// resource_metadata first and every value quoted: clients read this header
	// with regular expressions.
	header := `Bearer resource_metadata="` + c.ResourceMetadata + `"`
	if len(c.Scopes) > 0 {
		header += `, scope="` + strings.Join(c.Scopes, " ") + `"`
	}
	if err != nil {
		e := AsError(err)
		header += fmt.Sprintf(`, error="%s", error_description="%s"`, e.Code, clean(e.Description))
	}
	h.Set("WWW-Authenticate", header)
}

func (e *Error) wire() map[string]string {
	m := map[string]string{"error": string(e.Code)}
	if d := clean(e.Description); d != "" {
		m["error_description"] = d
	}
	return m
}

// SetRetryAfter tells a client how long to wait, if that is known.
func (e *Error) SetRetryAfter(h http.Header) {
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds(e.RetryAfter), 10))
	}
}

// seconds is d in whole seconds, rounded up: who comes that much later is not
// too early.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// clean keeps the characters RFC 6749 §5.2 allows in error_description: ASCII
// without quotation mark and backslash.
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '"':
			return '\''
		case c == '\\':
			return '/'
		case c < 0x20 || c > 0x7e:
			return ' '
		}
		return c
	}, s)
}
