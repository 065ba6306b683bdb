package upstreamtest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

// Fault is what goes wrong with one request to a Rotating.
type Fault int

// The faults.
const (
	None    Fault = iota
	Unsent        // it never left
	Ignored       // it got lost on the way there, or the upstream broke down on it
	Lost          // the upstream did as asked, and the answer got lost
	Limited       // the upstream says later, in LimitedFor
)

// LimitedFor is how long a Rotating that is Limited asks to wait.
const LimitedFor = 20 * time.Second

// Rotating is the token endpoint of one login at an upstream that treats its
// refresh tokens by the rules: a double of ours, as strict as they allow. Set
// the fields before it is used. It journals as the plugin host does: an answer
// is kept before it is used, and one that was kept is not asked for again.
type Rotating struct {
	upstream.Provider // nil: it can refresh, and nothing else

	Rules       upstream.RefreshRules
	KillsFamily bool          // a spent token that comes again ends all that was issued
	Life        time.Duration // of access tokens

	mu       sync.Mutex
	faults   []Fault
	issued   int                  // of the newest tokens
	spent    map[string]time.Time // refresh tokens that were used, and when first
	dead     bool
	requests int
	reused   int
}

// Describe tells the rules.
func (r *Rotating) Describe() upstream.Description {
	return upstream.Description{Name: "rotating", CanRefresh: true, Refresh: r.Rules}
}

// Next says what goes wrong with the next requests, in order.
func (r *Rotating) Next(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = faults
}

// Requests is how many refreshes reached the upstream, or may have.
func (r *Rotating) Requests() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

// Reused is how many of them came with a token that was spent.
func (r *Rotating) Reused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reused
}

// Dead tells whether the upstream has ended all that it issued.
func (r *Rotating) Dead() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dead
}

// Credential issues the first one, of the given life.
func (r *Rotating) Credential(life time.Duration) *upstream.Credential {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.issue("r0")
	c.ExpiresAt = time.Now().Add(life)
	return c
}

// issue makes the next access token. A caller holds the lock.
func (r *Rotating) issue(refresh string) *upstream.Credential {
	c := &upstream.Credential{
		AccessToken: seal.NewSecret(fmt.Sprintf("a%d", r.issued)), RefreshToken: seal.NewSecret(refresh),
		ExpiresAt: time.Now().Add(r.Life), Account: upstream.Account{ID: "42"},
	}
	r.issued++
	return c
}

// answer is what a journal of this double holds.
type answer struct {
	Access, Refresh string
	Ends            time.Time
}

// Refresh implements upstream.Provider.
func (r *Rotating) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	var kept answer
	if text := req.Journal.Load(); len(text) > 0 {
		if err := json.Unmarshal(text, &kept); err != nil {
			return nil, &upstream.Error{Kind: upstream.Bug, Err: err}
		}
	} else {
		got, err := r.request(req.Credential.RefreshToken.Reveal())
		if err != nil {
			return nil, err
		}
		kept = answer{got.AccessToken.Reveal(), got.RefreshToken.Reveal(), got.ExpiresAt}
		text, err := json.Marshal(kept)
		if err != nil {
			return nil, &upstream.Error{Kind: upstream.Bug, Err: err}
		}
		if err := req.Journal.Keep(ctx, text); err != nil {
			return nil, &upstream.Error{Kind: upstream.Unavailable, Lost: true, Err: err}
		}
	}
	next := *req.Credential
	next.AccessToken, next.ExpiresAt = seal.NewSecret(kept.Access), kept.Ends
	next.RefreshToken = seal.NewSecret(kept.Refresh)
	return &next, nil
}

// request is one round trip, faults included.
func (r *Rotating) request(token string) (*upstream.Credential, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fault := None
	if len(r.faults) > 0 {
		fault, r.faults = r.faults[0], r.faults[1:]
	}
	if fault == Unsent {
		return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "connection refused"}
	}
	r.requests++
	if fault == Limited {
		return nil, &upstream.Error{Kind: upstream.RateLimited, RetryAfter: LimitedFor}
	}
	lost := &upstream.Error{Kind: upstream.Unavailable, Detail: "connection reset", Lost: true}
	if fault == Ignored {
		return nil, lost
	}
	c, err := r.refresh(token)
	if fault == Lost {
		return nil, lost
	}
	return c, err
}

// refresh is what the upstream does.
func (r *Rotating) refresh(token string) (*upstream.Credential, error) {
	used, spent := r.spent[token]
	spent = spent && r.Rules.SingleUse
	if spent {
		r.reused++
	}
	if spent && time.Since(used) >= r.Rules.Grace {
		r.dead = r.dead || r.KillsFamily
	}
	if r.dead || spent && time.Since(used) >= r.Rules.Grace {
		return nil, &upstream.Error{Kind: upstream.InvalidGrant, Detail: "the refresh token is spent"}
	}
	if r.spent == nil {
		r.spent = map[string]time.Time{}
	}
	if used.IsZero() {
		r.spent[token] = time.Now()
	}
	if r.Rules.Rotates {
		token = fmt.Sprintf("r%d", r.issued)
	}
	return r.issue(token), nil
}
