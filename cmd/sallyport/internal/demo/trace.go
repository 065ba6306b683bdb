package demo

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// exchange is one HTTP request and the status of its answer.
type exchange struct {
	method string
	url    string // without the query, which may hold a code
	status int
	took   time.Duration // until the answer's header
}

// trace is an http.RoundTripper that remembers what passed through it.
type trace struct {
	next http.RoundTripper
	now  func() time.Time

	mu   sync.Mutex
	seen []exchange
}

// RoundTrip implements http.RoundTripper.
func (t *trace) RoundTrip(req *http.Request) (*http.Response, error) {
	began := t.now()
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	address, _, _ := strings.Cut(req.URL.String(), "?")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = append(t.seen, exchange{req.Method, address, resp.StatusCode, t.now().Sub(began)})
	return resp, nil
}

// take returns what passed since the last take.
func (t *trace) take() []exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.seen
	t.seen = nil
	return seen
}

// phase is a part of a login: exchanges in a row that serve one purpose.
type phase struct {
	name  string
	count int
	took  time.Duration
}

// phasesOf groups exchanges by what classify calls them.
func phasesOf(seen []exchange, classify func(exchange) string) []phase {
	var phases []phase
	for _, e := range seen {
		name := classify(e)
		if n := len(phases); n == 0 || phases[n-1].name != name {
			phases = append(phases, phase{name: name})
		}
		last := &phases[len(phases)-1]
		last.count++
		last.took += e.took
	}
	return phases
}

// describe lists phases and their times on one line.
func describe(phases []phase) string {
	parts := make([]string, len(phases))
	for i, p := range phases {
		parts[i] = fmt.Sprintf("%s %.1f", p.name, float64(p.took)/float64(time.Millisecond))
		if p.count > 1 {
			parts[i] += fmt.Sprintf(" (%d requests)", p.count)
		}
	}
	return strings.Join(parts, ", ")
}
