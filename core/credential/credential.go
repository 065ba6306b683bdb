// Package credential hands out upstream credentials that are still valid: as
// they are, or renewed first. It owns when a credential is due, that only one
// process renews it, and what a failed renewal means for the grant. It leaves
// the record and its compare-and-swap to package grant, the conversation with
// the upstream to the Provider, and the table of outcomes to package upstream.
package credential

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/oplog"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	// HandOutValidity is for how long at least a credential is valid that leaves
	// the server, by token exchange or forward auth.
	HandOutValidity = 5 * time.Second
	// JustObtained is how old a credential is at most that a backend should not
	// reject: a rejection says more about the backend than about the credential.
	JustObtained = 2 * time.Minute
	// beatTime is how often the holder of a lease shows that it is alive.
	beatTime = 3 * time.Second
	// leaseTime is how long a lease has to stand still before another process
	// takes it over: that holder has ended. One that merely waits for an answer
	// must not lose its lease: a single-use token would be sent twice.
	leaseTime = 4 * beatTime
	// flightTime bounds one renewal, waiting for another process included.
	flightTime = 60 * time.Second
	// callerTime bounds how long a caller waits for a renewal, which goes on.
	callerTime = 30 * time.Second
	// aheadTime bounds how long a caller waits whose credential is valid, and has
	// less than aheadLeft to live; with more it does not wait.
	aheadTime, aheadLeft = time.Second, 5 * time.Second
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

// ErrNeedsLogin says that the upstream refuses to renew the credential and only
// a new login mends it. The grant is in the state grant.NeedsLogin by then.
var ErrNeedsLogin = errors.New("credential: the upstream refuses to renew it; the user has to log in again")

// errRenewing says that a renewal takes longer than its caller waits.
var errRenewing = errors.New("credential: it is being renewed")

// Config is what a Keeper is made of. Grants is required.
type Config struct {
	Grants *grant.Store
	Audit  *audit.Log
	Log    hclog.Logger     // nil: no log
	Now    func() time.Time // nil: time.Now
}

// Keeper renews credentials. A process has one: in its leases it goes by one
// name, so that a lease whose claim was not confirmed is its own again at once.
type Keeper struct {
	grants   *grant.Store
	audit    *audit.Log
	log      *oplog.Log
	now      func() time.Time
	holder   string
	seed     maphash.Seed // see spread
	replaced *limit.Limiter

	mu      sync.Mutex
	flights map[string]*flight // of this process, one renewal a grant
	judge   judge
}

// NewKeeper returns a Keeper.
func NewKeeper(c Config) *Keeper {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	return &Keeper{
		grants: c.Grants, audit: c.Audit, log: oplog.New(c.Log), now: c.Now, holder: seal.RandomID(9), seed: maphash.MakeSeed(),
		// A backend that rejects everything would have us ask the upstream with
		// every call.
		replaced: limit.New(limit.Rate{Events: 1, Per: time.Minute}, 4096, c.Now),
		flights:  map[string]*flight{}, judge: judge{now: c.Now, tenants: map[string]*history{}},
	}
}

// need is what a caller wants of a credential.
type need struct {
	rejected bool          // the backend rejected the one there is
	left     time.Duration // for how long it has to be valid at least
}

// Fresh returns a credential of the grant. One that is due is renewed, and a
// caller whose credential is valid does not wait for that: it goes on with the
// old one, after at most aheadTime where less than aheadLeft is left. Where the
// upstream's refresh ends the old one the caller waits, up to its end. While
// the upstream cannot renew it, the old one is returned as long as it is valid.
// Errors are ErrNeedsLogin, a *grant.Refusal (the grant ended meanwhile), an
// *upstream.Error, or the store's.
func (k *Keeper) Fresh(ctx context.Context, t *tenant.Tenant, l *grant.Live) (*upstream.Credential, error) {
	switch {
	case !k.due(l, need{}), !renewable(t, l.Credential) && k.valid(l.Credential):
		return l.Credential, nil
	case !k.valid(l.Credential):
		return k.renew(ctx, t, l, need{})
	}
	cred, err := k.await(ctx, t, l, need{}, k.patience(t, l.Credential))
	switch {
	case err == nil, errors.Is(err, ErrNeedsLogin), grant.ReasonOf(err) != "", ctx.Err() != nil:
		return cred, err
	case k.valid(l.Credential):
		return l.Credential, nil
	case errors.Is(err, errRenewing): // the old one ended while the caller waited
		return k.renew(ctx, t, l, need{})
	}
	return nil, err
}

// HandOut is Fresh for a credential that leaves the server: one that is valid
// for less than HandOutValidity is renewed first.
func (k *Keeper) HandOut(ctx context.Context, t *tenant.Tenant, l *grant.Live) (*upstream.Credential, error) {
	want := need{left: HandOutValidity}
	if k.left(l.Credential) >= want.left {
		cred, err := k.Fresh(ctx, t, l)
		if err != nil || k.left(cred) >= want.left || cred != l.Credential {
			return cred, err
		}
	}
	return k.renew(ctx, t, l, want)
}

// Replace returns a credential other than the one the backend just rejected.
// Errors are those of Fresh, and ErrRejectedAgain.
func (k *Keeper) Replace(ctx context.Context, t *tenant.Tenant, l *grant.Live) (*upstream.Credential, error) {
	return k.renew(ctx, t, l, need{rejected: true})
}

// JustObtained reports whether the credential came from the upstream a moment
// ago, by a login or a renewal.
func (k *Keeper) JustObtained(l *grant.Live) bool {
	return k.now().Sub(l.Record.Renewed) < JustObtained
}

// renew is await with the patience of a caller that has nothing to go on with.
func (k *Keeper) renew(ctx context.Context, t *tenant.Tenant, l *grant.Live, n need) (*upstream.Credential, error) {
	cred, err := k.await(ctx, t, l, n, callerTime)
	if errors.Is(err, errRenewing) {
		return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "the renewal takes longer than " + callerTime.String(), RetryAfter: beatTime}
	}
	return cred, err
}

// flight is one renewal that is under way in this process.
type flight struct {
	done chan struct{}
	cred *upstream.Credential
	err  error
}

// await waits for the renewal of a grant, which it begins unless it is under
// way, or returns errRenewing. A caller that gives up does not stop the renewal:
// its answer would be lost.
func (k *Keeper) await(ctx context.Context, t *tenant.Tenant, l *grant.Live, n need, patience time.Duration) (*upstream.Credential, error) {
	if err := k.hold(t, l, n.rejected); err != nil {
		return nil, err // without a write: thousands may come while an upstream rests
	}
	f := k.begin(ctx, t, l, n)
	if patience <= 0 {
		return nil, errRenewing
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, errRenewing
	case <-f.done:
		return f.cred, f.err
	}
}

// begin returns the renewal that is under way, or starts it.
func (k *Keeper) begin(ctx context.Context, t *tenant.Tenant, l *grant.Live, n need) *flight {
	key := t.Name + "/" + l.ID
	k.mu.Lock()
	defer k.mu.Unlock()
	if f := k.flights[key]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	k.flights[key] = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTime)
	go func() {
		defer cancel()
		defer func() {
			// This goroutine is no request's: a panic would end the process. The
			// lease ends by standing still.
			if v := recover(); v != nil {
				f.cred, f.err = nil, &upstream.Error{Kind: upstream.Bug, Detail: fmt.Sprintf("panic: %v", v)}
			}
			k.mu.Lock()
			delete(k.flights, key)
			k.mu.Unlock()
			close(f.done)
		}()
		f.cred, f.err = k.fly(ctx, t, l, n)
	}()
	return f
}

// fly claims the lease and renews, or waits for whoever holds it.
func (k *Keeper) fly(ctx context.Context, t *tenant.Tenant, l *grant.Live, n need) (*upstream.Credential, error) {
	before := l.Credential.AccessToken.Reveal()
	var other watched
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		leased, err := k.grants.Lease(ctx, t, l, k.holder, other.dead())
		if elsewhere, ok := errors.AsType[*grant.LeasedError](err); ok {
			if err := other.watch(ctx, elsewhere.Lease, wait); err != nil {
				return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "another process renews it, for more than " + flightTime.String(), Err: err}
			}
			continue
		}
		if err != nil {
			// Without the store nothing was watched, and nobody could beat: the
			// next attempt watches anew.
			return nil, err
		}
		renewed := leased.Credential.AccessToken.Reveal() != before
		if renewed && (!k.due(leased, n) || n.rejected && k.valid(leased.Credential)) {
			// It was renewed while we waited. After a rejection a short life will do:
			// where a renewal ends the token of before, another one would only have
			// the next call rejected. If the lease cannot be given back it is still ours; the
			// credential is good all the same.
			_ = k.grants.Release(ctx, t, leased, k.holder, nil)
			return leased.Credential, nil
		}
		if err := k.hold(t, leased, n.rejected); err != nil { // another process failed meanwhile
			return nil, errors.Join(err, k.grants.Release(ctx, t, leased, k.holder, nil))
		}
		if !k.due(leased, n) {
			if ok, _ := k.replaced.Allow(t.Name + "/" + l.ID); !ok {
				return nil, errors.Join(ErrRejectedAgain, k.grants.Release(ctx, t, leased, k.holder, nil))
			}
		}
		cred, err := k.converse(ctx, t, leased, n)
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
