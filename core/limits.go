package core

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
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
	Failures  limit.Rate // tokens and secrets that do not count, see limits.failed
}

// tenantShare is how many addresses that use up what they may a tenant bears.
// Its limit keeps one tenant's flood from being every tenant's; it is far above
// the other because a flood of many senders also uses it up for their victims.
// All addresses of a wider network may use networkShare of it together, so that
// whoever has one leaves the larger part to others.
const tenantShare, networkShare = 10, 4

// limits counts requests by sender and by tenant.
type limits struct {
	// By sender, by each of the networks around it, and by tenant.
	senders, networks, tenants map[tenant.Cost]*limit.Limiter
	failures                   *limit.Limiter // by sender
	guesses                    *limit.Limiter // failures by sender, tenant and the id that was given
	audit                      *audit.Log
}

func newLimits(cfg Config) *limits {
	const maxSenders, maxTenants = 1 << 15, 1 << 16
	l := &limits{
		senders: map[tenant.Cost]*limit.Limiter{}, networks: map[tenant.Cost]*limit.Limiter{}, tenants: map[tenant.Cost]*limit.Limiter{}, audit: cfg.Audit,
		failures: limit.New(cfg.Limits.Failures, maxSenders, cfg.Now), guesses: limit.New(cfg.Limits.Failures, maxSenders, cfg.Now),
	}
	for cost, rate := range map[tenant.Cost]limit.Rate{
		tenant.Registration: cfg.Limits.Register, tenant.Login: cfg.Limits.Authorize, tenant.Usual: cfg.Limits.Token,
	} {
		l.senders[cost] = limit.New(rate, maxSenders, cfg.Now)
		l.networks[cost] = limit.New(rate.Times(networkShare), maxSenders, cfg.Now)
		l.tenants[cost] = limit.New(rate.Times(tenantShare), maxTenants, cfg.Now)
	}
	return l
}

// allow counts a request and returns the refusal if it is one too many.
func (l *limits) allow(r *http.Request, t *tenant.Tenant, cost tenant.Cost) error {
	if cost == tenant.Free {
		return nil
	}
	sender := network(r.RemoteAddr)
	if ok, wait := l.senders[cost].Allow(sender); !ok {
		l.audit.Refuse(r.Context(), r.RemoteAddr, audit.Event{Action: audit.Limited, Tenant: t.Name, Address: sender, Reason: cost.String()})
		return oauth.TooMany("too many requests from this address", wait)
	}
	for _, wider := range remote.Wider(address(r.RemoteAddr)) {
		if ok, wait := l.networks[cost].Allow(wider); !ok {
			l.audit.Refuse(r.Context(), r.RemoteAddr, audit.Event{Action: audit.Limited, Tenant: t.Name, Address: wider, Reason: cost.String()})
			return oauth.TooMany("too many requests from this network", wait)
		}
	}
	if ok, wait := l.tenants[cost].Allow(t.Name); !ok {
		l.audit.Refuse(r.Context(), "", audit.Event{Action: audit.Limited, Tenant: t.Name, Reason: cost.String()})
		return oauth.TooMany("too many requests to this server", wait)
	}
	return nil
}

// network is what counts as one sender.
func network(sender string) string { return remote.Network(address(sender)) }

// address is that of a sender, the zero Addr for a connection without: one
// sender like any other.
func address(sender string) netip.Addr {
	addr, _ := netip.ParseAddrPort(sender)
	return addr.Addr()
}

// The server counts the tokens and secrets that it never issued, by sender.
// Beyond the limit they are answered 429 and not 401, so a flood stops costing
// more than the opening of a token, and a client is never told to throw away
// what others behind its address made up. A token that opens, and a client that
// needs no secret, are never refused for what others did: hosted clients share
// few addresses. Only who guesses the secret of one id is refused before the
// secret is compared.

// blocked refuses a request whose sender failed too often to prove that it is
// the client or resource server that it names.
func (l *limits) blocked(r *http.Request, t *tenant.Tenant, route tenant.Route) error {
	if route.Callers == tenant.Anybody {
		return nil
	}
	for _, id := range claimed(r) {
		if over, wait := l.guesses.Exhausted(guess(r, t, id)); over {
			return l.tooManyFailures(r, t, wait)
		}
	}
	return nil
}

// failed counts err if it says that a token or secret does not count, and
// returns what is answered.
func (l *limits) failed(r *http.Request, t *tenant.Tenant, err error) error {
	code := oauth.AsError(err).Code
	if code != oauth.InvalidClient && code != oauth.InvalidToken && grant.ReasonOf(err) != grant.BadToken {
		return err
	}
	if code == oauth.InvalidClient {
		for _, id := range claimed(r) {
			l.guesses.Allow(guess(r, t, id))
		}
	}
	if wait, over := l.failure(r.RemoteAddr); over {
		return l.tooManyFailures(r, t, wait)
	}
	return err
}

// failure counts one failure of the sender at address, and reports whether it
// is one too many.
func (l *limits) failure(address string) (wait time.Duration, over bool) {
	ok, wait := l.failures.Allow(network(address))
	return wait, !ok
}

func (l *limits) tooManyFailures(r *http.Request, t *tenant.Tenant, wait time.Duration) error {
	l.audit.Refuse(r.Context(), r.RemoteAddr, audit.Event{Action: audit.Limited, Tenant: t.Name, Reason: "failures"})
	return oauth.TooMany("too many tokens or secrets from this address were wrong", wait)
}

// claimed returns the readings of the id that a request names. A request
// without one, or with two, is the endpoint's to refuse.
func claimed(r *http.Request) []string {
	params, err := oauth.FormParams(r)
	if err != nil {
		return nil
	}
	ids, secrets, err := oauth.Credentials(r, params)
	if err != nil || len(secrets) == 0 || secrets[0] == "" { // there is nothing to guess
		return nil
	}
	return ids
}

func guess(r *http.Request, t *tenant.Tenant, id string) string {
	return network(r.RemoteAddr) + " " + t.Name + " " + id
}
