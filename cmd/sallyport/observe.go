package main

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/tokens"
	"github.com/sallyport/sallyport/plugins"
)

// signals counts what plugins do and writes every request they cause to the
// audit log. Its labels are bounded: providers, tenants and the hosts they may
// reach are the operator's choice, the rest are words of ours.
type signals struct {
	audit    *audit.Log
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	runs     *prometheus.CounterVec
	talks    *prometheus.CounterVec
	fuel     *prometheus.CounterVec
	changes  *prometheus.CounterVec
	repeats  *prometheus.CounterVec
	waiting  *prometheus.GaugeVec
}

var _ plugins.Observer = (*signals)(nil)

func newSignals(log *audit.Log) *signals {
	s := &signals{
		audit:    log,
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_upstream_requests_total", Help: "Requests to upstreams; status is 0 without an answer and refused if a rule forbade it.",
		}, []string{"provider", "tenant", "host", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "sallyport_upstream_request_seconds", Help: "How long upstreams took to answer.", Buckets: prometheus.ExponentialBuckets(0.01, 2, 11),
		}, []string{"provider", "host"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_plugin_runs_total", Help: "Runs of plugins by operation and outcome, ok or fault.",
		}, []string{"provider", "op", "outcome"}),
		talks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_upstream_conversations_total", Help: "Operations of providers by outcome: ok, or the kind of the failure (core/SPEC.md, Errors of the upstream).",
		}, []string{"provider", "tenant", "op", "outcome"}),
		fuel: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_plugin_fuel_total", Help: "Fuel that plugins spent.",
		}, []string{"provider", "tenant"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sallyport_plugin_changes_total", Help: "Plugins loaded, swapped, refused, retired, resting and recalled.",
		}, []string{"change"}),
	}
	s.repeats = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sallyport_refresh_tokens_repeated_total",
		Help: "Refresh tokens that came again, by outcome: answered (within reuse_window), suspect (answered, but often or from another network) or ended (the grant).",
	}, []string{"tenant", "outcome"})
	s.waiting = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "sallyport_tenant_change_waiting", Help: "1 for a tenant whose new configuration leads to another upstream and waits for the operator.",
	}, []string{"tenant"})
	s.registry.MustRegister(auditMetrics(log)...)
	s.registry.MustRegister(s.waiting, s.repeats, s.requests, s.seconds, s.runs, s.talks, s.fuel, s.changes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// auditMetrics are about the audit log itself.
func auditMetrics(log *audit.Log) []prometheus.Collector {
	lines := func(outcome string, count func(audit.Status) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "sallyport_audit_lines_total", Help: "Audit lines by outcome, written or dropped.",
			ConstLabels: prometheus.Labels{"outcome": outcome},
		}, func() float64 { return float64(count(log.Status())) })
	}
	return []prometheus.Collector{
		lines("written", func(s audit.Status) uint64 { return s.Written }),
		lines("dropped", func(s audit.Status) uint64 { return s.Dropped }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sallyport_audit_failing", Help: "1 while audit lines cannot be written.",
		}, func() float64 {
			if log.Status().Failing != nil {
				return 1
			}
			return 0
		}),
	}
}

// Request implements plugins.Observer.
func (s *signals) Request(e plugins.RequestEvent) {
	status := strconv.Itoa(e.Status)
	if e.Refused {
		status = "refused"
	} else {
		s.seconds.WithLabelValues(e.Provider, e.Host).Observe(e.Took.Seconds())
	}
	host := e.Host
	if e.Refused { // a module chose it, and could choose any number of them
		host = "refused"
	}
	s.requests.WithLabelValues(e.Provider, e.Tenant, host, status).Inc()
	s.audit.Record(context.Background(), audit.Event{
		Action: audit.Egress, Tenant: e.Tenant, Provider: e.Provider, Host: e.Host, Reason: e.Op + " " + status,
	})
}

// Run implements plugins.Observer.
func (s *signals) Run(e plugins.RunEvent) {
	outcome := "ok"
	if e.Fault {
		outcome = "fault"
	}
	s.runs.WithLabelValues(e.Provider, e.Op, outcome).Inc()
	s.fuel.WithLabelValues(e.Provider, e.Tenant).Add(float64(max(e.Fuel, 0)))
}

// Conversation implements plugins.Observer.
func (s *signals) Conversation(e plugins.ConversationEvent) {
	s.talks.WithLabelValues(e.Provider, e.Tenant, e.Op, e.Outcome).Inc()
}

// refreshRepeated counts a refresh token that came again.
func (s *signals) refreshRepeated(tenantName string, what tokens.RepeatOutcome) {
	s.repeats.WithLabelValues(tenantName, string(what)).Inc()
}

// changesWaiting sets which tenants have a change that waits.
func (s *signals) changesWaiting(tenants []string) {
	s.waiting.Reset()
	for _, name := range tenants {
		s.waiting.WithLabelValues(name).Set(1)
	}
}

// Plugin implements plugins.Observer.
func (s *signals) Plugin(e plugins.PluginEvent) {
	s.changes.WithLabelValues(e.Change).Inc()
}

// operator answers on the operator's listener: what core does there, and what
// only the whole program can tell.
func (d *deployment) operator() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.signals.registry, promhttp.HandlerOpts{}))
	mux.Handle("/", d.server.Operator())
	names := d.cfg.Server.OperatorHosts
	if host, _, err := net.SplitHostPort(d.cfg.Server.OperatorListen); err == nil {
		names = append(slices.Clone(names), strings.ToLower(host))
	}
	return core.OperatorHosts(names, mux)
}
