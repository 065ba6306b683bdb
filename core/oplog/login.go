package oplog

import (
	"context"
	"errors"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/upstream"
)

// LoginFailed writes the line of a login that did not end well, with what the
// operator can do, and returns what the client is told: for all but the user's
// own refusal with the request's id, which the user can hand on.
func (l *Log) LoginFailed(ctx context.Context, tenantName string, step upstream.Step, err error) *oauth.Error {
	fault, id := oauth.AsError(err), middleware.GetReqID(ctx)
	how, remedy := hclog.Warn, remedyOf(fault)
	if _, ok := errors.AsType[*upstream.Error](err); ok {
		outcome := upstream.OutcomeOf(step, err)
		how, remedy = hclog.LevelFromString(string(outcome.Log)), remedies(outcome.Mends)
	}
	l.Write(how, "login failed", []any{"tenant", tenantName, "step", string(step), "code", string(fault.Code)},
		"error", err, "remedy", remedy, "request", id)
	if how == hclog.Info || id == "" {
		return fault
	}
	return fault.WithRequest(id)
}

// Refused writes the line of a request on the way to a login that is refused at
// a path.
func (l *Log) Refused(ctx context.Context, tenantName, path string, err error) {
	fault := oauth.AsError(err)
	l.Write(hclog.Warn, "login failed", []any{"tenant", tenantName, "step", path, "code", string(fault.Code)},
		"error", err, "remedy", remedyOf(fault), "request", middleware.GetReqID(ctx))
}

func remedies(m upstream.Mender) string {
	switch m {
	case upstream.ByTime:
		return "the user tries again; if it lasts, see whether the upstream is reachable from here"
	case upstream.ByOperator:
		return "compare the tenant's client_id, client_secret, scopes and settings with the registration at the upstream, and run sallyport check"
	}
	return "none is needed: the user starts again from the application"
}

// Remedied is an error that names its remedy.
type Remedied interface {
	error
	Remedy() string
}

// remedyOf names what mends a refusal of our own.
func remedyOf(fault *oauth.Error) string {
	if e, ok := errors.AsType[Remedied](fault.Cause); ok {
		return e.Remedy()
	}
	switch fault.Code {
	case oauth.InvalidClient:
		return "the user removes the connection in the application and adds it again; for a client of the configuration, compare clients with what the application sends"
	case oauth.AccessDenied:
		return "to admit the account, add it to the tenant's accounts"
	case oauth.TemporarilyUnavailable:
		return "see whether the store answers and has room; the user tries again"
	case oauth.ServerError:
		return "look up the request in the audit log, and run sallyport check"
	}
	return "the user starts again from the application; if it happens again, the application sends what the error names"
}
