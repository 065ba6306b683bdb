package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/storetest"
)

var (
	oldBinary  = flag.String("old", "", "the sallyport command of an older release, for TestOldReleaseBeside")
	oldPlugins = flag.String("old-plugins", "", "the folder of its oauth2.wasm and oidc.wasm")
)

// besidePatience bounds each of the two upgrades.
const besidePatience = 5 * time.Minute

// besideRounds is how often each client refreshes and calls in each step.
const besideRounds = 3

// TestOldReleaseBeside runs an older release and this one on one store: beside
// each other, one after the other, and back again. In each step users log in, and
// all users of this step and those before refresh and call. No user is logged
// out, no upstream is sent a spent token, and no member of a stored record that
// both releases know is lost.
//
// make beside builds the older release from the history and runs it.
func TestOldReleaseBeside(t *testing.T) {
	if *oldBinary == "" || *oldPlugins == "" {
		t.Skip("needs -old and -old-plugins; make beside builds the older release and names both")
	}
	dir := t.TempDir()
	bin, plugins, cache := filepath.Join(dir, "sallyport"), filepath.Join(dir, "plugins"), filepath.Join(dir, "cache")
	run(t, "go", "build", "-o", bin, "..")
	run(t, bin, "plugin", "build", "-o", plugins, "../../../providers/oauth2", "../../../providers/oidc")
	old := release{name: "old", world: &world{bin: *oldBinary, plugins: *oldPlugins, cache: cache}, old: true}
	mixed := release{name: "new on old modules", world: &world{bin: bin, plugins: *oldPlugins, cache: cache}}
	current := release{name: "new", world: &world{bin: bin, plugins: plugins, cache: cache}}
	back := release{name: "old on new modules", world: &world{bin: *oldBinary, plugins: plugins, cache: cache}, old: true}
	releases := []release{old, mixed, current, back}

	t.Run("beside each other on Redis", func(t *testing.T) {
		t.Parallel()
		upgrade(t, "redis://"+storetest.StartRedis(t).Addr, releases, [][]string{
			{"old"}, {"old", "new on old modules"}, {"new on old modules", "new"}, {"new"}, {"old on new modules"}, {"old", "new"},
			{"old"}, {"new on old modules", "new"}, {"new on old modules"},
		})
	})
	t.Run("one after the other on bolt", func(t *testing.T) {
		t.Parallel()
		upgrade(t, boltStore(t), releases, [][]string{
			{"old"}, {"new"}, {"old"}, {"new on old modules"}, {"new"}, {"new on old modules"}, {"old"},
		})
	})
}

// release is a binary with its modules.
type release struct {
	name  string
	world *world
	old   bool
}

// deployment is what processes of several releases serve by turns: one store, one
// key, and two tenants at strict upstreams.
type deployment struct {
	t        *testing.T
	key      seal.Key
	store    string
	replicas map[string]*gateway // by the name of the release
	isOld    map[string]bool

	cruel *cruel
	oidc  strict
	tally *tally

	serving []*gateway
	users   []*copyOf
	clients map[string][]*copyOf // registered at each tenant, in order
	logins  int                  // of ada at the double
	records records
}

// upgrade runs the steps, in each of which the named releases serve.
func upgrade(t *testing.T, store string, releases []release, steps [][]string) {
	ctx, cancel := context.WithTimeout(t.Context(), besidePatience)
	defer cancel()
	d := newDeployment(ctx, t, store, releases)
	for i, step := range steps {
		what := fmt.Sprintf("step %d, %s", i+1, strings.Join(step, " and "))
		d.serve(ctx, step)
		d.logIn(ctx, what)
		d.goOn(ctx)
		if len(d.tally.lost) > 0 {
			t.Fatalf("%s: %d lost: %.2000q", what, len(d.tally.lost), d.tally.lost)
		}
		d.compare(ctx, step, what)
	}
	d.report()
}

func newDeployment(ctx context.Context, t *testing.T, store string, releases []release) *deployment {
	t.Helper()
	d := &deployment{
		t: t, key: seal.NewKey(), store: store, replicas: map[string]*gateway{}, isOld: map[string]bool{},
		tally: &tally{again: map[string]int{}}, clients: map[string][]*copyOf{},
	}
	d.cruel = startCruel(t, 1, strictLife, time.Now)
	d.oidc = strict{process: startNode(ctx, t, "oidc.mjs", "beside", secret, oidcURL+"/callback")}
	issuer := d.oidc.url(t)
	// Both releases know every key of this configuration.
	tenants := []tenant{d.cruel.tenant(t), {
		Name: "oidc", Provider: "oidc", App: "beside", Secret: secret, Scopes: "[openid, offline_access]", Upstream: issuer,
		Settings: fmt.Sprintf(`{ issuer: "%s", authorize_params: { prompt: consent } }`, issuer),
		Backend: startBare(t, func(ctx context.Context, authorization string) (string, bool) {
			who, err := subject(issuer)(ctx, authorization)
			return who.Sub, err == nil
		}),
	}}
	for _, r := range releases {
		g := prepareGateway(t, r.world, site{front: loopback.Free(t), operator: loopback.Free(t)}, store, d.key, tenants...)
		g.url, g.drain, g.environ = "http://localhost/{tenant}", "", slices.Clone(unlimited)
		if !r.old { // an older release refuses a variable that it does not know
			g.environ = append(g.environ, "SALLYPORT_SERVER__DRAIN_DELAY=0s")
		}
		d.replicas[r.name], d.isOld[r.name] = g, r.old
	}
	return d
}

// serve has the named releases serve and no other. On a store that takes one
// process at a time those of before end first.
func (d *deployment) serve(ctx context.Context, names []string) {
	d.t.Helper()
	var next []*gateway
	start := func() {
		for _, name := range names {
			g := d.replicas[name]
			if g.cmd == nil {
				if err := g.start(ctx); err != nil {
					d.t.Fatalf("%s: %v", name, err)
				}
			}
			next = append(next, g)
		}
	}
	if len(names) > 1 {
		start()
	}
	for name, g := range d.replicas {
		if !slices.Contains(names, name) {
			g.stop()
		}
	}
	if len(names) == 1 {
		start()
	}
	d.serving = next
}

// client returns an HTTP client for which localhost:80 is another of the serving
// replicas with each request.
func (d *deployment) client() *http.Client {
	var n atomic.Int64
	return &http.Client{Timeout: 70 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "localhost:80" {
				address = d.serving[int(n.Add(1))%len(d.serving)].site.front
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
}

// logIn registers a client at each tenant and logs two users in: one with that
// client, and ada, the same in each step, with the first client of all.
func (d *deployment) logIn(ctx context.Context, step string) {
	d.t.Helper()
	client := d.client()
	for _, at := range []string{cruelURL, oidcURL} {
		method := []string{"none", "client_secret_post"}[len(d.clients[at])%2]
		id, clientSecret, err := registerAs(ctx, client, at, method)
		if err != nil {
			d.t.Fatalf("%s: %v", step, err)
		}
		d.clients[at] = append(d.clients[at], &copyOf{clientID: id, secret: clientSecret})
		for user, known := range map[string]*copyOf{
			fmt.Sprintf("user-%d", len(d.clients[at])): d.clients[at][len(d.clients[at])-1], "ada": d.clients[at][0],
		} {
			c := &copyOf{url: at, user: user, clientID: known.clientID, secret: known.secret, client: d.client(), tally: d.tally}
			code, err := codeFor(ctx, demo.NewBrowser(logIn(user), c.client.Transport), at, c.clientID)
			if err != nil {
				d.t.Fatalf("%s: %s at %s: %v", step, user, at, err)
			}
			if status, err := c.redeem(ctx, code); status != http.StatusOK {
				d.t.Fatalf("%s: %s at %s: the code is answered %d, %v", step, user, at, status, err)
			}
			d.users = append(d.users, c)
		}
	}
	d.logins++
	if shown, err := d.connections(ctx); err != nil || shown != d.logins {
		d.t.Errorf("%s: ada's page shows %d connections of %d, %v", step, shown, d.logins, err)
	}
}

// connections signs ada in at the double's tenant and returns how many
// connections her page shows.
func (d *deployment) connections(ctx context.Context) (shown int, err error) {
	errSeen := errors.New("seen")
	browser := demo.NewBrowser(func(f *demo.Form) error {
		switch {
		case f.Page.Path != "/cruel/connections":
			return logIn("ada")(f)
		case f.Press("do", "sign-in") == nil:
			return nil
		}
		for _, b := range f.Buttons {
			if b.Name == "end" {
				shown++
			}
		}
		return errSeen
	}, d.client().Transport)
	if _, err = browser.Visit(ctx, cruelURL+"/connections", func(*url.URL) bool { return false }); errors.Is(err, errSeen) {
		err = nil
	}
	return shown, err
}

// goOn has all users refresh and call, each time after their upstream tokens have
// ended, and each request at another replica than the one before.
func (d *deployment) goOn(ctx context.Context) {
	for round := range besideRounds {
		outlive(ctx)
		var all sync.WaitGroup
		for _, u := range d.users {
			all.Go(func() { d.round(ctx, u, round%2 == 1) })
		}
		all.Wait()
	}
}

// round refreshes, with twin from two processes at a time, and calls twice at a
// time: where two replicas serve, each process asks another one.
func (d *deployment) round(ctx context.Context, u *copyOf, twin bool) {
	processes := []*copyOf{u}
	if twin {
		other := *u
		processes = append(processes, &other)
	}
	var refreshed sync.WaitGroup
	for _, c := range processes {
		refreshed.Go(func() {
			started := time.Now()
			if c.renew(ctx) {
				c.tally.took(&c.tally.refreshs, started)
			}
		})
	}
	refreshed.Wait()
	var called sync.WaitGroup
	for range 2 {
		called.Go(func() {
			started := time.Now()
			if u.call(ctx) {
				u.tally.took(&u.tally.calls, started)
			}
		})
	}
	called.Wait()
}

// report fails for every token that an upstream was sent after it was spent, and
// logs the figures.
func (d *deployment) report() {
	u, sent, again := d.cruel.counts(), 0, 0
	seen := map[string]bool{}
	for _, r := range d.oidc.refreshes(d.t) {
		sent++
		if seen[r.Token] || r.Status != http.StatusOK {
			again++
		}
		seen[r.Token] = true
	}
	if u.spent > 0 || u.unknown > 0 || again > 0 {
		d.t.Errorf("the double was sent %d spent and %d unknown tokens, oidc-provider refused %d", u.spent, u.unknown, again)
	}
	d.t.Logf("%d logins, %d lost; %d refreshes and %d calls, sent again: %s; renewals: %d at the double, %d at oidc-provider",
		len(d.users), len(d.tally.lost), len(d.tally.refreshs), len(d.tally.calls), counts(d.tally.again), u.refreshes, sent)
}
