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
	// longestLead is how long before its end a credential is renewed at most, and
	// a quarter of its life the most of one that lives shortly. Each process and
	// grant has its own measure, between two thirds of that and all of it: logins
	// of the same minute, and the processes that serve them, do not all come to
	// the upstream at once.
	longestLead = 60 * time.Second
	leadPart    = 4 // of the life
	spreadPart  = 3 // of the lead
	// Between two renewals where the upstream does not say how long to wait;
	// limitedRest if it says that it gets too many requests.
	firstRest, longestRest, limitedRest = time.Second, 15 * time.Second, 30 * time.Second
	// longestWish bounds what an upstream can make us wait: its limit may be
	// lifted, or its answer wrong.
	longestWish = time.Hour
)

// due reports whether a credential should be renewed for a caller with need n.
func (k *Keeper) due(l *grant.Live, n need) bool {
	if l.Credential.ExpiresAt.IsZero() {
		return false
	}
	return k.left(l.Credential) < max(k.lead(l), n.left)
}

// lead is how long before its end the credential is renewed. It is the same
// each time: otherwise the busiest grants would be renewed earliest.
func (k *Keeper) lead(l *grant.Live) time.Duration {
	life := l.Credential.ExpiresAt.Sub(l.Record.Renewed)
	lead := min(longestLead, life/leadPart)
	if lead < spreadPart {
		return max(lead, 0)
	}
	return lead - time.Duration(maphash.String(k.seed, l.ID)%uint64(lead/spreadPart))
}

// left is for how long a credential is valid.
func (k *Keeper) left(c *upstream.Credential) time.Duration {
	if c.ExpiresAt.IsZero() {
		return 1<<63 - 1
	}
	return c.ExpiresAt.Sub(k.now())
}

func (k *Keeper) valid(c *upstream.Credential) bool { return k.left(c) > 0 }

// patience is how long a caller waits for a renewal whose credential is valid.
func (k *Keeper) patience(t *tenant.Tenant, c *upstream.Credential) time.Duration {
	left := k.left(c)
	switch {
	case t.Provider.Describe().Refresh.EndsAccessToken:
		return min(left, callerTime)
	case left < aheadLeft:
		return aheadTime
	}
	return 0
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
		return &upstream.Error{Kind: s.Kind, Detail: "a renewal failed a moment ago; the log has the reason", RetryAfter: rest}
	}
	if !s.Lost.IsZero() && !t.Provider.Describe().Refresh.Resend(now.Sub(s.Lost)) && k.valid(l.Credential) && !rejected {
		return &upstream.Error{Kind: upstream.Unavailable, Detail: "the upstream may have received the refresh token already; it is sent again when the access token has ended", RetryAfter: l.Credential.ExpiresAt.Sub(now)}
	}
	return nil
}

// again reports whether a refresh that failed may be tried once more at once:
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
