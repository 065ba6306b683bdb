package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport/sallyport/core/assertion"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/credential"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// gate decides who may go on, whichever way the request then takes: through
// the proxy, or past it after a forward-auth question.
type gate struct {
	grants     *grant.Store
	keeper     *credential.Keeper
	assertions *assertion.Issuer
	inject     []tenant.Header // for tenants without headers of their own
	limits     *limits
	audit      *audit.Log
	// failure counts a token that was never issued, see Config.Failure.
	failure func(sender string) (wait time.Duration, over bool)
}

// facts is what the gate looks at in a request.
type facts struct {
	authorization []string // the header's values
	origin        []string // the header's values
	query         string   // of the URL, as it was sent
	sender        string   // address and port
	// handOut says that the credential leaves the server: it has to be valid for
	// a while.
	handOut bool
	// messages returns what the request asks for; caller is what limits count,
	// see pass.caller. It is called once at most, and only where the tenant's
	// policy depends on it. Nil or no messages: a request that is not a message,
	// such as one for a stream.
	messages func(caller string) ([]message, error)
}

// pass is the gate's yes. The zero value admits without a user.
type pass struct {
	live *grant.Live
	cred *upstream.Credential
}

// anonymous tells whether nobody is behind the request.
func (p *pass) anonymous() bool { return p.live == nil }

// rejected is the audit line of a refusal, with whose request it was if p, which
// may be nil, says so.
func (p *pass) rejected(t *tenant.Tenant, reason string) audit.Event {
	event := audit.Event{Action: audit.Rejected, Tenant: t.Name, Reason: reason}
	if p != nil && !p.anonymous() {
		event.Grant, event.Client = p.live.ID, p.live.Record.ClientHash
		event.Subject, event.Upstream = p.live.Record.Subject, p.live.Record.Upstream
	}
	return event
}

// decide admits a request, anonymously or as a user whose upstream credential
// is good, or refuses it. Every error is a *refusal, and is audited unless it
// only says that there was no token.
func (g *gate) decide(ctx context.Context, t *tenant.Tenant, f facts) (*pass, error) {
	p, err := g.admit(ctx, t, f)
	if err == nil {
		return p, nil
	}
	no := refuse(err)
	if grant.ReasonOf(err) == grant.BadToken {
		if wait, over := g.failure(f.sender); over {
			no = &refusal{reason: "failures", limited: true, fault: oauth.TooMany("too many tokens from this address were wrong", wait)}
		}
	}
	if no.fault != nil {
		g.record(ctx, t, p, f.sender, no)
	}
	return nil, no
}

// admit returns a pass beside an error where it knows whose request it refuses.
func (g *gate) admit(ctx context.Context, t *tenant.Tenant, f facts) (*pass, error) {
	for _, origin := range f.origin {
		if !t.AllowsOrigin(origin) {
			return nil, &refusal{reason: "origin", fault: &oauth.Error{
				Code: oauth.AccessDenied, Status: http.StatusForbidden, Description: "scripts of this origin are not let in here; the operator can allow it under origins",
			}}
		}
	}
	token, err := oauth.Bearer(f.authorization, f.query)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return &pass{}, g.anonymous(t, f)
	}
	live, err := g.grants.Verify(ctx, t, token)
	if err != nil {
		return nil, err
	}
	p := &pass{live: live}
	if err := g.limits.allow(t, p.caller(f.sender)); err != nil {
		return p, err
	}
	if err := f.covered(t, p); err != nil {
		return p, err
	}
	if f.handOut {
		p.cred, err = g.keeper.HandOut(ctx, t, live)
	} else {
		p.cred, err = g.keeper.Fresh(ctx, t, live)
	}
	return p, err
}

// errNoToken is a request that needs a token and came without.
var errNoToken = errors.New("gateway: no token")

// anonymous tells whether everything that is asked for may be had without a
// token.
func (g *gate) anonymous(t *tenant.Tenant, f facts) error {
	if len(t.Anonymous) == 0 || f.messages == nil {
		return errNoToken
	}
	caller := (&pass{}).caller(f.sender)
	if err := g.limits.allow(t, caller); err != nil {
		return err
	}
	messages, err := f.messages(caller)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if !slices.Contains(t.Anonymous, m.method) {
			return errNoToken
		}
	}
	if len(messages) == 0 {
		return errNoToken
	}
	return nil
}

// covered tells whether the granted scopes suffice for the tools that are
// called.
func (f facts) covered(t *tenant.Tenant, p *pass) error {
	if len(t.Tools) == 0 || f.messages == nil {
		return nil
	}
	messages, err := f.messages(p.caller(f.sender))
	if err != nil {
		return err
	}
	granted := p.live.Record.Scopes
	// All that the request needs, and what the client has, which it must not
	// lose by asking for just that: one challenge and not one after another.
	all := granted
	for _, m := range messages {
		for _, scope := range t.Tools[m.tool] {
			if !slices.Contains(all, scope) {
				all = append(slices.Clip(all), scope)
			}
		}
	}
	if len(all) == len(granted) {
		return nil
	}
	return &refusal{fault: oauth.Errorf(oauth.InsufficientScope, "this tool needs more scope than was granted"), scopes: all}
}
