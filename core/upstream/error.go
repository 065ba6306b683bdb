package upstream

import (
	"context"
	"errors"
	"strings"
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
	// Suspect says what an answer that refuses a renewal may be about; empty
	// where the kind says all there is to know.
	Suspect Suspect
	Err     error // the cause, if there is one in Go
}

// Suspect is what an upstream's refusal may be about: it does not say whether
// the refresh token or our registration is at fault. Package credential decides
// by what became of other renewals.
type Suspect string

// The suspects.
const (
	// SuspectEither: invalid_request, unauthorized_client, or a 4xx without an
	// OAuth error. Upstreams in use answer so to a refresh token that has ended.
	SuspectEither Suspect = "either"
	// SuspectClient: invalid_client, status 401, words about a client secret, or a
	// redirect. It says that our registration or settings are wrong (RFC 6749 §5.2),
	// and takes more to be believed of a token.
	SuspectClient Suspect = "client"
	// SuspectLasting: an answer that the provider cannot read, or server_error,
	// without a 5xx status. It is an outage unless it lasts for one refresh token
	// while others are renewed.
	SuspectLasting Suspect = "lasting"
)

// Error is for the log.
func (e *Error) Error() string { return "upstream: " + string(e.Kind) + ": " + e.Why() }

// Why is the failure without its kind, in one line: what the provider and the
// upstream say, or else what the user is told.
func (e *Error) Why() string {
	s := e.Detail
	if s == "" && e.Err == nil {
		s = e.Message
	}
	if e.Err == nil {
		return s
	}
	if s != "" {
		s += ": "
	}
	if errors.Is(e.Err, context.DeadlineExceeded) && !strings.Contains(e.Err.Error(), ": ") {
		return s + "no answer within the time limit"
	}
	return s + e.Err.Error()
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
