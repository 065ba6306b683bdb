package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// otherUpstream is where a changed configuration leads: an upstream and an MCP
// server at once, that nothing of the storm's users may reach.
type otherUpstream struct {
	url string

	mu   sync.Mutex
	sent []string // requests, whole
}

func startOther(t *testing.T) *otherUpstream {
	t.Helper()
	o := &otherUpstream{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		o.mu.Lock()
		o.sent = append(o.sent, fmt.Sprintf("%s %s %v %s", r.Method, r.URL, r.Header, body))
		o.mu.Unlock()
		fault(w)
	}))
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

// requests returns what it was sent.
func (o *otherUpstream) requests() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent
}

// change is a change of the double's tenant, and what the replica says when it has
// read it.
type change struct {
	name string
	make func(*tenant)
	says string
}

// What a replica says of a configuration that it has read.
const (
	saysHeld    = "the tenant stays as it is until the operator decides"
	saysRefused = "the configuration was not reloaded"
	saysLoaded  = "configuration reloaded"
)

// changes lead to another upstream, are wrong, or apply at once.
func (o *otherUpstream) changes() []change {
	elsewhere := func(u *tenant) {
		u.Settings = fmt.Sprintf(`{ authorize_url: "%[1]s/authorize", token_url: "%[1]s/token", userinfo_url: "%[1]s/me", refresh_policy: strict }`, o.url)
		u.Backend = o.url
	}
	return []change{
		{"another client id", func(u *tenant) { u.App = "another" }, saysHeld},
		{"another host", elsewhere, saysHeld},
		{"another host and client id", func(u *tenant) { elsewhere(u); u.App = "another" }, saysHeld},
		{"another provider", func(u *tenant) {
			u.Provider, u.Settings, u.Backend = "oidc", fmt.Sprintf(`{ issuer: "%s", hosts: [] }`, o.url), o.url
		}, ""},
		{"another token URL", func(u *tenant) { u.Settings = strings.Replace(u.Settings, "/token", "/other-token", 1) }, saysHeld},
		{"a setting that is not one", func(u *tenant) { u.Settings = `{ token_uri: "` + o.url + `" }` }, saysRefused},
		{"other scopes", func(u *tenant) { u.Scopes = "[read, write]" }, saysLoaded},
	}
}

// changeConfig changes the configuration of one replica and changes it back, again
// and again. By turns the replica is told with SIGHUP, and sees for itself that the
// file is another.
func (a *arena) changeConfig(ctx context.Context, rng *rand.Rand) error {
	all := a.other.changes()
	for n := rng.IntN(len(all)); pause(ctx, upTo(rng, time.Second)); n++ {
		if err := a.changeOne(context.WithoutCancel(ctx), n, all[n%len(all)], time.Second+upTo(rng, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// changeOne makes the nth change at a replica, lets that serve for a while, and
// changes it back. Meanwhile the replica is not killed: a restart would apply the
// change, see TestRestartWithAnotherUpstreamCanBeUndone.
func (a *arena) changeOne(ctx context.Context, n int, c change, while time.Duration) error {
	g := a.replicas[n%len(a.replicas)]
	g.busy.Lock()
	defer g.busy.Unlock()
	was, hangup := g.tenants[0], n%2 == 0
	c.make(&g.tenants[0])
	err := g.reload(ctx, hangup, c.says)
	if err == nil {
		pause(ctx, while)
	}
	g.tenants[0] = was
	if back := g.reload(ctx, hangup, saysLoaded); back != nil {
		err = errors.Join(err, fmt.Errorf("changed back: %w", back))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	a.changed[c.name]++
	return nil
}

// reload writes the configuration and waits until the process says so of it, or
// that it is loaded or not if says is empty.
func (g *gateway) reload(ctx context.Context, hangup bool, says string) error {
	began := g.out.size()
	if _, err := g.writeConfig(); err != nil {
		return err
	}
	if hangup {
		if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if !until(ctx, g.done, func() bool {
		said := g.out.since(began)
		if says == "" {
			return strings.Contains(said, saysLoaded) || strings.Contains(said, saysRefused)
		}
		return strings.Contains(said, says)
	}) {
		return fmt.Errorf("the replica does not say %q of its new configuration:\n%.4000s", says, g.out.since(began))
	}
	return nil
}
