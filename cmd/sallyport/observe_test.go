package main

import (
	"fmt"
	"testing"

	"github.com/sallyport/sallyport/plugins"
)

// TestRefusedHostsAreOneLabel: a module may ask for any number of hosts.
func TestRefusedHostsAreOneLabel(t *testing.T) {
	t.Parallel()
	s := newSignals(nil)
	for i := range 100 {
		s.Request(plugins.RequestEvent{Provider: "p", Tenant: "t", Op: "exchange", Host: fmt.Sprintf("h%d.example", i), Refused: true})
	}
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sallyport_upstream_requests_total" && len(f.GetMetric()) != 1 {
			t.Errorf("%d series", len(f.GetMetric()))
		}
	}
}
