package plugins

import (
	"testing"

	"github.com/sallyport/sallyport/core/upstream"
)

// BenchmarkStep is one run of a guest that uses encoding/json, each in a fresh
// instance: authorize, which asks for nothing.
func BenchmarkStep(b *testing.B) {
	p := newRig(b).bind(b, "happy")
	for b.Loop() {
		if _, err := p.Authorize(b.Context(), upstream.AuthorizeRequest{State: "s", CodeChallenge: "c"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkExchange is three runs and two requests over loopback.
func BenchmarkExchange(b *testing.B) {
	p := newRig(b).bind(b, "happy")
	for b.Loop() {
		if _, err := exchange(b, p); err != nil {
			b.Fatal(err)
		}
	}
}
