package sdk

import (
	"errors"
	"strings"
	"time"

	"github.com/sallyport/sallyport/sdk/abi"
)

// Error ends a conversation without a result. Message may be shown to the
// user; Detail reaches the log and no further.
type Error struct {
	Kind       string // one of the Kind constants of package abi
	Message    string
	Detail     string
	RetryAfter int // seconds; 0: unknown
	// Certain says that the upstream's own words mean Kind and nothing else. Set it
	// for codes that never stand for a refresh token that has ended.
	Certain bool
}

// Error is for tests and logs.
func (e *Error) Error() string {
	s := e.Kind
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// Fail returns an Error of the kind with the words that go with it when the
// user need not know more. Kinds read from a table go here; code that knows
// its kind uses the functions below.
func Fail(kind, detail string) *Error {
	return &Error{Kind: kind, Message: messages(kind), Detail: detail}
}

// AccessDenied says that the user said no at the upstream.
func AccessDenied(message, detail string) *Error {
	return &Error{Kind: abi.KindAccessDenied, Message: message, Detail: detail}
}

// InvalidGrant says that the code or refresh token is dead, and with it the grant.
// Return it only if the upstream said so.
func InvalidGrant(message, detail string) *Error {
	return &Error{Kind: abi.KindInvalidGrant, Message: message, Detail: detail}
}

// InvalidScope says that the upstream refuses the scopes.
func InvalidScope(message, detail string) *Error {
	return &Error{Kind: abi.KindInvalidScope, Message: message, Detail: detail}
}

// InteractionRequired says that the user must act at the upstream first.
func InteractionRequired(message, detail string) *Error {
	return &Error{Kind: abi.KindInteractionRequired, Message: message, Detail: detail}
}

// RateLimited asks for the same again later; after is rounded up to a second, and 0 if
// the upstream did not say.
func RateLimited(after time.Duration, message, detail string) *Error {
	return &Error{Kind: abi.KindRateLimited, Message: message, Detail: detail, RetryAfter: int((after + time.Second - 1) / time.Second)}
}

// Unavailable says that the upstream is down or answers nonsense; nothing is lost.
func Unavailable(message, detail string) *Error {
	return &Error{Kind: abi.KindUnavailable, Message: message, Detail: detail}
}

// Misconfigured says that settings, client identifier or secret are wrong.
func Misconfigured(message, detail string) *Error {
	return &Error{Kind: abi.KindMisconfigured, Message: message, Detail: detail}
}

// Bug says that the provider is at fault.
func Bug(message, detail string) *Error {
	return &Error{Kind: abi.KindBug, Message: message, Detail: detail}
}

// OAuthError translates an error code of an authorization or token endpoint
// (RFC 6749 §4.1.2.1 and §5.2, OpenID Connect Core §3.1.2.6) and its
// description, where the answer's status says nothing. An unknown code becomes
// Unavailable: what is not understood must not end a grant.
func OAuthError(code, description string) *Error {
	return OAuthAnswer(0, code, description)
}

// OAuthAnswer is OAuthError for an answer of that status. An unknown code in a
// 4xx becomes Misconfigured: the upstream answers, and asking again does not
// help (RFC 9110 §15.5). An authorization endpoint's code, which comes without a
// status, counts as in a 400.
func OAuthAnswer(status int, code, description string) *Error {
	kind := oauthKind(code)
	if kind == "" {
		kind = abi.KindUnavailable
		if lasting(status) {
			kind = abi.KindMisconfigured
		}
	}
	e := Fail(kind, UpstreamText(code, description))
	e.Certain = certainCode(code)
	return e
}

// certainCode reports whether a code is about neither the refresh token nor the
// client's credentials: RFC 6749 §4.1.2.1 temporarily_unavailable, which token
// endpoints send with a 400 as well, and what only the operator can mend.
func certainCode(code string) bool {
	switch strings.ToLower(code) {
	case "temporarily_unavailable", "unsupported_grant_type", "unsupported_response_type", "redirect_uri_mismatch":
		return true
	}
	return false
}

// oauthKind translates a code, which some servers write in capitals. Besides
// those of the specifications it knows what servers call a refresh token that has
// ended or was revoked: taken for an outage, it would leave the user without a
// way to log in again.
func oauthKind(code string) string {
	switch strings.ToLower(code) {
	case "access_denied":
		return abi.KindAccessDenied
	case "invalid_grant", "expired_token", "token_expired", "token_revoked", "invalid_refresh_token", "bad_refresh_token", "expired_refresh_token", "refresh_token_expired":
		return abi.KindInvalidGrant
	case "invalid_scope":
		return abi.KindInvalidScope
	case "interaction_required", "login_required", "consent_required", "account_selection_required":
		return abi.KindInteractionRequired
	case "slow_down": // RFC 8628 §3.5
		return abi.KindRateLimited
	case "invalid_client", "unauthorized_client", "unsupported_response_type", "unsupported_grant_type", "redirect_uri_mismatch",
		"invalid_request": // a knob is set wrong: what an upstream says is never taken for a bug of ours
		return abi.KindMisconfigured
	case "server_error", "temporarily_unavailable":
		return abi.KindUnavailable
	}
	return ""
}

// UpstreamText joins an upstream's error code and description to one line for
// a detail: printable, and cut after 300 bytes.
func UpstreamText(code, description string) string {
	s := "upstream says " + code
	if description != "" {
		s += ": " + description
	}
	return oneLine(s)
}

func oneLine(s string) string {
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
}

// KnownKind reports whether kind is one of the Kind constants of package abi. The
// host takes no other.
func KnownKind(kind string) bool {
	switch kind {
	case abi.KindAccessDenied, abi.KindInvalidGrant, abi.KindInvalidScope, abi.KindInteractionRequired,
		abi.KindRateLimited, abi.KindUnavailable, abi.KindMisconfigured, abi.KindBug:
		return true
	}
	return false
}

// messages are the words for a user who need not know more.
func messages(kind string) string {
	switch kind {
	case abi.KindAccessDenied:
		return "Access was not granted."
	case abi.KindInvalidGrant:
		return "The connection has ended. Please connect again."
	case abi.KindInvalidScope:
		return "The upstream does not grant the permissions asked for."
	case abi.KindInteractionRequired:
		return "The upstream needs you to sign in there first."
	case abi.KindRateLimited:
		return "The upstream is receiving too many requests. Please try again later."
	case abi.KindUnavailable:
		return "The upstream does not answer as expected. Please try again later."
	case abi.KindMisconfigured:
		return "The connection to the upstream is not set up correctly."
	}
	return "The provider of this upstream failed."
}

// asError makes any error one that can be sent. What is no *Error is a bug.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e != nil {
		if e.Kind == "" {
			return Fail(abi.KindBug, "an error without a kind: "+e.Error())
		}
		return e
	}
	return Fail(abi.KindBug, oneLine(err.Error()))
}
