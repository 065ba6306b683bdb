// Package storetest holds what every store.Driver has to pass: a conformance
// suite that takes the comments of the interface sentence by sentence, a
// contention suite that races its operations, and one of whole copies. It also starts real Redis
// servers for tests. Tests of one engine's own properties stay beside the
// engine.
package storetest

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// Engine is the engine under test.
type Engine struct {
	// Open returns an empty store that nobody else uses. It registers the
	// cleanup, which has to close it.
	Open func(t *testing.T) store.Driver
	// Advance moves the clock that the values of all opened stores expire by.
	// It is nil for an engine that expires by a clock of its own: then Run
	// waits, with ttls that are short.
	Advance func(d time.Duration)
}

// Run runs the suites.
func Run(t *testing.T, e Engine) {
	for _, s := range []struct {
		name  string
		tests []test
	}{
		{"conformance", conformance},
		{"expiry", expiry},
		{"contention", contention},
		{"copying", copying},
	} {
		t.Run(s.name, func(t *testing.T) {
			for _, c := range s.tests {
				t.Run(c.name, func(t *testing.T) { c.run(t, e) })
			}
		})
	}
}

type test struct {
	name string
	run  func(t *testing.T, e Engine)
}

const (
	// long is a ttl that no test outlives.
	long = time.Hour
	// short is a ttl that Run can wait for where the clock cannot be moved.
	short = 50 * time.Millisecond
	// patience bounds every wait for something that should happen soon.
	patience = time.Minute
)

// pass lets d pass for values that expire, until gone reports true.
func (e Engine) pass(t *testing.T, d time.Duration, gone func() bool) {
	t.Helper()
	if e.Advance != nil {
		e.Advance(d)
		if !gone() {
			t.Fatalf("still there after its ttl of %v", d)
		}
		return
	}
	deadline := time.Now().Add(patience)
	for !gone() {
		if time.Now().After(deadline) {
			t.Fatalf("still there %v after a ttl of %v", patience, d)
		}
		time.Sleep(d / 10)
	}
}
