// Package limit counts: how often something may happen for a key (Limiter) and
// how much of it at the same time (Gate). It owns the counting and the bound on
// its own memory; it leaves to its callers what a key is, what a refusal looks
// like and who is told.
//
// The counts are this process's. N replicas behind one address let through N
// times as much, and a restart forgets: these limits keep a process well and
// strangers from being a nuisance. What must hold once for a whole deployment
// (a code, a jti, a lease) is a compare-and-swap in the store, never this.
package limit

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how often something may happen for one key: Events in a row, and
// then as many in every Per, evenly spread. The zero Rate is no limit.
type Rate struct {
	Events int
	Per    time.Duration
}

// Times returns n times the rate.
func (r Rate) Times(n int) Rate { return Rate{r.Events * n, r.Per} }

// Limiter is a token bucket for each key. It keeps a fixed number of them and
// is safe for concurrent use.
type Limiter struct {
	rate Rate
	keys int
	now  func() time.Time

	mu      sync.Mutex
	buckets map[string]*list.Element // of *bucket
	order   *list.List               // last used first
}

type bucket struct {
	key string
	*rate.Limiter
}

// New returns a Limiter that remembers at most keys keys, at least one. A nil
// now means time.Now.
//
// Beyond that number the key that was idle longest is forgotten, and may start
// anew with all of r.Events. Whoever can make up keys can bring that about, so
// a limit by a key that strangers choose needs one beside it that they do not.
func New(r Rate, keys int, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{rate: r, keys: max(keys, 1), now: now, buckets: map[string]*list.Element{}, order: list.New()}
}

// Allow counts one event for key. If it is one too many it is not counted, and
// retryAfter, which is positive then, is the time until the next would be let
// through.
func (l *Limiter) Allow(key string) (ok bool, retryAfter time.Duration) {
	if l.rate.Events <= 0 || l.rate.Per <= 0 {
		return true, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.bucket(key, now)
	if b.AllowN(now, 1) {
		return true, 0
	}
	return false, l.until(1 - b.TokensAt(now))
}

// Exhausted reports whether the next event for key would be one too many, and
// when it would not be any more. It counts nothing.
func (l *Limiter) Exhausted(key string) (exhausted bool, retryAfter time.Duration) {
	if l.rate.Events <= 0 || l.rate.Per <= 0 {
		return false, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.buckets[key]
	if !ok {
		return false, 0
	}
	missing := 1 - at.Value.(*bucket).TokensAt(l.now())
	if missing <= 0 {
		return false, 0
	}
	return true, l.until(missing)
}

// until is the time in which missing events come back.
func (l *Limiter) until(missing float64) time.Duration {
	return max(time.Duration(missing*float64(l.rate.Per)/float64(l.rate.Events)), 1)
}

// bucket finds the key's bucket or makes a full one.
func (l *Limiter) bucket(key string, now time.Time) *bucket {
	if at, ok := l.buckets[key]; ok {
		l.order.MoveToFront(at)
		return at.Value.(*bucket)
	}
	// A bucket that is full again says no more than one that is not there, so
	// the memory follows what went on lately. Two go for one that comes.
	for range 2 {
		last := l.order.Back()
		if last == nil || len(l.buckets) < l.keys && last.Value.(*bucket).TokensAt(now) < float64(l.rate.Events) {
			break
		}
		delete(l.buckets, l.order.Remove(last).(*bucket).key)
	}
	b := &bucket{key, rate.NewLimiter(rate.Limit(float64(l.rate.Events)/l.rate.Per.Seconds()), l.rate.Events)}
	l.buckets[key] = l.order.PushFront(b)
	return b
}
