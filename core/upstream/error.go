package upstream

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what a failure means for the grant and for the user.
type Kind string

// The kinds, a closed set; they are the same words as in the plugin ABI.
const (
	AccessDenied        Kind = "access_denied"        // the user said no at the upstream
	InvalidGrant        Kind = "invalid_grant"        // the code or refresh token is dead: so is the grant
	InvalidScope        Kind = "invalid_scope"        // the upstream refuses the scopes
	InteractionRequired Kind = "interaction_required" // the user must act at the upstream first
	RateLimited         Kind = "rate_limited"         // later
	Unavailable         Kind = "unavailable"          // the upstream is down or answers nonsense: keep the grant
	Misconfigured       Kind = "misconfigured"        // the operator must act
	Bug                 Kind = "bug"                  // the provider is at fault
)

// Error is a failed conversation.
type Error struct {
	Kind       Kind
	Message    string        // may be shown to the user
	Detail     string        // for the log, never further
	RetryAfter time.Duration // 0: unknown
	// Lost says that the upstream may have acted on a request, above all spent a
	// refresh token, and that what it answered is not known.
	Lost bool
	Err  error // the cause, if there is one in Go
}

// Error is for the log.
func (e *Error) Error() string {
	s := "upstream: " + string(e.Kind)
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	if e.Err != nil {
		s += fmt.Sprintf(": %v", e.Err)
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the *Error in err's chain. An error without one
// is Unavailable: nothing is known, so nothing may be thrown away.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Unavailable
}
