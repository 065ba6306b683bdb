package wasi

import (
	"encoding/binary"
	"math"
	"time"
)

// Clock ids of preview 1; the CPU clocks read like the monotonic one.
const (
	clockRealtime = 0
	clockLast     = 3
)

func (c *call) clockResolution() uint32 {
	if c.u32(0) > clockLast {
		return inval
	}
	return c.putU64(c.u32(1), 1)
}

func (c *call) clockTime() uint32 {
	if c.u32(0) > clockLast {
		return inval
	}
	return c.putU64(c.u32(2), uint64(c.reading(c.u32(0))))
}

func (s *System) reading(clock uint32) int64 {
	if clock == clockRealtime {
		return s.now.Add(s.slept).UnixNano()
	}
	return firstReading + int64(s.slept)
}

// Shapes of poll_oneoff.
const (
	subscriptionSize = 48
	eventSize        = 32
	eventClock       = 0
	flagAbsolute     = 1
)

// poll answers at once: the clock jumps to the earliest deadline among the
// subscriptions, and a subscription to a descriptor is an error event.
func (c *call) poll() uint32 {
	in, out, n, countAt := c.u32(0), c.u32(1), c.u32(2), c.u32(3)
	if n == 0 {
		return inval
	}
	if uint64(n)*subscriptionSize > uint64(c.mem.Size()) {
		return fault
	}
	subs, ok := c.mem.Read(in, n*subscriptionSize)
	if !ok {
		return fault
	}
	subs = append([]byte(nil), subs...) // the events may overlap them
	wait := time.Duration(math.MaxInt64)
	for s := subs; len(s) > 0; s = s[subscriptionSize:] {
		wait = min(wait, c.untilDue(s))
	}
	c.sleep(wait)
	var events []byte
	for s := subs; len(s) > 0; s = s[subscriptionSize:] {
		if c.untilDue(s) <= 0 {
			events = append(events, event(s)...)
		}
	}
	return max(c.put(out, events), c.putU32(countAt, uint32(len(events)/eventSize)))
}

// untilDue returns how long a subscription has to wait. One to a descriptor is
// due at once.
func (c *call) untilDue(sub []byte) time.Duration {
	if sub[8] != eventClock {
		return 0
	}
	clock := binary.LittleEndian.Uint32(sub[16:])
	timeout := binary.LittleEndian.Uint64(sub[24:])
	due := int64(min(timeout, math.MaxInt64))
	if binary.LittleEndian.Uint16(sub[40:])&flagAbsolute == 0 {
		// The event's own deadline is kept in its subscription, so that the
		// second pass sees what the first one slept for.
		now := c.reading(clock)
		due = now + min(due, math.MaxInt64-now)
		binary.LittleEndian.PutUint64(sub[24:], uint64(due))
		binary.LittleEndian.PutUint16(sub[40:], flagAbsolute)
	}
	return time.Duration(due - c.reading(clock))
}

// sleep moves the clock. It stops short of where its reading would overflow.
func (s *System) sleep(d time.Duration) {
	const limit = 100 * 365 * 24 * time.Hour
	if d > 0 {
		s.slept += min(d, max(0, limit-s.slept))
	}
}

func event(sub []byte) []byte {
	e := make([]byte, eventSize)
	copy(e, sub[:8]) // user data
	if sub[8] != eventClock {
		binary.LittleEndian.PutUint16(e[8:], badf)
	}
	e[10] = sub[8]
	return e
}
