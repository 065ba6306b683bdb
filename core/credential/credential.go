// Package credential hands out upstream credentials that are good for a while:
// as they are, or renewed first. It owns when a credential is due, that only
// one process renews it, and what a failed renewal means for the grant. It
// leaves the record and its compare-and-swap to package grant and the
// conversation with the upstream to the Provider.
package credential

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	// MinValidity is how long a credential handed out is good for at least,
	// unless the upstream issues shorter ones or cannot renew it now.
	MinValidity = 60 * time.Second
	// beatTime is how often the holder of a lease shows that it is alive.
	beatTime = 3 * time.Second
	// leaseTime is how long a lease has to stand still before somebody else
	// takes it over: that holder is dead. One that merely waits for an answer
	// and is taken for dead would have a single-use token sent twice.
	leaseTime = 4 * beatTime
	// flightTime bounds one renewal, waiting for another process included.
	flightTime = 60 * time.Second
	// callerTime bounds how long a caller waits for a renewal, which goes on.
	callerTime = 30 * time.Second
	// keepTime bounds how long an answer of the upstream is held while the
	// store does not take it.
	keepTime = 10 * time.Minute
	// tries is how often one renewal asks the upstream, and tryPause how long it
	// waits in between.
	tries    = 2
	tryPause = 250 * time.Millisecond
	// Between two attempts at the store.
	firstWait, longestWait = 20 * time.Millisecond, time.Second
)

// ErrRejectedAgain says that a backend rejects a credential again that was
// renewed for the same reason a moment ago. Another renewal will not help.
var ErrRejectedAgain = errors.New("credential: rejected again soon after it was renewed")

// ErrDead says that the upstream will not honour the credential again. The
// grant is deleted by then.
var ErrDead = errors.New("credential: the upstream ended it")

// Keeper renews credentials. A process has one: in its leases it goes by one
// name, so that a lease it claimed without hearing so is its own again at once.
type Keeper struct {
	grants   *grant.Store
	audit    *audit.Log
	now      func() time.Time
	holder   string
	seed     maphash.Seed       // see spread
	flight   singleflight.Group // of a process, one renewal a grant
	replaced *limit.Limiter
}

// NewKeeper returns a Keeper. A nil now means time.Now.
func NewKeeper(grants *grant.Store, log *audit.Log, now func() time.Time) *Keeper {
	if now == nil {
		now = time.Now
	}
	return &Keeper{
		grants: grants, audit: log, now: now, holder: seal.RandomID(9), seed: maphash.MakeSeed(),
		// A backend that rejects everything would have us ask the upstream with
		// every call.
		replaced: limit.New(limit.Rate{Events: 1, Per: time.Minute}, 4096, now),
	}
}

// Fresh returns a credential of the grant that is good for MinValidity. While
// the upstream cannot renew it, the old one is returned as long as it is valid
// at all. Errors are ErrDead, a *grant.Refusal (the grant ended meanwhile), an
// *upstream.Error, or the store's.
func (k *Keeper) Fresh(ctx context.Context, t *tenant.Tenant, l *grant.Live) (*upstream.Credential, error) {
	if !k.due(l) || (!renewable(t, l.Credential) && k.valid(l.Credential)) {
		return l.Credential, nil
	}
	cred, err := k.renew(ctx, t, l, false)
	if err == nil || errors.Is(err, ErrDead) || grant.ReasonOf(err) != "" || ctx.Err() != nil || !k.valid(l.Credential) {
		return cred, err
	}
	return l.Credential, nil
}

// Replace returns a credential other than the one the backend just rejected.
// Errors are those of Fresh, and ErrRejectedAgain.
func (k *Keeper) Replace(ctx context.Context, t *tenant.Tenant, l *grant.Live) (*upstream.Credential, error) {
	return k.renew(ctx, t, l, true)
}

// renew lets one goroutine of this process work on a grant; the others wait
// for its outcome. A caller that gives up does not stop the renewal: its
// answer would be lost.
func (k *Keeper) renew(ctx context.Context, t *tenant.Tenant, l *grant.Live, rejected bool) (*upstream.Credential, error) {
	if err := k.hold(t, l, rejected); err != nil {
		return nil, err // without a write: thousands may come while an upstream rests
	}
	done := k.flight.DoChan(t.Name+"/"+l.ID, func() (cred any, err error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTime)
		defer cancel()
		defer func() {
			// This goroutine is no request's: a panic would end the process. The
			// lease ends by standing still.
			if v := recover(); v != nil {
				err = &upstream.Error{Kind: upstream.Bug, Detail: fmt.Sprintf("panic: %v", v)}
			}
		}()
		return k.fly(ctx, t, l, rejected)
	})
	patience := time.NewTimer(callerTime)
	defer patience.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-patience.C:
		return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "the renewal takes long", RetryAfter: beatTime}
	case res := <-done:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*upstream.Credential), nil
	}
}

// fly claims the lease and renews, or waits for whoever holds it.
func (k *Keeper) fly(ctx context.Context, t *tenant.Tenant, l *grant.Live, rejected bool) (*upstream.Credential, error) {
	before := l.Credential.AccessToken.Reveal()
	var other watched
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		leased, err := k.grants.Lease(ctx, t, l, k.holder, other.dead())
		if elsewhere, ok := errors.AsType[*grant.LeasedError](err); ok {
			if err := other.watch(ctx, elsewhere.Lease, wait); err != nil {
				return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "waited for a renewal elsewhere", Err: err}
			}
			continue
		}
		if err != nil {
			// Without the store nothing was watched, and nobody could beat: the
			// next attempt watches anew.
			return nil, err
		}
		renewed := leased.Credential.AccessToken.Reveal() != before
		if renewed && (!k.due(leased) || rejected && k.valid(leased.Credential)) {
			// Somebody renewed it while we waited. After a rejection a short life
			// will do: where a renewal ends the token of before, and tokens live
			// shorter than MinValidity, another one would only have the next call
			// rejected. If the lease cannot be given back it is still ours; the
			// credential is good all the same.
			_ = k.grants.Release(ctx, t, leased, k.holder, nil)
			return leased.Credential, nil
		}
		if err := k.hold(t, leased, rejected); err != nil { // somebody else failed meanwhile
			return nil, errors.Join(err, k.grants.Release(ctx, t, leased, k.holder, nil))
		}
		if !k.due(leased) {
			if ok, _ := k.replaced.Allow(t.Name + "/" + l.ID); !ok {
				return nil, errors.Join(ErrRejectedAgain, k.grants.Release(ctx, t, leased, k.holder, nil))
			}
		}
		cred, err := k.converse(ctx, t, leased)
		if errors.Is(err, grant.ErrLeaseLost) {
			continue
		}
		return cred, err
	}
}

// watched is a lease of somebody else's, and for how long it has stood still.
// The time is what was slept, which no clock can make longer.
type watched struct {
	lease grant.Lease
	still time.Duration
}

// watch notes what the lease is now, and waits about d.
func (w *watched) watch(ctx context.Context, now grant.Lease, d time.Duration) error {
	if now != w.lease {
		*w = watched{lease: now}
	}
	slept, err := sleep(ctx, d)
	w.still += slept
	return err
}

// dead is the lease, if its holder is taken for dead.
func (w *watched) dead() *grant.Lease {
	if w.still < leaseTime {
		return nil
	}
	return &w.lease
}

// converse runs the provider's refresh while we hold the lease.
func (k *Keeper) converse(ctx context.Context, t *tenant.Tenant, l *grant.Live) (*upstream.Credential, error) {
	if !renewable(t, l.Credential) {
		return nil, k.end(ctx, t, l, "the upstream gave no way to renew it")
	}
	kept, err := k.grants.Journal(t, l)
	if err != nil {
		return nil, fmt.Errorf("credential: journal: %w", err)
	}
	cred, lost, err := k.refresh(ctx, t, l, &journal{keeper: k, tenant: t, live: l, kept: kept})
	if err == nil {
		renewed, err := k.grants.Renew(ctx, t, l, k.holder, cred)
		if grant.ReasonOf(err) == grant.Gone {
			// It was revoked meanwhile, with the credential of before.
			k.Revoke(ctx, t, &grant.Live{ID: l.ID, Record: l.Record, Credential: cred})
		}
		if err != nil {
			return nil, err // the journal is kept: the next caller goes on from there
		}
		k.audit.Record(ctx, audit.Event{Action: audit.Renewed, Tenant: t.Name, Grant: l.ID, Subject: l.Record.Subject})
		return renewed.Credential, nil
	}
	if errors.Is(err, grant.ErrLeaseLost) {
		return nil, err
	}
	if upstream.KindOf(err) == upstream.InvalidGrant {
		return nil, k.end(ctx, t, l, err.Error())
	}
	// The journal stays: the upstream may have rotated its token before the
	// conversation failed, and another attempt, or a repaired provider, goes on
	// from there.
	err = errors.Join(err, k.grants.Release(ctx, t, l, k.holder, k.setback(l.Record.Setback, lost, err)))
	k.audit.Record(ctx, audit.Event{Action: audit.RenewFailed, Tenant: t.Name, Grant: l.ID, Subject: l.Record.Subject, Reason: string(upstream.KindOf(err))})
	return nil, err
}

// refresh asks the upstream, and a second time where that does no harm. It
// tells whether the refresh token may have been spent in vain.
func (k *Keeper) refresh(ctx context.Context, t *tenant.Tenant, l *grant.Live, j *journal) (cred *upstream.Credential, lost bool, err error) {
	defer k.beat(ctx, t, l)()
	for try := 1; ; try++ {
		cred, err = t.Provider.Refresh(ctx, upstream.RefreshRequest{Credential: l.Credential, Scopes: t.UpstreamScopes(l.Record.Scopes), Journal: j})
		e, _ := errors.AsType[*upstream.Error](err)
		if e == nil {
			return cred, lost, err
		}
		lost = lost || e.Lost
		if try == tries || !again(t, e) {
			return nil, lost, err
		}
		if _, ended := sleep(ctx, tryPause); ended != nil {
			return nil, lost, err
		}
	}
}

// end deletes a grant whose credential is dead, as long as we hold the lease.
func (k *Keeper) end(ctx context.Context, t *tenant.Tenant, l *grant.Live, why string) error {
	if err := k.grants.End(ctx, t, l, k.holder); err != nil {
		return err
	}
	k.audit.Record(ctx, audit.Event{Action: audit.UpstreamDead, Tenant: t.Name, Grant: l.ID, Subject: l.Record.Subject, Reason: why})
	return ErrDead
}

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

// sleep waits about d, spread so that many waiters do not return at once, and
// returns how long that was.
func sleep(ctx context.Context, d time.Duration) (time.Duration, error) {
	d = d/2 + rand.N(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-timer.C:
		return d, nil
	}
}
