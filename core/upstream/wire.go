package upstream

import (
	"errors"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
)

// laterTime is how long a client is told to wait where the upstream did not
// say.
const laterTime = 5 * time.Second

// ToOAuth turns a conversation that failed at a step into what an OAuth client
// is told, by the table of Rules. The upstream's own words stay in the log
// unless the provider meant them for the user.
func ToOAuth(step Step, err error) *oauth.Error {
	if fault, ok := errors.AsType[*oauth.Error](err); ok {
		return fault
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Kind: Unavailable, Err: err}
	}
	o := OutcomeOf(step, e)
	fault := &oauth.Error{Code: o.Code, Description: o.User, RetryAfter: e.RetryAfter, Cause: reason{e.Why(), err}}
	if e.Message != "" && e.Kind != Misconfigured && e.Kind != Bug { // of those the user needs to know who mends it
		fault.Description = e.Message
	}
	if o.Status >= http.StatusBadRequest {
		fault.Status = o.Status
	}
	if fault.RetryAfter == 0 && o.Mends == ByTime {
		fault.RetryAfter = laterTime
	}
	return fault
}

// reason is the cause of an oauth.Error, which tells kind and message itself.
type reason struct {
	why string
	err error
}

// Error is for the log.
func (r reason) Error() string { return r.why }

// Unwrap returns the error of the conversation.
func (r reason) Unwrap() error { return r.err }
