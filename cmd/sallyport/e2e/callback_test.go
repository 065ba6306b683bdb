package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/audit"
)

// tamperer is the transport of a browser that does to the request for the
// callback what a browser, or an attacker in it, may do.
type tamperer struct {
	reload bool   // send it again, with the cookies of the first time
	inject string // a code to put in the place of the upstream's

	mu       sync.Mutex
	code     string // what the upstream sent, of the last callback
	reloaded int    // status of the second answer
}

// RoundTrip implements http.RoundTripper.
func (m *tamperer) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/callback") {
		return direct.Transport.RoundTrip(r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r = r.Clone(r.Context())
	query := r.URL.Query()
	m.code = query.Get("code")
	if m.inject != "" {
		query.Set("code", m.inject)
		r.URL.RawQuery = query.Encode()
	}
	resp, err := direct.Transport.RoundTrip(r)
	if err != nil || !m.reload {
		return resp, err
	}
	again, err := direct.Transport.RoundTrip(r.Clone(r.Context()))
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	_, _ = io.Copy(io.Discard, again.Body)
	_ = again.Body.Close()
	m.reloaded = again.StatusCode
	return resp, nil
}

// wantRefused fails unless a login ends without tokens and the audit log says
// that the upstream's answer was of this kind.
func (g *gateway) wantRefused(ctx context.Context, what, tenant, kind string, browser *demo.Browser) {
	g.t.Helper()
	client, err := demo.Connect(ctx, g.mcpURL(tenant), browser, demo.Options{})
	if err == nil { // it connects without a token and logs in for the call
		g.t.Cleanup(func() { _ = client.Close() })
		_, err = client.Whoami(ctx)
	}
	if err == nil {
		g.t.Errorf("%s: expected no login, got one", what)
	}
	if !until(ctx, nil, func() bool { return strings.Contains(g.lastAudited(audit.LoginFailed, tenant).Reason, kind) }) {
		g.t.Errorf("%s: expected the audit log to say %s, got %+v after %v", what, kind, g.lastAudited(audit.LoginFailed, tenant), err)
	}
}

// audited returns what the audit log has on a decision at a tenant since the
// process was started.
func (g *gateway) audited(action audit.Action, tenant string) []audit.Event {
	var found []audit.Event
	for line := range strings.Lines(g.out.String()) {
		var e struct {
			Action              audit.Action
			Tenant, Sub, Reason string
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Action == action && e.Tenant == tenant {
			found = append(found, audit.Event{Action: e.Action, Tenant: e.Tenant, Subject: e.Sub, Reason: e.Reason})
		}
	}
	return found
}

// lastAudited is the last of what audited returns, or the zero Event.
func (g *gateway) lastAudited(action audit.Action, tenant string) audit.Event {
	all := g.audited(action, tenant)
	if len(all) == 0 {
		return audit.Event{}
	}
	return all[len(all)-1]
}

// wantSubject fails unless the last code was issued to the account of that id.
// The line is written beside the answer.
func wantSubject(t *testing.T, g *gateway, tenant, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if !until(ctx, nil, func() bool { return g.lastAudited(audit.CodeIssued, tenant).Subject == id }) {
		t.Errorf("expected a code for the account %q of %s, got %+v", id, tenant, g.lastAudited(audit.CodeIssued, tenant))
	}
}
