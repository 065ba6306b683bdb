package client

import (
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/limit"
)

// limits bounds how often this process asks addresses that are not known to be
// good. The limit for a host keeps us from being used against it, the one for a
// tenant from being used to look for hosts, and from making us forget hosts by
// naming others. Deletions, and assertions of clients that the operator does not
// know, are limited because each leaves a record behind.
//
// Fetches for a tenant are counted in two budgets. One is for hosts that the
// operator named, hosts that logins are redirected to, and clients that a user
// has logged in to; made-up addresses cannot use it up. The other is for all
// else, and no sender gets more than a part of it.
type limits struct {
	hosts, reserved, senders, tenants, deletions, assertions *limit.Limiter

	mu     sync.Mutex
	proven map[string]bool // ids of clients that a user has logged in to
}

// hostBurst is how many fetches a host sees at once; one a second follows.
const hostBurst = 10

func newLimits(now func() time.Time) *limits {
	const maxHosts, maxTenants = 1 << 12, 1 << 16
	return &limits{
		proven:     map[string]bool{},
		reserved:   limit.New(limit.Rate{Events: 30, Per: 6 * time.Second}, maxTenants, now),
		senders:    limit.New(limit.Rate{Events: 10, Per: 10 * time.Second}, maxTenants, now),
		hosts:      limit.New(limit.Rate{Events: hostBurst, Per: hostBurst * time.Second}, maxHosts, now),
		tenants:    limit.New(limit.Rate{Events: 30, Per: 6 * time.Second}, maxTenants, now),
		assertions: limit.New(limit.Rate{Events: 60, Per: time.Minute}, maxTenants, now),
		deletions:  limit.New(limit.Rate{Events: 20, Per: 2 * time.Minute}, maxTenants, now),
	}
}

// allow counts one fetch of what a client has at host, for a sender's request.
func (l *limits) allow(tenant, host, sender string, reserved bool) bool {
	budget := l.tenants
	if reserved {
		budget = l.reserved
	} else if ok, _ := l.senders.Allow(tenant + " " + sender); !ok {
		return false
	}
	if ok, _ := budget.Allow(tenant); !ok {
		return false
	}
	ok, _ := l.hosts.Allow(host)
	return ok
}

// maxProven bounds the clients that are remembered; beyond it one of before is
// forgotten for each that comes.
const maxProven = 1 << 12

// prove remembers that a user has logged in to the client of that id.
func (l *limits) prove(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.proven[id] {
		return
	}
	for other := range l.proven {
		if len(l.proven) < maxProven {
			break
		}
		delete(l.proven, other)
	}
	l.proven[id] = true
}

func (l *limits) isProven(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.proven[id]
}
