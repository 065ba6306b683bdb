package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
)

// unlimited takes away the limits for one address: all clients here have the
// same.
var unlimited = []string{"SALLYPORT_LIMITS__AUTHORIZE=off", "SALLYPORT_LIMITS__TOKEN=off"}

// fleet is several Sallyports behind one address, over one store.
type fleet struct {
	t        *testing.T
	clock    string // file with the seconds by which their clock is ahead
	ahead    atomic.Int64
	replicas []*gateway
	front    string // what clients call them all: host:port
	kills    atomic.Int64
	moves    atomic.Int64
}

// startFleet starts n replicas of one configuration, which may reach a private
// host beside those of the tenants. Their binary is the test build, whose clock
// moves and which dies when told.
func startFleet(ctx context.Context, t *testing.T, w *world, n int, store, private string, tenants ...tenant) *fleet {
	t.Helper()
	f := &fleet{t: t, clock: filepath.Join(t.TempDir(), "clock"), front: "localhost:80"}
	f.moveTo(0)
	key := seal.NewKey()
	for range n {
		g := prepareGateway(t, w, site{front: loopback.Free(t), operator: loopback.Free(t)}, store, key, tenants...)
		g.url, g.environ = "http://localhost/{tenant}", append([]string{"FAULT_CLOCK=" + f.clock}, unlimited...)
		g.private = append(g.private, private)
		if err := g.start(ctx); err != nil {
			t.Fatal(err)
		}
		f.replicas = append(f.replicas, g)
	}
	return f
}

// now is the fleet's clock.
func (f *fleet) now() time.Time { return time.Now().Add(time.Duration(f.ahead.Load()) * time.Second) }

// advance moves the clock of all replicas.
func (f *fleet) advance(d time.Duration) {
	f.moves.Add(1)
	f.moveTo(f.ahead.Load() + int64(d/time.Second))
}

func (f *fleet) moveTo(ahead int64) {
	f.t.Helper()
	next := f.clock + ".next"
	err := os.WriteFile(next, []byte(strconv.FormatInt(ahead, 10)), 0o600)
	if err == nil {
		err = os.Rename(next, f.clock)
	}
	if err != nil {
		f.t.Error(err)
	}
	f.ahead.Store(ahead)
}

// kill ends a replica by SIGKILL, outside of the one moment that nobody can
// make safe (faults_on.go), and starts another in its place.
func (f *fleet) kill(ctx context.Context, rng *rand.Rand) error {
	g := f.replicas[rng.IntN(len(f.replicas))]
	for !g.busy.TryLock() { // its configuration is being changed
		g = f.replicas[rng.IntN(len(f.replicas))]
		pause(ctx, 10*time.Millisecond)
	}
	defer g.busy.Unlock()
	if err := g.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	<-g.done
	if s, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		return fmt.Errorf("a replica ended by itself: %v\n%s", g.cmd.ProcessState, g.out.tail())
	}
	f.kills.Add(1)
	for g.start(ctx) != nil { // without a store it ends again, and whoever started it tries once more
		if !pause(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
	}
	return nil
}

// client returns an HTTP client for which f.front is a replica by chance, a
// connection each.
func (f *fleet) client() *http.Client {
	return &http.Client{Timeout: 70 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != f.front {
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
			var err error
			for _, i := range rand.Perm(len(f.replicas)) { // as a load balancer does with one that is down
				var conn net.Conn
				if conn, err = (&net.Dialer{}).DialContext(ctx, network, f.replicas[i].site.front); err == nil {
					return conn, nil
				}
			}
			return nil, err
		},
	}}
}

// audited counts what all replicas audited.
func (f *fleet) audited(action audit.Action, tenant string) int {
	n := 0
	for _, g := range f.replicas {
		n += len(g.audited(action, tenant))
	}
	return n
}

// reasons counts the reasons that all replicas audited for these actions.
func (f *fleet) reasons(actions ...audit.Action) map[string]int {
	found := map[string]int{}
	for _, g := range f.replicas {
		for _, action := range actions {
			for _, name := range []string{"cruel", "oidc"} {
				for _, e := range g.audited(action, name) {
					found[string(action)+" "+e.Reason]++
				}
			}
		}
	}
	return found
}

// percentile returns the nth percentile.
func percentile(all []time.Duration, n int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*n/100)]
}
