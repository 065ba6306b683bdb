package plugins

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

const (
	maxAnswerAge = 24 * time.Hour // of an answer that does not say how long it stays fresh
	maxAnswers   = 16             // kept for one tenant
)

// answers keeps what an upstream answered to questions whose answer changes
// rarely, discovery above all, for one tenant and one module: RFC 9111 with a
// private cache. A request says itself how old an answer it takes (max_age).
// It is safe for concurrent use.
type answers struct {
	mu   sync.Mutex
	kept map[string]keptAnswer // by the request's digest
}

type keptAnswer struct {
	step      step
	at, until time.Time
}

// mayKeep reports whether the answer to a request may serve another one: a GET
// that carries nothing of a user's or of ours.
func mayKeep(r *abi.Request) bool {
	return r.MaxAge > 0 && r.Method == http.MethodGet && r.BodyLen == 0 && r.ClientAuth == nil &&
		!slices.ContainsFunc(r.Headers, func(h abi.Header) bool {
			return !slices.Contains([]string{"accept", "accept-language", "user-agent"}, strings.ToLower(h[0]))
		})
}

// find returns a kept answer that is fresh and not older than the request wants.
func (a *answers) find(r *abi.Request, digest string, now time.Time) (step, bool) {
	if !mayKeep(r) {
		return step{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k, ok := a.kept[digest]
	if !ok || !now.Before(k.until) || now.Sub(k.at) > time.Duration(r.MaxAge)*time.Second {
		return step{}, false
	}
	return k.step, true
}

// keep keeps a good answer for as long as it is fresh.
func (a *answers) keep(r *abi.Request, digest string, s step, now time.Time) {
	if !mayKeep(r) || s.Status != 200 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil || len(a.kept) >= maxAnswers {
		a.kept = map[string]keptAnswer{}
	}
	a.kept[digest] = keptAnswer{s, now, now.Add(freshness(s.Headers))}
}

// drop forgets answers, because what followed from them failed.
func (a *answers) drop(digests []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, digest := range digests {
		delete(a.kept, digest)
	}
}

// freshness returns how long an answer stays fresh: max-age less Age (RFC 9111
// §4.2), at most a day, and a day if it does not say. no-store and max-age=0 do
// not say either: issuers set them on everything that they send (Keycloak on
// its discovery document), and an endpoint that moved is noticed when it fails.
func freshness(headers []abi.Header) time.Duration {
	life, age := int64(0), int64(0)
	for _, h := range headers {
		switch h[0] {
		case "cache-control":
			for directive := range strings.SplitSeq(strings.ToLower(h[1]), ",") {
				if seconds, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
					life, _ = strconv.ParseInt(strings.Trim(seconds, `"`), 10, 64)
				}
			}
		case "age":
			age, _ = strconv.ParseInt(strings.TrimSpace(h[1]), 10, 64)
		}
	}
	most := int64(maxAnswerAge / time.Second)
	if life <= 0 {
		return maxAnswerAge
	}
	return time.Duration(min(max(life-max(age, 0), 0), most)) * time.Second
}

// answered reports whether a failure is what a working endpoint says of a login
// or a token: what led to that endpoint was right.
func answered(err error) bool {
	return slices.Contains([]upstream.Kind{
		upstream.AccessDenied, upstream.InvalidGrant, upstream.InvalidScope, upstream.InteractionRequired, upstream.RateLimited,
	}, upstream.KindOf(err))
}
