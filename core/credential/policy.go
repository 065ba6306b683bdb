package credential

import (
	"errors"
	"hash/maphash"
	"math/rand/v2"
	"time"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	// maxSpread bounds by how much more than MinValidity ahead a process renews,
	// each process and grant by its own measure: logins of the same minute, and
	// the processes that serve them, do not all come to the upstream at once.
	maxSpread = 30 * time.Second
	// Between two renewals where the upstream does not say how long to wait;
	// limitedRest if it says that it gets too many requests.
	firstRest, longestRest, limitedRest = time.Second, 15 * time.Second, 30 * time.Second
	// longestWish bounds what an upstream can make us wait: its limit may be
	// lifted, or its answer wrong.
	longestWish = time.Hour
)

// due tells whether a credential should be renewed before it is handed out.
func (k *Keeper) due(l *grant.Live) bool {
	ends := l.Credential.ExpiresAt
	return !ends.IsZero() && ends.Before(k.now().Add(MinValidity+k.spread(l)))
}

// spread is the same each time, or else the busiest grants would be renewed
// earliest, and no more than a tenth of a short life.
func (k *Keeper) spread(l *grant.Live) time.Duration {
	most := min(maxSpread, l.Credential.ExpiresAt.Sub(l.Record.Renewed)/10)
	if most <= 0 {
		return 0
	}
	return time.Duration(maphash.String(k.seed, l.ID) % uint64(most))
}

func (k *Keeper) valid(c *upstream.Credential) bool {
	return c.ExpiresAt.IsZero() || k.now().Before(c.ExpiresAt)
}

func renewable(t *tenant.Tenant, c *upstream.Credential) bool {
	return !c.RefreshToken.IsZero() && t.Provider.Describe().CanRefresh
}

// hold returns why the upstream is not to be asked now, or nil. It said so
// itself, it just failed, or it may have spent the refresh token already: then
// sending it again could cost the access token, for many upstreams take that
// for theft. While the access token is good there is something to lose. When it
// is not, for its time is over or a backend rejects it, only sending again can
// show whether the refresh token lives.
func (k *Keeper) hold(t *tenant.Tenant, l *grant.Live, rejected bool) error {
	s := l.Record.Setback
	if s == nil {
		return nil
	}
	now := k.now()
	if rest := s.NotBefore.Sub(now); rest > 0 {
		return &upstream.Error{Kind: s.Kind, Detail: "it failed a moment ago", RetryAfter: rest}
	}
	if !s.Lost.IsZero() && !t.Provider.Describe().Refresh.Resend(now.Sub(s.Lost)) && k.valid(l.Credential) && !rejected {
		return &upstream.Error{Kind: upstream.Unavailable, Detail: "the refresh token may be spent", RetryAfter: l.Credential.ExpiresAt.Sub(now)}
	}
	return nil
}

// again tells whether a refresh that failed may be tried once more at once:
// when it failed by accident, and no refresh token can have been spent but one
// that goes on.
func again(t *tenant.Tenant, e *upstream.Error) bool {
	return e.Kind == upstream.Unavailable && e.RetryAfter == 0 && (!e.Lost || t.Provider.Describe().Refresh.Resend(0))
}

// setback is what the record says after a renewal that failed.
func (k *Keeper) setback(before *grant.Setback, lost bool, err error) *grant.Setback {
	now := k.now()
	next := &grant.Setback{Kind: upstream.KindOf(err), Failures: 1}
	if before != nil {
		next.Failures, next.Lost = before.Failures+1, before.Lost
	}
	if lost && next.Lost.IsZero() {
		next.Lost = now
	}
	rest := min(firstRest<<min(next.Failures-1, 8), longestRest)
	if next.Kind == upstream.RateLimited {
		rest = limitedRest
	}
	if e, ok := errors.AsType[*upstream.Error](err); ok && e.RetryAfter > 0 {
		rest = min(e.RetryAfter, longestWish)
	}
	// Other grants were told the same: not all at once then.
	next.NotBefore = now.Add(rest + rand.N(rest/8+1))
	return next
}
