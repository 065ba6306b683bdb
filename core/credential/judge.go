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
	// remembered is how many renewals of a tenant are remembered.
	remembered = 5
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
//     this grant's was first refused: a wrong client secret costs no login.
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
}

type event struct {
	grant  string
	ok     bool
	at     time.Time
	before time.Time // of a refusal: when the grant's first one was
}

// of returns the history of a tenant. A caller holds the lock.
func (j *judge) of(t *tenant.Tenant) *history {
	h := j.tenants[t.Name]
	if h == nil || h.tenant != t {
		h = &history{tenant: t}
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
	j.of(t).add(event{grant: grant, ok: true, at: j.now()})
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
	refusal := event{grant: grant, at: j.now(), before: j.now()}
	if i := slices.IndexFunc(h.events, func(e event) bool { return e.grant == grant && !e.ok }); i >= 0 {
		// It counts once, however often it is repeated.
		refusal.before = h.events[i].before
		h.events = slices.Delete(h.events, i, i+1)
	}
	meant := e.Suspect != "" && h.meansToken(e.Suspect, refusal)
	h.add(refusal)
	if !meant {
		return err
	}
	judged := *e
	judged.Kind, judged.Message, judged.Suspect = upstream.InvalidGrant, "", ""
	judged.Detail += "; other renewals of this tenant succeed, so the refresh token is at fault"
	return &judged
}

// meansToken applies the rule to the renewals before this refusal.
func (h *history) meansToken(s upstream.Suspect, refusal event) bool {
	if i := len(h.events) - 1; s != upstream.SuspectClient && i >= remembered-2 {
		if !slices.ContainsFunc(h.events[i-(remembered-2):], func(e event) bool { return !e.ok }) {
			return true
		}
	}
	for _, e := range slices.Backward(h.events) {
		switch {
		case e.grant == refusal.grant:
		case !e.ok, refusal.at.Sub(e.at) > proofTime:
			return false
		default:
			return s != upstream.SuspectClient || e.at.After(refusal.before)
		}
	}
	return false
}
