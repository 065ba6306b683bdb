package upstream

import (
	"errors"

	"github.com/sallyport/sallyport/core/oauth"
)

// ToOAuth turns a failed conversation into what an OAuth client is told. The
// upstream's own words stay in the log unless the provider meant them for the
// user.
func ToOAuth(err error) *oauth.Error {
	if fault, ok := errors.AsType[*oauth.Error](err); ok {
		return fault
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Kind: Unavailable, Err: err}
	}
	say := func(code oauth.Code, text string) *oauth.Error {
		if e.Message != "" {
			text = e.Message
		}
		return &oauth.Error{Code: code, Description: text, RetryAfter: e.RetryAfter, Cause: err}
	}
	switch e.Kind {
	case AccessDenied:
		return say(oauth.AccessDenied, "the user denied the request at the upstream service")
	case InvalidScope:
		return say(oauth.InvalidScope, "the upstream service refuses the scopes")
	case InvalidGrant, InteractionRequired:
		return say(oauth.AccessDenied, "the upstream login did not succeed; start again")
	case RateLimited, Unavailable:
		f := say(oauth.TemporarilyUnavailable, "the upstream service does not answer as it should; try again shortly")
		f.Status = 503
		return f
	default:
		f := say(oauth.ServerError, "the connection to the upstream service is not set up correctly; the operator has been told")
		f.Status = 502
		return f
	}
}
