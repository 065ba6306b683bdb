package client

import (
	"time"

	"github.com/sallyport/sallyport/core/limit"
)

// limits bounds how often this process asks addresses that are not known to be
// good. The limit for a host keeps us from being used against it, the one for a
// tenant from being used to look for hosts, and from making us forget hosts by
// naming others. Deletions are limited because each leaves a record behind.
type limits struct {
	hosts, tenants, deletions *limit.Limiter
}

// hostBurst is how many fetches a host sees at once; one a second follows.
const hostBurst = 10

func newLimits(now func() time.Time) *limits {
	const maxHosts, maxTenants = 1 << 12, 1 << 16
	return &limits{
		hosts:     limit.New(limit.Rate{Events: hostBurst, Per: hostBurst * time.Second}, maxHosts, now),
		tenants:   limit.New(limit.Rate{Events: 30, Per: 6 * time.Second}, maxTenants, now),
		deletions: limit.New(limit.Rate{Events: 20, Per: 2 * time.Minute}, maxTenants, now),
	}
}

// allow counts one fetch.
func (l *limits) allow(tenant, host string) bool {
	if ok, _ := l.tenants.Allow(tenant); !ok {
		return false
	}
	ok, _ := l.hosts.Allow(host)
	return ok
}
