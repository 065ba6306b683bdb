package gateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// refusal is the gate's answer to a request that does not go on.
type refusal struct {
	fault   *oauth.Error // nil: no credentials were sent, the start of every login
	scopes  []string     // for the challenge; nil: what the tenant offers
	reason  string       // for the audit log; empty: the fault's code
	code    int          // of the JSON-RPC error; 0: codeRefused
	limited bool         // by a limit, so that it would be many
}

// Error is for the log.
func (r *refusal) Error() string {
	if r.fault == nil {
		return errNoToken.Error()
	}
	return r.fault.Error()
}

// refuse makes a refusal of whatever stopped a request. Only a dead token is
// invalid_token: it makes the client log in again.
func refuse(err error) *refusal {
	if no, ok := errors.AsType[*refusal](err); ok {
		return no
	}
	if errors.Is(err, errNoToken) || errors.Is(err, oauth.ErrNoBearer) {
		return &refusal{}
	}
	reason := grant.ReasonOf(err)
	if errors.Is(err, credential.ErrNeedsLogin) || reason == grant.LoginRequired {
		return &refusal{reason: string(grant.LoginRequired), fault: upstream.ToOAuth(upstream.StepCall, loginRequired(err))}
	}
	if reason != "" {
		return &refusal{reason: string(reason), fault: &oauth.Error{
			Code: oauth.InvalidToken, Description: "the access token is invalid or expired", Cause: err,
		}}
	}
	return &refusal{fault: wire(err)}
}

// loginRequired is err, of the kind that says so.
func loginRequired(err error) error {
	if _, ok := errors.AsType[*upstream.Error](err); ok {
		return err
	}
	return &upstream.Error{Kind: upstream.InvalidGrant, Err: err}
}

// wire is what a client is told of trouble that is not its token's.
func wire(err error) *oauth.Error {
	if fault, ok := errors.AsType[*oauth.Error](err); ok {
		return fault
	}
	if _, ok := errors.AsType[*upstream.Error](err); ok {
		return upstream.ToOAuth(upstream.StepCall, err)
	}
	return oauth.Unavailable(err)
}

// withRequest adds the request's id to what only the operator can mend, so that
// a user has something to hand on.
func (r *refusal) withRequest(id string) {
	if r.fault == nil || r.fault.Code != oauth.ServerError || id == "" {
		return
	}
	r.fault = r.fault.WithRequest(id)
}

// why is the reason for the audit log.
func (r *refusal) why() string {
	if r.reason == "" {
		return string(r.fault.Code)
	}
	return r.reason
}

// write answers a message for the tenant's backend of that name: with a
// challenge where a token or more scope would help, with an error otherwise. A
// 401 has the body of an OAuth error: who reads it is about to log in. The id is
// the message's, nil if it is not known.
func (r *refusal) write(w http.ResponseWriter, t *tenant.Tenant, backend string, id json.RawMessage) {
	challenge := oauth.Challenge{ResourceMetadata: t.ResourceMetadata(backend), Scopes: r.scopes}
	if r.scopes == nil {
		challenge.Scopes = t.Offered()
	}
	switch {
	case r.fault == nil:
		challenge.Write(w, nil)
	case r.fault.StatusCode() == http.StatusUnauthorized:
		challenge.Write(w, r.fault)
	default:
		if r.fault.Code == oauth.InsufficientScope {
			challenge.Set(w.Header(), r.fault)
		}
		oauth.WriteRPC(w, id, cmp.Or(r.code, codeRefused), r.fault)
	}
}
