package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/tokens"
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

// TestRepeatedRefreshTokensAreAMetric: the counter has a series for each tenant
// and outcome.
func TestRepeatedRefreshTokensAreAMetric(t *testing.T) {
	t.Parallel()
	s := newSignals(nil)
	s.refreshRepeated("music", tokens.RepeatAnswered)
	s.refreshRepeated("music", tokens.RepeatSuspect)
	s.refreshRepeated("octo", tokens.RepeatEnded)
	page := httptest.NewRecorder()
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, series := range []string{
		`sallyport_refresh_tokens_repeated_total{outcome="answered",tenant="music"} 1`,
		`sallyport_refresh_tokens_repeated_total{outcome="suspect",tenant="music"} 1`,
		`sallyport_refresh_tokens_repeated_total{outcome="ended",tenant="octo"} 1`,
	} {
		if !strings.Contains(page.Body.String(), series) {
			t.Errorf("no %s", series)
		}
	}
}

// Conversations count by how they ended, and a renewal that failed is never ok.
func TestConversationsAreCountedByOutcome(t *testing.T) {
	t.Parallel()
	s := newSignals(nil)
	for _, outcome := range []string{"ok", "unavailable", "unavailable", "misconfigured"} {
		s.Conversation(plugins.ConversationEvent{Provider: "p", Tenant: "t", Op: "refresh", Outcome: outcome})
	}
	page := httptest.NewRecorder()
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for outcome, n := range map[string]string{"ok": "1", "unavailable": "2", "misconfigured": "1"} {
		if want := `sallyport_upstream_conversations_total{op="refresh",outcome="` + outcome + `",provider="p",tenant="t"} ` + n + "\n"; !strings.Contains(page.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}

// A log that cannot be written shows in the metrics.
func TestAuditThatFailsIsAMetric(t *testing.T) {
	t.Parallel()
	failing := make(chan audit.Status, 8)
	log := audit.New(audit.Config{Out: fullDisk{}, Notify: func(s audit.Status) { failing <- s }})
	s := newSignals(log)
	metrics := func() string {
		page := httptest.NewRecorder()
		promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return page.Body.String()
	}
	if text := metrics(); !strings.Contains(text, "\nsallyport_audit_failing 0\n") || !strings.Contains(text, `sallyport_audit_lines_total{outcome="dropped"} 0`) {
		t.Errorf("before: %s", text)
	}
	log.Record(t.Context(), audit.Event{Action: audit.Rejected})
	if s := <-failing; s.Failing == nil {
		t.Fatal("nothing fails")
	}
	if text := metrics(); !strings.Contains(text, "\nsallyport_audit_failing 1\n") {
		t.Errorf("after: %s", text)
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A tenant whose change waits for the operator has a series, until it does not.
func TestChangesThatWaitAreAMetric(t *testing.T) {
	t.Parallel()
	s := newSignals(nil)
	for _, c := range []struct {
		waiting []string
		want    map[string]bool
	}{{nil, nil}, {[]string{"acme", "octo"}, map[string]bool{"acme": true, "octo": true}}, {[]string{"octo"}, map[string]bool{"octo": true}}} {
		s.changesWaiting(c.waiting)
		page := httptest.NewRecorder()
		promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, name := range []string{"acme", "octo"} {
			if got := strings.Contains(page.Body.String(), `sallyport_tenant_change_waiting{tenant="`+name+`"} 1`); got != c.want[name] {
				t.Errorf("%v: %s %t", c.waiting, name, got)
			}
		}
	}
}
