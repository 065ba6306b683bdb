package client

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How often this process asks addresses that are not known to be good. The
// limit for a host keeps us from being used against it, the one for a tenant
// from being used to look for hosts.
const (
	hostEvery, hostBurst     = time.Second, 10
	tenantEvery, tenantBurst = 200 * time.Millisecond, 30
	maxHosts                 = 4096

	// Deletions are limited because each leaves a record behind.
	deleteEvery, deleteBurst = 6 * time.Second, 20
)

// limits bounds fetches for each host and for each tenant, and deletions.
type limits struct {
	now       func() time.Time
	mu        sync.Mutex
	tenants   map[string]*rate.Limiter // as many as there are tenants
	deletions map[string]*rate.Limiter // likewise
	hosts     map[string]*list.Element // of *hostLimit
	order     *list.List               // last used first
}

type hostLimit struct {
	host string
	*rate.Limiter
}

func newLimits(now func() time.Time) *limits {
	return &limits{now: now, tenants: map[string]*rate.Limiter{}, deletions: map[string]*rate.Limiter{}, hosts: map[string]*list.Element{}, order: list.New()}
}

// allow counts one fetch. Forgetting the host that was idle longest gives it a
// new burst; the tenant's limit bounds how fast hosts can be made to pass.
func (l *limits) allow(tenant, host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !allowTenant(l.tenants, tenant, now, tenantEvery, tenantBurst) {
		return false
	}
	at, ok := l.hosts[host]
	if !ok {
		at = l.order.PushFront(&hostLimit{host, rate.NewLimiter(rate.Every(hostEvery), hostBurst)})
		l.hosts[host] = at
		if l.order.Len() > maxHosts {
			delete(l.hosts, l.order.Remove(l.order.Back()).(*hostLimit).host)
		}
	}
	l.order.MoveToFront(at)
	return at.Value.(*hostLimit).AllowN(now, 1)
}

// allowDeletion counts one deletion.
func (l *limits) allowDeletion(tenant string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return allowTenant(l.deletions, tenant, l.now(), deleteEvery, deleteBurst)
}

func allowTenant(limiters map[string]*rate.Limiter, tenant string, now time.Time, every time.Duration, burst int) bool {
	if limiters[tenant] == nil {
		limiters[tenant] = rate.NewLimiter(rate.Every(every), burst)
	}
	return limiters[tenant].AllowN(now, 1)
}
