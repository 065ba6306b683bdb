package plugins

import (
	"sync"
	"time"
)

// circuits holds a module's circuits: one for each tenant and upstream, and the
// module's own. What one upstream answers can make a run fail, so faults close
// the module to that tenant alone; the module's own opens only when circuits of
// several tenants are open and no other tenant had a success meanwhile.
type circuits struct {
	mu      sync.Mutex
	own     circuit
	tenants map[circuitKey]*circuit
	success time.Time // of the latest conversation whose tenant's circuit is closed
}

// circuitKey is a tenant and the identity of its upstream.
type circuitKey struct{ tenant, upstream string }

const (
	severalTenants = 2
	maxCircuits    = 1024 // that are kept although they are closed
)

func (p *provider) circuitKey() circuitKey { return circuitKey{p.binding.Tenant, p.named.String()} }

// enter begins a conversation, or reports why it cannot begin. The caller calls
// leave at its end.
func (c *circuits) enter(key circuitKey, now time.Time) (leave func(), err error) {
	c.mu.Lock()
	tenant := c.tenants[key]
	c.mu.Unlock()
	var entered []*circuit
	leave = func() {
		for _, e := range entered {
			e.leave()
		}
	}
	for _, one := range []*circuit{tenant, &c.own} {
		if one == nil {
			continue
		}
		tries, err := one.enter(now)
		if err != nil {
			leave()
			return nil, err
		}
		if tries {
			entered = append(entered, one)
		}
	}
	return leave, nil
}

// opened says which circuits a fault opened, or which a success closed.
type opened struct{ tenant, own bool }

// fault counts a conversation in which the guest broke down.
func (c *circuits) fault(key circuitKey, now time.Time, what string) (o opened) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tenants[key] == nil {
		c.prune(now)
		if c.tenants == nil {
			c.tenants = map[circuitKey]*circuit{}
		}
		c.tenants[key] = &circuit{}
	}
	o.tenant = c.tenants[key].fault(now, what)
	names := map[string]bool{}
	for k, one := range c.tenants {
		if one.isOpen() {
			names[k.tenant] = true
		}
	}
	switch {
	case c.own.isOpen():
		c.own.fault(now, what)
	case o.tenant && len(names) >= severalTenants && now.Sub(c.success) > circuitWindow:
		c.own.trip(now, what)
		o.own = true
	}
	return o
}

// succeed counts a conversation in which the guest did not break down.
func (c *circuits) succeed(key circuitKey, now time.Time) (closed opened) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.tenants[key]
	if one != nil {
		closed.tenant = one.success()
	}
	if one == nil || !one.isOpen() {
		c.success = now
	}
	closed.own = c.own.success()
	return closed
}

// prune forgets closed circuits without recent faults once there are many.
func (c *circuits) prune(now time.Time) {
	if len(c.tenants) < maxCircuits {
		return
	}
	for k, one := range c.tenants {
		if one.quiet(now) {
			delete(c.tenants, k)
		}
	}
}
