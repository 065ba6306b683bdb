package gateway

import (
	"context"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/tenant"
)

const (
	// mostOpen is how many calls and streams one login may have at the same
	// time: room for an agent with many hands, and not for a loop.
	mostOpen = 256
	// tenantShare is how many logins that use up what they may a tenant bears.
	// It keeps one tenant's flood from taking every tenant's memory.
	tenantShare = 100
)

// limits count the calls of a login, or of an address where there is none, and
// of a tenant.
type limits struct {
	callers, tenants *limit.Limiter // how often
	inside, within   *limit.Gate    // how many at once
}

// newLimits bounds how often one login may call. The zero rate is no limit, on
// anything.
func newLimits(calls limit.Rate, now func() time.Time) *limits {
	const maxCallers, maxTenants = 1 << 15, 1 << 16
	l := &limits{
		callers: limit.New(calls, maxCallers, now), tenants: limit.New(calls.Times(tenantShare), maxTenants, now),
		inside: limit.NewGate(0), within: limit.NewGate(0),
	}
	if calls.Events > 0 {
		l.inside, l.within = limit.NewGate(mostOpen), limit.NewGate(mostOpen*tenantShare)
	}
	return l
}

// caller is what is counted: a login, or the network an address is in.
func (p *pass) caller(sender string) string {
	if !p.anonymous() {
		return p.live.ID
	}
	addr, _ := netip.ParseAddrPort(sender) // zero for a connection without: one sender like any other
	return remote.Network(addr.Addr())
}

// allow counts a call, and refuses one too many.
func (l *limits) allow(t *tenant.Tenant, caller string) error {
	if ok, wait := l.callers.Allow(caller); !ok {
		return &refusal{reason: "calls", limited: true, fault: oauth.TooMany("too many calls with this login", wait)}
	}
	if ok, wait := l.tenants.Allow(t.Name); !ok {
		return &refusal{reason: "calls of the tenant", limited: true, fault: oauth.TooMany("too many calls to this server", wait)}
	}
	return nil
}

// enter counts a call as under way until leave.
func (l *limits) enter(t *tenant.Tenant, caller string) (leave func(), err error) {
	out, ok := l.inside.Enter(caller)
	if !ok {
		return nil, &refusal{reason: "open", limited: true, fault: oauth.TooMany("too many calls and streams of this login are under way", time.Second)}
	}
	outOfTenant, ok := l.within.Enter(t.Name)
	if !ok {
		out()
		return nil, &refusal{reason: "open in the tenant", limited: true, fault: oauth.TooMany("too many calls and streams of this server are under way", time.Second)}
	}
	return func() { out(); outOfTenant() }, nil
}

// record writes the audit line of a refusal.
func (g *gate) record(ctx context.Context, t *tenant.Tenant, p *pass, sender string, no *refusal) {
	event := p.rejected(t, no.why())
	if no.limited {
		event.Action = audit.Limited
	}
	g.audit.Refuse(ctx, sender, event)
}
