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
// Fetches for a tenant are counted in three budgets, so that made-up addresses
// keep nothing known from being fetched: see trust. No sender gets more than a
// part of a budget, or of what a host sees, for addresses that it may have made
// up.
type limits struct {
	senders, parts                *limit.Limiter // by sender, and by sender and host
	hosts, strange, listed, known *limit.Limiter
	deletions, assertions         *limit.Limiter

	mu     sync.Mutex
	proven map[string]bool // ids of clients that a user has logged in to
}

// trust says what is known of an address that is about to be fetched.
type trust int

const (
	strange trust = iota // nothing
	listed               // the operator named its host, or logins are redirected there; the path may be made up
	known                // the operator wrote the address down, or a user has logged in to the client
)

// hostBurst is how many fetches a host sees at once; one a second follows. One
// sender causes senderPart of them at most.
const hostBurst, senderPart = 10, 5

func newLimits(now func() time.Time) *limits {
	const maxHosts, maxTenants = 1 << 12, 1 << 16
	budget := limit.Rate{Events: 30, Per: 6 * time.Second}
	return &limits{
		proven:     map[string]bool{},
		senders:    limit.New(limit.Rate{Events: 10, Per: 10 * time.Second}, maxTenants, now),
		parts:      limit.New(limit.Rate{Events: senderPart, Per: hostBurst * time.Second}, maxTenants, now),
		hosts:      limit.New(limit.Rate{Events: hostBurst, Per: hostBurst * time.Second}, maxHosts, now),
		strange:    limit.New(budget, maxTenants, now),
		listed:     limit.New(budget, maxTenants, now),
		known:      limit.New(budget, maxTenants, now),
		assertions: limit.New(limit.Rate{Events: 60, Per: time.Minute}, maxTenants, now),
		deletions:  limit.New(limit.Rate{Events: 20, Per: 2 * time.Minute}, maxTenants, now),
	}
}

// allow counts one fetch of what a client has at host, for a sender's request.
func (l *limits) allow(tenant, host, sender string, what trust) bool {
	allow := func(of *limit.Limiter, key string) bool {
		ok, _ := of.Allow(key)
		return ok
	}
	if what == known {
		return allow(l.hosts, "known "+host) && allow(l.known, tenant)
	}
	budget := l.strange
	if what == listed {
		budget = l.listed
	}
	return allow(l.senders, tenant+" "+sender) && allow(l.parts, sender+" "+host) && allow(l.hosts, host) && allow(budget, tenant)
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
