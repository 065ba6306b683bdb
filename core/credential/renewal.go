package credential

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// converse runs the provider's refresh while we hold the lease.
func (k *Keeper) converse(ctx context.Context, t *tenant.Tenant, l *grant.Live, n need) (*upstream.Credential, error) {
	if !renewable(t, l.Credential) {
		if n.rejected && k.JustObtained(l) {
			// Another login would bring another one like it.
			return nil, errors.Join(ErrRejectedAgain, k.grants.Release(ctx, t, l, k.holder, nil))
		}
		return nil, k.stop(ctx, t, l, &upstream.Error{Kind: upstream.InvalidGrant, Detail: "the upstream gave no refresh token"})
	}
	kept, err := k.grants.Journal(t, l)
	if err != nil {
		return nil, fmt.Errorf("credential: journal: %w", err)
	}
	cred, lost, err := k.refresh(ctx, t, l, &journal{keeper: k, tenant: t, live: l, kept: kept})
	if err == nil {
		return k.store(ctx, t, l, cred)
	}
	if errors.Is(err, grant.ErrLeaseLost) {
		return nil, err
	}
	err = k.judge.failed(t, l.ID, err)
	step := upstream.StepCall
	if k.valid(l.Credential) && !n.rejected {
		step = upstream.StepRenewAhead
	}
	outcome := upstream.OutcomeOf(step, err)
	if outcome.Grant == upstream.NeedsLogin {
		return nil, k.stop(ctx, t, l, err)
	}
	// The journal stays: the upstream may have rotated its token before the
	// conversation failed, and another attempt, or a repaired provider, goes on
	// from there.
	k.report(ctx, t, l, outcome, err)
	return nil, errors.Join(err, k.grants.Release(ctx, t, l, k.holder, k.setback(l.Record.Setback, lost, err)))
}

// store keeps a renewed credential.
func (k *Keeper) store(ctx context.Context, t *tenant.Tenant, l *grant.Live, cred *upstream.Credential) (*upstream.Credential, error) {
	k.judge.succeeded(t, l.ID)
	renewed, err := k.grants.Renew(ctx, t, l, k.holder, cred)
	if grant.ReasonOf(err) == grant.Gone {
		// It was revoked meanwhile, with the credential of before.
		k.Revoke(ctx, t, &grant.Live{ID: l.ID, Record: l.Record, Credential: cred})
	}
	if err != nil {
		return nil, err // the journal is kept: the next caller goes on from there
	}
	k.audit.Record(ctx, audit.Event{Action: audit.Renewed, Tenant: t.Name, Grant: l.ID, Subject: l.Record.Subject, Upstream: l.Record.Upstream})
	return renewed.Credential, nil
}

// refresh asks the upstream, and a second time where that does no harm. It
// reports whether the refresh token may have been spent in vain.
func (k *Keeper) refresh(ctx context.Context, t *tenant.Tenant, l *grant.Live, j *journal) (cred *upstream.Credential, lost bool, err error) {
	defer k.beat(ctx, t, l)()
	var first *upstream.Error
	for try := 1; ; try++ {
		cred, err = t.Provider.Refresh(ctx, upstream.RefreshRequest{Credential: l.Credential, Scopes: t.UpstreamScopes(l.Record.Scopes), Journal: j})
		e, _ := errors.AsType[*upstream.Error](err)
		if e == nil {
			return cred, lost, err
		}
		lost = lost || e.Lost
		if try == tries || !again(t, e) {
			return nil, lost, both(first, e, err)
		}
		first = e
		if _, ended := sleep(ctx, tryPause); ended != nil {
			return nil, lost, err
		}
	}
}

// both makes one error of two tries, of which the first may not have been made.
// The second one's kind counts; the log learns of both.
func both(first, second *upstream.Error, err error) error {
	if first == nil {
		return err
	}
	e := *second
	e.Detail, e.Err = fmt.Sprintf("first try: %s; second try: %s", first.Why(), second.Why()), nil
	if first.Lost && !second.Lost {
		e.Detail += "; the upstream may have received the refresh token with the first try"
	}
	return &e
}

// stop puts the grant into the state that needs a login, as long as we hold the
// lease.
func (k *Keeper) stop(ctx context.Context, t *tenant.Tenant, l *grant.Live, err error) error {
	kind, why := upstream.KindOf(err), explain(l, err)
	if err := k.grants.RequireLogin(ctx, t, l, k.holder, kind, why); err != nil {
		return err
	}
	outcome := upstream.OutcomeOf(upstream.StepCall, err)
	k.audit.Record(ctx, audit.Event{Action: audit.Action(outcome.Audit), Tenant: t.Name, Grant: l.ID, Subject: l.Record.Subject, Upstream: l.Record.Upstream, Reason: reasonOf(kind, why)})
	k.log.Write(level(outcome.Log), "the user has to log in again", []any{"tenant", t.Name, "kind", string(kind)},
		"grant", l.ID, "error", why, "request", middleware.GetReqID(ctx))
	return fmt.Errorf("%w: %w", ErrNeedsLogin, err)
}

// report tells the operator of a renewal that failed.
func (k *Keeper) report(ctx context.Context, t *tenant.Tenant, l *grant.Live, outcome upstream.Outcome, err error) {
	kind, why := upstream.KindOf(err), explain(l, err)
	k.audit.Record(ctx, audit.Event{
		Action: audit.Action(outcome.Audit), Tenant: t.Name, Grant: l.ID, Subject: l.Record.Subject, Upstream: l.Record.Upstream, Reason: reasonOf(kind, why),
	})
	k.log.Write(level(outcome.Log), "the upstream credential cannot be renewed", []any{"tenant", t.Name, "kind", string(kind)},
		"grant", l.ID, "error", why, "remedy", remedy(t, l, kind), "request", middleware.GetReqID(ctx))
}

// explain is why a conversation about l failed, in one line. A provider should
// put no token into it, and one that does reveals none.
func explain(l *grant.Live, err error) string {
	why := err.Error()
	if e, ok := errors.AsType[*upstream.Error](err); ok {
		why = e.Why()
	}
	if l.Credential == nil {
		return why
	}
	for _, secret := range []seal.Secret{l.Credential.RefreshToken, l.Credential.AccessToken} {
		if !secret.IsZero() {
			why = strings.ReplaceAll(why, secret.Reveal(), "[secret]")
		}
	}
	return why
}

// reasonOf is what the audit line says.
func reasonOf(kind upstream.Kind, why string) string {
	return strings.TrimSuffix(string(kind)+": "+why, ": ")
}

// remedy says what the operator can do. Where two faults are possible it names
// both remedies.
func remedy(t *tenant.Tenant, l *grant.Live, kind upstream.Kind) string {
	switch kind {
	case upstream.Misconfigured:
		return fmt.Sprintf("check the tenant's client_id, client_secret and settings; if they are right the upstream refuses this user's refresh token: "+
			"end the grant with: sallyport grant revoke %s %s; an upstream that answers so to every token that has ended needs settings/error_kinds, such as invalid_request: invalid_grant", t.Name, l.ID)
	case upstream.Bug:
		return "replace the provider's module by a version that works, or report the error to its author"
	}
	return "none is needed: the server asks again"
}

func level(l upstream.Level) hclog.Level { return hclog.LevelFromString(string(l)) }

// beat keeps the lease alive until the returned function is called.
func (k *Keeper) beat(ctx context.Context, t *tenant.Tenant, l *grant.Live) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(beatTime)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				// A failure is the store's, or the lease is lost, which the next
				// step of the conversation will hear.
				_ = k.grants.Beat(ctx, t, l, k.holder)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// journal binds upstream.Journal to a grant we hold the lease of.
type journal struct {
	keeper *Keeper
	tenant *tenant.Tenant
	live   *grant.Live
	kept   []byte
}

func (j *journal) Load() []byte { return j.kept }

// Keep asks the store again and again: the upstream may have given up the old
// token for what is in these answers, and nobody else has them. The lease is
// beaten meanwhile, so nobody else sends the old one.
func (j *journal) Keep(ctx context.Context, answers []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		err := j.keeper.grants.KeepJournal(ctx, j.tenant, j.live, j.keeper.holder, answers)
		if err == nil {
			j.kept = answers
		}
		if err == nil || errors.Is(err, grant.ErrLeaseLost) || grant.ReasonOf(err) != "" {
			return err
		}
		if _, ended := sleep(ctx, wait); ended != nil {
			return err
		}
	}
}
