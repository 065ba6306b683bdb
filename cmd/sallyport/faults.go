package main

import (
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// faults is where a test build reaches into the process. The zero value, which
// is all that a production build can have, changes nothing.
type faults struct {
	now  func() time.Time                          // nil: the real clock
	wrap func(upstream.Provider) upstream.Provider // nil: the provider as it is
}

// clock is the clock of the process.
func (f faults) clock() func() time.Time {
	now := f.now
	if now == nil {
		now = time.Now
	}
	return now
}

// provider returns p with the faults that were asked for.
func (f faults) provider(p upstream.Provider) upstream.Provider {
	if f.wrap == nil {
		return p
	}
	return f.wrap(p)
}
