package core

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/tenant"
)

// Limits are how often one address may ask, by what it asks for. All requests
// to one tenant together may be tenantShare times as many. The zero Limits are
// none.
type Limits struct {
	Register  limit.Rate // tenant.Registration
	Authorize limit.Rate // tenant.Login
	Token     limit.Rate // tenant.Usual
	Calls     limit.Rate // of one login at the MCP endpoint, see package gateway
}

// tenantShare is how many addresses that use up what they may a tenant bears.
// Its limit keeps one tenant's flood from being every tenant's; it is far above
// the other because a flood of many senders also uses it up for their victims.
const tenantShare = 10

// limits counts requests by sender and by tenant.
type limits struct {
	senders, tenants map[tenant.Cost]*limit.Limiter
	told             *limit.Limiter // audit lines by what is limited
	audit            *audit.Log
}

func newLimits(cfg Config) *limits {
	const maxSenders, maxTenants, maxTold = 1 << 15, 1 << 16, 1 << 12
	l := &limits{
		senders: map[tenant.Cost]*limit.Limiter{}, tenants: map[tenant.Cost]*limit.Limiter{},
		told: limit.New(limit.Rate{Events: 1, Per: time.Minute}, maxTold, cfg.Now), audit: cfg.Audit,
	}
	for cost, rate := range map[tenant.Cost]limit.Rate{
		tenant.Registration: cfg.Limits.Register, tenant.Login: cfg.Limits.Authorize, tenant.Usual: cfg.Limits.Token,
	} {
		l.senders[cost] = limit.New(rate, maxSenders, cfg.Now)
		l.tenants[cost] = limit.New(rate.Times(tenantShare), maxTenants, cfg.Now)
	}
	return l
}

// allow counts a request and returns the refusal if it is one too many.
func (l *limits) allow(r *http.Request, t *tenant.Tenant, cost tenant.Cost) error {
	if cost == tenant.Free {
		return nil
	}
	addr, _ := netip.ParseAddrPort(r.RemoteAddr) // zero for a connection without: one sender like any other
	sender := remote.Network(addr.Addr())
	if ok, wait := l.senders[cost].Allow(sender); !ok {
		l.tell(r, audit.Event{Action: audit.Limited, Tenant: t.Name, Address: sender, Reason: cost.String()}, sender)
		return oauth.TooMany("too many requests from this address", wait)
	}
	if ok, wait := l.tenants[cost].Allow(t.Name); !ok {
		l.tell(r, audit.Event{Action: audit.Limited, Tenant: t.Name, Reason: cost.String()}, t.Name)
		return oauth.TooMany("too many requests to this server", wait)
	}
	return nil
}

// tell writes the audit line of a refusal, of one a minute for each cost and
// key: a flood must not become one of the audit log.
func (l *limits) tell(r *http.Request, e audit.Event, key string) {
	if ok, _ := l.told.Allow(e.Reason + " " + key); ok {
		l.audit.Record(r.Context(), e)
	}
}
