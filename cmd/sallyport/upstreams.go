package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/admin"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// undoTime is for how long after a start with another upstream the old grants
// are answered 503 instead of 401: an operator notices a mistake in minutes.
const undoTime = 15 * time.Minute

// waitingChange is a tenant whose configuration would lead to another upstream
// than its users' grants. It waits for the operator.
type waitingChange struct {
	Tenant   string            `json:"tenant"`
	From     upstream.Identity `json:"from"`
	FromName string            `json:"from_name,omitempty"` // as the provider calls it
	To       upstream.Identity `json:"to"`
	ToName   string            `json:"to_name,omitempty"`
	Grants   string            `json:"grants"` // of From: "12" or "at least 12"
	// Until is set for a change that a restart applied already, or a reload that
	// undid one: until then calls with grants of From get 503.
	Until time.Time `json:"until,omitzero"`
}

// stranded is how many grants the change strands, with the noun.
func (c waitingChange) stranded() string {
	if c.Grants == "1" {
		return "1 grant"
	}
	return c.Grants + " grants"
}

func (c waitingChange) from() string { return strings.TrimSpace(c.FromName + " " + string(c.From)) }

func (c waitingChange) to() string { return strings.TrimSpace(c.ToName + " " + string(c.To)) }

// String is for the operator.
func (c waitingChange) String() string {
	did := "waits"
	if !c.Until.IsZero() {
		did = "is in force since the restart or since one was undone, and calls with the old grants get 503 until " + c.Until.UTC().Format(time.TimeOnly) + " UTC"
	}
	return fmt.Sprintf("a change of upstream from %s to %s %s; it strands %s: %s",
		c.from(), c.to(), did, c.stranded(), core.UpstreamRemedies(c.Tenant, c.From))
}

// changes is what waits, and the way in for an operator's decision.
type changes struct {
	decide chan decision

	mu        sync.Mutex
	waiting   map[string]waitingChange
	restarted map[string]waitingChange // made by the start, or by undoing that, while they can be undone
}

// decision is the operator's acceptance of one tenant's change.
type decision struct {
	tenant string
	answer chan error
}

func newChanges() *changes {
	return &changes{decide: make(chan decision), waiting: map[string]waitingChange{}, restarted: map[string]waitingChange{}}
}

// waitingChanges returns the changes that wait, by tenant.
func (d *deployment) waitingChanges() map[string]waitingChange {
	d.changes.mu.Lock()
	defer d.changes.mu.Unlock()
	return maps.Clone(d.changes.waiting)
}

// undecided returns the changes that the operator can decide on, by tenant: those
// that wait, and those of a restart while they are expected to be undone.
func (d *deployment) undecided() map[string]waitingChange {
	all := d.waitingChanges()
	d.changes.mu.Lock()
	defer d.changes.mu.Unlock()
	for name, c := range d.changes.restarted {
		t := d.server.Tenants().Get(name)
		if _, waits := all[name]; !waits && t != nil && t.UpstreamIdentity() == c.To && d.server.Grants().Waits(t) {
			all[name] = c
		}
	}
	return all
}

// acceptTenant applies the change of upstream that waits for a tenant, or ends
// the time in which one made by a restart is expected to be undone. Users of the
// old upstream have to log in again.
func (d *deployment) acceptTenant(ctx context.Context, name string) error {
	asked := decision{name, make(chan error, 1)}
	select {
	case d.changes.decide <- asked:
	case <-ctx.Done():
		return fmt.Errorf("the server is busy with another reload; try again: %w", ctx.Err())
	}
	select {
	case err := <-asked.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// formerly reads the identities that a tenant's configuration calls the same
// upstream: as the log shows them, or as the provider names its upstream.
func formerly(entries []string, provider upstream.Provider, clientID string) (same []upstream.Identity) {
	for _, entry := range entries {
		if upstream.IsIdentity(entry) {
			same = append(same, upstream.Identity(entry))
			continue
		}
		same = append(same, upstream.NewIdentity(provider.Describe().Name, clientID, entry))
	}
	return same
}

// enterUpstreams notes at a start which upstream each tenant has. Grants of
// another one are refused; the operator is told how many there are.
func (d *deployment) enterUpstreams(ctx context.Context) error {
	set := d.server.Tenants()
	var faults []error
	for _, name := range set.Names() {
		faults = append(faults, d.enterUpstream(ctx, set.Get(name), false))
	}
	return errors.Join(faults...)
}

// enterUpstream notes the upstream of one tenant, which is not served yet.
func (d *deployment) enterUpstream(ctx context.Context, t *tenant.Tenant, accepted bool) (err error) {
	grants := d.server.Grants()
	if t.Provider.Describe().Identity == "" { // the plugin is missing: the tenant is what it was
		if t.Upstream.Periods, err = grants.Periods(ctx, t.Name); err == nil && len(t.Upstream.Periods) > 0 {
			t.Upstream.Identity = t.Upstream.Periods[len(t.Upstream.Periods)-1].Identity
		}
		return err
	}
	if _, err := grants.Periods(ctx, t.Name); errors.Is(err, store.ErrUnreadable) {
		d.log.Warn("the record of the upstreams that this tenant had was sealed with a key that is gone; logins that name no upstream count as of the present one",
			"tenant", t.Name)
	}
	if t.Upstream.Periods, err = grants.EnterPeriod(ctx, t, accepted); err != nil {
		return fmt.Errorf("tenants/%s: its upstream identity cannot be stored: %w", t.Name, err)
	}
	t.Upstream.WaitUntil = time.Time{}
	last := t.Upstream.Periods[len(t.Upstream.Periods)-1]
	if last.Accepted {
		return nil
	}
	t.Upstream.WaitUntil = last.Since.Add(undoTime)
	if !grants.Waits(t) {
		return nil
	}
	stranded, err := grants.CountStranded(ctx, t)
	if err != nil || stranded.Count > 0 {
		d.changes.mu.Lock()
		d.changes.restarted[t.Name] = waitingChange{
			Tenant: t.Name, From: stranded.Owner, To: t.UpstreamIdentity(), ToName: nameOfUpstream(t), Grants: countOf(stranded), Until: t.Upstream.WaitUntil,
		}
		d.changes.mu.Unlock()
		d.log.Error("the settings of this tenant lead to another upstream than the logins of its users; their calls get 503 until "+
			t.Upstream.WaitUntil.UTC().Format(time.TimeOnly)+" UTC and 401 after that, and nothing is lost if this is undone",
			"tenant", t.Name, "grants", countOf(stranded), "upstream", upstreamName(t), "before", stranded.Owner, "remedies", core.UpstreamRemedies(t.Name, stranded.Owner))
	}
	return nil
}

// undoes reports whether next has the upstream again that a tenant had before
// restarts changed it, while that is expected to be undone. Upstreams that were in
// force for less than undoTime, and that the operator did not accept, do not count.
func (r *reloader) undoes(old, next *tenant.Tenant) bool {
	if !r.server.Grants().Waits(old) {
		return false
	}
	all := old.Upstream.Periods
	for i := len(all) - 2; i >= 0; i-- {
		if p := all[i]; p.Accepted || all[i+1].Since.Sub(p.Since) >= undoTime {
			_, ours := next.Owner(p.Mark(), time.Time{})
			return ours
		}
	}
	return false
}

// holdChanges keeps the tenants whose new configuration leads to another
// upstream while users have grants of the one before. A reload that undoes what a
// restart changed is no new decision: it is applied, as a restart would apply it.
func (r *reloader) holdChanges(ctx context.Context, next *tenant.Set, accepted string) (*tenant.Set, error) {
	waiting, undone := map[string]waitingChange{}, map[string]bool{}
	var all []*tenant.Tenant
	for _, name := range next.Names() {
		t, old := next.Get(name), r.server.Tenants().Get(name)
		if old == nil {
			all = append(all, t)
			continue
		}
		t.Upstream.Periods, t.Upstream.WaitUntil = old.Upstream.Periods, old.Upstream.WaitUntil
		from := old.UpstreamIdentity()
		if t.Down != "" { // its provider cannot say which upstream it is, so it is what it was
			t.Upstream.Identity = from
		}
		if _, ours := t.Owner(old.Mark(), time.Time{}); ours || name == accepted {
			all = append(all, t)
			continue
		}
		if undone[name] = r.undoes(old, t); undone[name] {
			all = append(all, t)
			continue
		}
		stranded, err := r.server.Grants().CountStranded(ctx, t)
		if err == nil && stranded.All && stranded.Count == 0 {
			all = append(all, t)
			continue
		}
		waiting[name] = r.hold(old, t, stranded)
		all = append(all, old)
	}
	set, err := tenant.NewSet(all...)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		old := r.server.Tenants().Get(t.Name)
		if old != nil && old.UpstreamIdentity() == t.UpstreamIdentity() { // held back, or as it was
			continue
		}
		// What comes here strands nothing, was accepted, or is as after a start: it
		// was not served until now, or undoes what a restart changed.
		if err := r.enterUpstream(ctx, t, old != nil && !undone[t.Name]); err != nil {
			return nil, err
		}
	}
	r.changes.mu.Lock()
	r.changes.waiting = waiting
	r.changes.mu.Unlock()
	r.signals.changesWaiting(slices.Sorted(maps.Keys(waiting)))
	return set, nil
}

// hold tells the operator of a change that waits, and returns it.
func (r *reloader) hold(old, next *tenant.Tenant, stranded grant.Stranded) waitingChange {
	from := old.UpstreamIdentity()
	r.log.Error("this tenant's new configuration leads to another upstream, and its users have grants of the one before: the tenant stays as it is until the operator decides",
		"tenant", next.Name, "grants", countOf(stranded), "from", upstreamName(old), "to", upstreamName(next), "remedies", core.UpstreamRemedies(next.Name, from))
	return waitingChange{
		Tenant: next.Name, From: from, FromName: nameOfUpstream(old), To: next.UpstreamIdentity(), ToName: nameOfUpstream(next), Grants: countOf(stranded),
	}
}

// accept is acceptTenant in the reloader's goroutine.
func (r *reloader) accept(ctx context.Context, name string) error {
	t := r.server.Tenants().Get(name)
	if t == nil {
		return &admin.RequestError{Text: fmt.Sprintf("the server has no tenant %q", name)}
	}
	if _, waits := r.waitingChanges()[name]; waits {
		r.reloadAccepting(ctx, true, name)
		if _, waits := r.waitingChanges()[name]; waits {
			return &admin.RequestError{Text: "the configuration cannot be loaded as it is now; the server's log says why"}
		}
		return nil
	}
	if !r.server.Grants().Waits(t) {
		return &admin.RequestError{Text: fmt.Sprintf("no change waits for tenant %q", name)}
	}
	changed := *t
	changed.Upstream.WaitUntil = time.Time{}
	if err := r.enterUpstream(ctx, &changed, true); err != nil {
		return err
	}
	set := r.server.Tenants()
	all := []*tenant.Tenant{&changed}
	for _, other := range set.Names() {
		if other != name {
			all = append(all, set.Get(other))
		}
	}
	next, err := tenant.NewSet(all...)
	if err == nil {
		r.server.SetTenants(next)
	}
	return err
}

func countOf(s grant.Stranded) string {
	if s.All {
		return fmt.Sprint(s.Count)
	}
	return fmt.Sprintf("at least %d", s.Count)
}

// upstreamName names a tenant's upstream for the operator.
func upstreamName(t *tenant.Tenant) string {
	return nameOfUpstream(t) + " " + string(t.UpstreamIdentity())
}

// nameOfUpstream is what the provider calls its upstream.
func nameOfUpstream(t *tenant.Tenant) string {
	d := t.Provider.Describe()
	return cmp.Or(d.Upstream, d.Name)
}

// keepHeld keeps in force the providers of the tenants that stay as they are, in
// place of those that a reload made for them.
func (r *reloader) keepHeld(next *deployment) {
	for name := range r.waitingChanges() {
		r.release(map[string]upstream.Provider{name: next.providers[name]}, nil)
		delete(next.providers, name)
		if p, ok := r.providers[name]; ok {
			next.providers[name] = p
		}
		if why := r.down[name]; why != nil {
			next.down[name] = why
		}
	}
}
