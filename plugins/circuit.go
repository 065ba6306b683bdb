package plugins

import (
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

const (
	circuitFaults = 5                // so many
	circuitWindow = time.Minute      // within so long open it
	circuitRest   = 30 * time.Second // after so long one conversation may try
)

// circuit stops conversations in which the guest breaks down again and again:
// each costs an instance. The zero circuit is closed.
type circuit struct {
	mu     sync.Mutex
	faults []time.Time // the latest, while closed
	last   string      // what the last one was
	open   bool
	retry  time.Time // when an open one lets somebody try
	trying bool      // somebody does
}

// enter begins a conversation. An open circuit refuses it, or lets it try if
// the rest is over; who tries must leave.
func (c *circuit) enter(now time.Time) (tries bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.open:
		return false, nil
	case c.trying || now.Before(c.retry):
		return false, &upstream.Error{
			Kind: upstream.Unavailable, RetryAfter: max(time.Second, c.retry.Sub(now)),
			Detail: fmt.Sprintf("it rests after it broke down %d times within %v; the last time: %s", circuitFaults, circuitWindow, c.last),
		}
	}
	c.trying = true
	return true, nil
}

// leave ends the conversation of who tries.
func (c *circuit) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trying = false
}

// fault counts a breakdown and tells whether it opened the circuit.
func (c *circuit) fault(now time.Time, what string) (opened bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = what
	if c.open {
		c.retry = now.Add(circuitRest)
		return false
	}
	c.faults = append(c.faults, now)
	if len(c.faults) > circuitFaults {
		c.faults = c.faults[1:]
	}
	if len(c.faults) < circuitFaults || now.Sub(c.faults[0]) > circuitWindow {
		return false
	}
	c.open, c.faults, c.retry = true, nil, now.Add(circuitRest)
	return true
}

// success counts a run that did not break down and tells whether it closed the
// circuit.
func (c *circuit) success() (closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	closed = c.open && c.trying
	if closed {
		c.open, c.trying = false, false
	}
	return closed
}

// trip opens the circuit.
func (c *circuit) trip(now time.Time, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.open, c.faults, c.retry = what, true, nil, now.Add(circuitRest)
}

func (c *circuit) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// quiet reports whether the circuit is closed and no fault counts any more.
func (c *circuit) quiet(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.open && (len(c.faults) == 0 || now.Sub(c.faults[len(c.faults)-1]) > circuitWindow)
}
