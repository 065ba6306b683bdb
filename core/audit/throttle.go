package audit

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/remote"
)

const (
	refusalWindow = time.Minute
	maxRefusals   = 10   // lines of one kind in a window
	maxKinds      = 4096 // of refusals that are told apart at a time
)

// kind is which refusals are counted together. Their reasons are not told
// apart: some hold text of the sender's.
type kind struct {
	action                 Action
	tenant, grant, address string
}

// throttle keeps a flood of refusals from being one of lines.
type throttle struct {
	now  func() time.Time
	emit func(Event) // the line with the count of those left out

	mu    sync.Mutex
	kinds map[kind]*counted
	swept time.Time
}

// counted is one kind in one window.
type counted struct {
	began time.Time
	lines int
	left  Event // the last that was left out, with the count
	timer *time.Timer
}

func newThrottle(now func() time.Time, emit func(Event)) *throttle {
	return &throttle{now: now, emit: emit, kinds: map[kind]*counted{}}
}

// allow reports whether a refusal becomes a line of its own.
func (t *throttle) allow(e Event) bool {
	k, most := kind{e.Action, e.Tenant, e.Grant, e.Address}, maxRefusals
	if e.Action == Limited { // it stands for many as it is
		most = 1
	}
	t.mu.Lock()
	now := t.now()
	c := t.kinds[k]
	if c == nil && len(t.kinds) >= maxKinds && !t.sweep(now) {
		k.grant, k.address = "", ""
		c = t.kinds[k]
	}
	var over *counted
	if c == nil || now.Sub(c.began) >= refusalWindow {
		over, c = c, &counted{began: now}
		t.kinds[k] = c
	}
	passes := c.lines < most
	if passes {
		c.lines++
	} else {
		t.leave(k, c, e)
	}
	t.mu.Unlock()
	if over != nil {
		t.end(k, over)
	}
	return passes
}

// leave counts a refusal that gets no line.
func (t *throttle) leave(k kind, c *counted, e Event) {
	left := c.left.Omitted + 1
	c.left = Event{Action: e.Action, Tenant: e.Tenant, Grant: k.grant, Address: k.address, Reason: e.Reason, Omitted: left}
	if left == 1 {
		c.timer = time.AfterFunc(refusalWindow, func() { t.end(k, c) })
	}
}

// sweep forgets the kinds whose window is over and reports whether there were
// any. It looks through all of them once a second at most.
func (t *throttle) sweep(now time.Time) bool {
	if now.Sub(t.swept) < time.Second {
		return false
	}
	t.swept = now
	before := len(t.kinds)
	for k, c := range t.kinds {
		if now.Sub(c.began) >= refusalWindow && c.left.Omitted == 0 {
			delete(t.kinds, k)
		}
	}
	return len(t.kinds) < before
}

// end writes the count of a window.
func (t *throttle) end(k kind, c *counted) {
	t.mu.Lock()
	if t.kinds[k] == c {
		delete(t.kinds, k)
	}
	left := c.left
	c.left.Omitted = 0
	if c.timer != nil {
		c.timer.Stop()
	}
	t.mu.Unlock()
	if left.Omitted > 0 {
		t.emit(left)
	}
}

// flush writes the counts of all windows.
func (t *throttle) flush() {
	t.mu.Lock()
	ended := t.kinds
	t.kinds = map[kind]*counted{}
	t.mu.Unlock()
	for k, c := range ended {
		t.end(k, c)
	}
}

// network is what counts as one sender.
func network(sender string) string {
	addr, _ := netip.ParseAddrPort(sender) // zero for a connection without: one sender like any other
	return remote.Network(addr.Addr())
}
