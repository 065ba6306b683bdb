package credential

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	// proofTime is how long a renewal that succeeded proves that our registration
	// at the upstream works.
	proofTime = 10 * time.Minute
	// lastingTime is how long an answer that may be an outage has to last for one
	// grant.
	lastingTime = time.Hour
	// remembered is how many renewals of a tenant are remembered, and refusedGrants
	// of how many grants when their first refusal was.
	remembered, refusedGrants = 5, 1024
)

// judge decides whether an upstream that refuses a renewal means the refresh
// token or our registration, where it does not say (upstream.Suspect). It
// remembers what the last renewals of each tenant came to in this process. The
// token is meant
//
//   - if another grant's renewal succeeded within proofTime, and since then no
//     other grant's was refused: a registration that no longer works costs one
//     login at most;
//   - or if the four renewals before this one succeeded;
//   - for upstream.SuspectClient only if another grant's renewal succeeded since
//     this grant's was first refused: a wrong client secret costs no login;
//   - for upstream.SuspectLasting only if this grant's was first refused
//     lastingTime ago, besides: an outage costs no login.
//
// Otherwise the failure is the operator's.
type judge struct {
	now func() time.Time

	mu      sync.Mutex
	tenants map[string]*history // by name
}

// history is what renewals of a tenant came to, the oldest first.
type history struct {
	// tenant is the configuration: proofs of another one count for nothing.
	tenant *tenant.Tenant
	events []event
	// refused is when each grant was refused first that was not renewed since.
	refused map[string]time.Time
}

type event struct {
	grant string
	ok    bool
	at    time.Time
}

// of returns the history of a tenant. A caller holds the lock.
func (j *judge) of(t *tenant.Tenant) *history {
	h := j.tenants[t.Name]
	if h == nil || h.tenant != t {
		h = &history{tenant: t, refused: map[string]time.Time{}}
		j.tenants[t.Name] = h
	}
	return h
}

func (h *history) add(e event) {
	h.events = append(h.events, e)
	h.events = h.events[max(0, len(h.events)-remembered):]
}

// succeeded notes a renewal.
func (j *judge) succeeded(t *tenant.Tenant, grant string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	h := j.of(t)
	delete(h.refused, grant)
	h.add(event{grant: grant, ok: true, at: j.now()})
}

// failed notes a renewal that failed and returns what the failure means: err, or
// an InvalidGrant in its place.
func (j *judge) failed(t *tenant.Tenant, grant string, err error) error {
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok || upstream.OutcomeOf(upstream.StepCall, e).Grant == upstream.NeedsLogin {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	h := j.of(t)
	refusal := event{grant: grant, at: j.now()}
	// It counts once, however often it is repeated.
	h.events = slices.DeleteFunc(h.events, func(e event) bool { return e.grant == grant && !e.ok })
	meant := e.Suspect != "" && h.meansToken(e.Suspect, refusal, h.first(refusal)) // what has no suspect begins nothing
	h.add(refusal)
	if !meant {
		return err
	}
	delete(h.refused, grant)
	judged := *e
	judged.Kind, judged.Message, judged.Suspect = upstream.InvalidGrant, "", ""
	judged.Detail += "; other renewals of this tenant succeed, so the refresh token is at fault"
	return &judged
}

// first returns when the grant was first refused, and remembers it.
func (h *history) first(refusal event) time.Time {
	if at, ok := h.refused[refusal.grant]; ok {
		return at
	}
	if len(h.refused) >= refusedGrants { // the longest ago has most likely been given up
		oldest := ""
		for grant, at := range h.refused {
			if oldest == "" || at.Before(h.refused[oldest]) {
				oldest = grant
			}
		}
		delete(h.refused, oldest)
	}
	h.refused[refusal.grant] = refusal.at
	return refusal.at
}

// meansToken applies the rule to the renewals before this refusal, for a grant
// that was refused first at that time.
func (h *history) meansToken(s upstream.Suspect, refusal event, first time.Time) bool {
	if i := len(h.events) - 1; s == upstream.SuspectEither && i >= remembered-2 {
		if !slices.ContainsFunc(h.events[i-(remembered-2):], func(e event) bool { return !e.ok }) {
			return true
		}
	}
	if s == upstream.SuspectLasting && refusal.at.Sub(first) < lastingTime {
		return false
	}
	for _, e := range slices.Backward(h.events) {
		switch {
		case e.grant == refusal.grant:
		case !e.ok, refusal.at.Sub(e.at) > proofTime:
			return false
		default:
			return s == upstream.SuspectEither || e.at.After(first)
		}
	}
	return false
}
