package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/core/audit"
)

// sdk is an official SDK that clients are built on.
type sdk struct {
	name  string
	start func(context.Context, *testing.T, *world, *gateway) client
	// registers is how often it registers in the whole story: once would do, but
	// the Go SDK registers for every login.
	registers int
	// refuses is how often it gives up where a client can help itself: told that
	// it needs more scope, TypeScript's v1 refreshes, has the same scope as
	// before, and will not ask the user.
	refuses int
}

func sdks() []sdk {
	return []sdk{
		{name: "Go SDK", start: newGoClient, registers: 4},
		{name: "TypeScript SDK v1", start: newNodeClient("client.mjs"), registers: 1, refuses: 1},
		{name: "TypeScript SDK v2", start: newNodeClient("client-v2.mjs"), registers: 1},
		{name: "Python SDK", start: newPythonClient, registers: 1},
	}
}

// step is something that happens to a connected client, after which it calls
// whoami and has to get through.
type step struct {
	name    string
	happens func(ctx context.Context, g *gateway, before answer) error
	command string // of client
	logsIn  bool   // nothing less than a login helps
}

// steps are the columns of the matrix.
func steps() []step {
	return []step{
		{"login", nothing, "call", true},
		{"refresh", nothing, "refresh", false},
		{"step-up", needMore, "call", true},
		{"revoked", revoke, "call", true},
		{"lost store", loseStore, "call", true},
	}
}

// clientOf takes a client on an SDK through all steps.
func clientOf(s sdk) func(context.Context, *testing.T, *world, site) {
	return func(ctx context.Context, t *testing.T, w *world, at site) {
		g := newGateway(ctx, t, w, at, boltStore(t), w.octo(at))
		c := s.start(ctx, t, w, g)
		var before answer
		logins, refusals := 0, 0
		for _, step := range steps() {
			if step.logsIn {
				logins++
			}
			passed := t.Run(step.name, func(t *testing.T) {
				if err := step.happens(ctx, g, before); err != nil {
					t.Fatal(err)
				}
				after, err := c.do(ctx, step.command)
				w.wantUser(t, after.Whoami, err)
				if after.AccessToken == before.AccessToken || after.RefreshToken == before.RefreshToken {
					t.Error("expected new tokens, got the old")
				}
				if got := c.logins(); got != logins {
					t.Errorf("expected %d logins, got %d", logins, got)
				}
				for _, scope := range append(strings.Fields(before.Scope), g.tenants[0].Tools...) {
					if !slices.Contains(strings.Fields(after.Scope), scope) {
						t.Errorf("the client had or needs the scope %s, and has %s", scope, after.Scope)
					}
				}
				refusals += after.Refusals
				before = after
			})
			if !passed {
				return
			}
			w.matrix.note(s.name, step.name, before.Refusals)
		}
		registered := func() int { return strings.Count(g.out.String(), string(audit.Registered)) }
		until(ctx, nil, func() bool { return registered() >= s.registers }) // lines are written beside the answers
		if got := registered(); got != s.registers {
			t.Errorf("expected %d registrations, got %d", s.registers, got)
		}
		if refusals != s.refuses {
			t.Errorf("expected the SDK to give up %d times, it did %d times", s.refuses, refusals)
		}
	}
}

func nothing(context.Context, *gateway, answer) error { return nil }

// needMore has the operator want one scope more for the tool than was granted.
func needMore(ctx context.Context, g *gateway, before answer) error {
	if strings.Contains(before.Scope, "repo") {
		return fmt.Errorf("the client has all it will need: %s", before.Scope)
	}
	octo := &g.tenants[0]
	octo.Scopes = strings.Replace(octo.Scopes, "]", `, "repo"]`, 1)
	octo.Tools = []string{"repo"}
	if _, err := g.writeConfig(); err != nil {
		return err
	}
	if !until(ctx, g.done, func() bool { return strings.Contains(g.out.String(), "configuration reloaded") }) {
		return errors.New("the configuration is not reloaded")
	}
	return nil
}

// revoke ends the grant behind the client's back (RFC 7009).
func revoke(ctx context.Context, g *gateway, before answer) error {
	form := url.Values{"token": {before.RefreshToken}, "client_id": {before.ClientID}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.tenantURL(octo)+"/revoke", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := direct.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !until(ctx, nil, func() bool { return len(g.audited(audit.Revoked, octo)) == 1 }) {
		return fmt.Errorf("revoke: %s", resp.Status)
	}
	return nil
}

// loseStore takes everything away that is stored. A registration is not: it is
// in the client's id.
func loseStore(ctx context.Context, g *gateway, _ answer) error {
	g.stop()
	if err := os.Remove(strings.TrimPrefix(g.store, "bolt://")); err != nil {
		return err
	}
	return g.start(ctx)
}

// matrix is what each SDK got through, to be read with -v.
type matrix struct {
	mu    sync.Mutex
	cells map[[2]string]string // by SDK and step
}

func (m *matrix) note(sdk, step string, refusals int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cells == nil {
		m.cells = map[[2]string]string{}
	}
	m.cells[[2]string{sdk, step}] = "ok" + strings.Repeat("*", refusals)
}

func (m *matrix) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	table := fmt.Sprintf("%-18s", "")
	for _, step := range steps() {
		table += "  " + step.name
	}
	for _, sdk := range sdks() {
		table += fmt.Sprintf("\n%-18s", sdk.name)
		for _, step := range steps() {
			table += fmt.Sprintf("  %-*s", len(step.name), cmp.Or(m.cells[[2]string{sdk.name, step.name}], "-"))
		}
	}
	return table + "\n* the SDK gave up, and the client helped itself by dropping its tokens"
}

// startPython runs a script of the folder python until ctx ends or the test is
// over, whichever comes first.
func startPython(ctx context.Context, t *testing.T, script string, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(ctx, installed(t, "python/.venv/bin/python"), append([]string{script}, args...)...)
	cmd.Dir = "python"
	return start(t, script, cmd)
}
