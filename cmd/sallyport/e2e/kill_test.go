package e2e

import (
	"context"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// TestKilledWhileRenewing kills Sallyport by SIGKILL in the middle of a renewal
// at an upstream with single-use refresh tokens, a double of ours, and starts
// another on the same store.
func TestKilledWhileRenewing(t *testing.T) {
	t.Parallel()
	w := chaosWorld(t)
	for name, store := range map[string]func(*testing.T) string{
		"bolt": boltStore,
		"Redis": func(t *testing.T) string {
			return "redis://" + storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always").Addr
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The answer is in the journal: the next call goes on from there.
			t.Run("after the answer is kept", func(t *testing.T) {
				t.Parallel()
				k := newKilled(t, w, store(t))
				k.die(t, "kept")
				for range 2 {
					if status, _ := k.call(t, k.ada); status != http.StatusOK {
						t.Errorf("the next call: %d", status)
					}
				}
				if c := k.up.counts(); c.refreshes != 1 || c.spent != 0 || c.unknown != 0 {
					t.Errorf("the upstream saw %+v; want one refresh", c)
				}
			})
			// The one moment that nobody can make safe. It costs the login that it
			// was for, and no other.
			t.Run("before the answer is kept", func(t *testing.T) {
				t.Parallel()
				k := newKilled(t, w, store(t))
				k.die(t, "unkept")
				if status, body := k.call(t, k.ada); status != http.StatusUnauthorized {
					t.Errorf("the next call: %d %s", status, body)
				}
				if status, body := k.call(t, k.alan); status != http.StatusOK {
					t.Errorf("somebody else's call: %d %s", status, body)
				}
				if c := k.up.counts(); c.spent != 1 {
					t.Errorf("the upstream saw %+v; want one spent token", c)
				}
			})
		})
	}
}

// killed is a Sallyport of the test build with two logins.
type killed struct {
	*fleet
	up        *cruel
	ada, alan *copyOf
}

func newKilled(t *testing.T, w *world, store string) *killed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k := &killed{fleet: &fleet{t: t, clock: filepath.Join(t.TempDir(), "clock")}}
	k.moveTo(0)
	k.up = startCruel(t, 0, tokenLife, k.now)
	g := prepareGateway(t, w, site{front: loopback.Free(t), operator: loopback.Free(t)}, store, seal.NewKey(), k.up.tenant(t))
	k.replicas = []*gateway{g}
	k.environ("")
	if err := g.start(ctx); err != nil {
		t.Fatal(err)
	}
	url := g.tenantURL("cruel")
	id, err := registerAt(ctx, direct, url)
	if err != nil {
		t.Fatal(err)
	}
	for user, c := range map[string]**copyOf{"ada": &k.ada, "alan": &k.alan} {
		*c = &copyOf{url: url, user: user, clientID: id, client: direct}
		code, err := codeFor(ctx, demo.NewBrowser(logIn(user), nil), url, id)
		if err != nil {
			t.Fatal(err)
		}
		if status, err := (*c).redeem(ctx, code); status != http.StatusOK {
			t.Fatal(status, err)
		}
	}
	return k
}

func (k *killed) environ(point string) {
	k.replicas[0].environ = append([]string{"FAULT_CLOCK=" + k.clock, "FAULT_KILL=" + point}, unlimited...)
}

// die lets the process end itself at a point of ada's renewal, and starts
// another.
func (k *killed) die(t *testing.T, point string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	g := k.replicas[0]
	k.environ(point)
	if err := g.restart(ctx); err != nil {
		t.Fatal(err)
	}
	k.advance(2 * tokenLife)
	if status, _, err := k.ada.post(ctx, "/mcp", "application/json", whoamiCall, k.ada.access); err == nil {
		t.Fatalf("a process that should be dead answers %d", status)
	}
	<-g.done
	if s, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v", g.cmd.ProcessState)
	}
	k.environ("")
	if err := g.start(ctx); err != nil {
		t.Fatal(err)
	}
}

// call calls until the dead process's lease is taken over.
func (k *killed) call(t *testing.T, c *copyOf) (int, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		status, body, err := c.post(ctx, "/mcp", "application/json", whoamiCall, c.access)
		if err != nil {
			t.Fatal(err)
		}
		if status != http.StatusServiceUnavailable || !pause(ctx, 500*time.Millisecond) {
			return status, body
		}
	}
}
