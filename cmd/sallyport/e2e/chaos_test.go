package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/audit"
)

var (
	chaosTime = flag.Duration("chaos", 5*time.Second, "how long TestChaos goes on with each kind of Redis")
	chaosSeed = flag.Uint64("chaos.seed", 0, "what chance begins with in TestChaos; 0: another each time")
)

// The tenants.
const (
	cruelURL = "http://localhost/cruel"
	oidcURL  = "http://localhost/oidc"
)

const (
	chaosReplicas = 3
	cruelUsers    = 180 // at the double
	oidcUsers     = 20  // at oidc-provider
	racedPerRound = 2   // logins whose code two processes redeem
)

// TestChaos lets two processes of each of 200 users refresh and call through
// three replicas, while replicas are killed, the Redis primary dies and another
// takes over, the upstream fails, the clock jumps ahead, and one replica's
// configuration leads to another upstream and back. In the end every user is still
// logged in, no upstream saw a spent token, and the other upstream saw nothing.
//
// Longer, as `make chaos` does it: go test ./cmd/sallyport/e2e -run '^TestChaos$' -v -chaos 60s
func TestChaos(t *testing.T) {
	w := chaosWorld(t)
	for name, start := range map[string]func(*testing.T) *redisSet{"sentinel": startSentinels, "cluster": startCluster} {
		t.Run(name, func(t *testing.T) { chaos(t, w, start(t)) })
	}
}

// chaosWorld builds the test binary and the plugins.
func chaosWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	run(t, "go", "build", "-tags", "faults", "-o", w.bin, "..")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oauth2", "../../../providers/oidc")
	return w
}

// arena is one chaos.
type arena struct {
	*fleet

	cruel  *cruel
	oidc   strict
	other  *otherUpstream // where changed configurations lead
	redis  *redisSet
	rng    *rand.Rand
	tally  *tally
	copies []*copyOf
	rounds int

	changed map[string]int // configurations by how; each was changed back

	clientID string       // at the double's tenant
	raced    atomic.Int64 // codes that two processes redeemed
	both     atomic.Int64 // of which both got tokens: there must be none
}

func chaos(t *testing.T, w *world, redis *redisSet) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-chaos.seed %d", seed)
	ctx, cancel := context.WithTimeout(t.Context(), *chaosTime+4*time.Minute)
	defer cancel()
	a := &arena{redis: redis, rng: rand.New(rand.NewPCG(seed, 0)), tally: &tally{again: map[string]int{}}, changed: map[string]int{}}
	a.begin(ctx, t, w, seed)
	a.logIn(ctx, t)

	storm, calm := context.WithTimeout(ctx, *chaosTime)
	defer calm()
	a.cruel.moody.Store(true)
	var troubles sync.WaitGroup
	for seed, trouble := range []func(context.Context, *rand.Rand) error{a.killReplicas, a.killRedis, a.moveClock, a.changeConfig} {
		rng := rand.New(rand.NewPCG(a.rng.Uint64(), uint64(seed)))
		troubles.Go(func() {
			if err := trouble(storm, rng); err != nil && storm.Err() == nil {
				t.Error(err)
				calm()
			}
		})
	}
	for storm.Err() == nil && len(a.tally.lost) == 0 {
		a.round(ctx)
	}
	calm()
	troubles.Wait()
	a.cruel.moody.Store(false)
	a.round(ctx) // everybody is still there
	a.report(t)
}

// begin starts the upstreams, their backends and the fleet.
func (a *arena) begin(ctx context.Context, t *testing.T, w *world, seed uint64) {
	t.Helper()
	a.fleet = &fleet{}
	now := func() time.Time { return a.now() }
	a.cruel = startCruel(t, seed, tokenLife, now)
	const app = "chaos"
	a.oidc = strict{process: startNode(context.Background(), t, "oidc.mjs", app, secret, "http://localhost/oidc/callback")}
	issuer := a.oidc.url(t)
	a.other = startOther(t)
	a.fleet = startFleet(ctx, t, w, chaosReplicas, a.redis.url, strings.TrimPrefix(a.other.url, "http://"),
		a.cruel.tenant(t),
		tenant{
			Name: "oidc", Provider: "oidc", App: app, More: []string{patientWindow}, Secret: secret, Scopes: "[openid, offline_access]", Upstream: issuer,
			Settings: fmt.Sprintf(`{ issuer: "%s", authorize_params: { prompt: consent } }`, issuer),
			Backend: startBare(t, func(ctx context.Context, authorization string) (string, bool) {
				who, err := subject(issuer)(ctx, authorization)
				return who.Sub, err == nil
			}),
		})
}

// patientWindow is for clients whose answer is lost in an outage of the store:
// they come again with the same refresh token when it is over. The clock that is
// moved runs some ten times as fast as they wait, so that ten seconds of an outage
// can be more than two minutes of it.
const patientWindow = "lifetimes: { reuse_window: 10m }"

// startBare starts a backend that answers who is calling, and 401 if it cannot
// tell.
func startBare(t *testing.T, whose func(context.Context, string) (string, bool)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := whose(r.Context(), r.Header.Get("Authorization"))
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		reply(w, http.StatusOK, map[string]any{"jsonrpc": "2.0", "id": 1, "result": map[string]any{}, "sub": user})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// logIn logs everybody in, before the storm.
func (a *arena) logIn(ctx context.Context, t *testing.T) {
	t.Helper()
	client := a.client()
	for url, users := range map[string]int{cruelURL: cruelUsers, oidcURL: oidcUsers} {
		id, err := registerAt(ctx, client, url)
		if err != nil {
			t.Fatal(err)
		}
		for i := range users {
			c := a.newCopy(url, fmt.Sprintf("user-%d", i), id)
			code, err := codeFor(ctx, demo.NewBrowser(logIn(c.user), client.Transport), url, id)
			if err != nil {
				t.Fatal(err)
			}
			if status, err := c.redeem(ctx, code); status != http.StatusOK {
				t.Fatal(status, err)
			}
			other := a.newCopy(url, c.user, id)
			other.access, other.refresh = c.access, c.refresh
			a.copies = append(a.copies, c, other)
		}
		if url == cruelURL {
			a.clientID = id
		}
	}
}

func (a *arena) newCopy(url, user, clientID string) *copyOf {
	return &copyOf{url: url, user: user, clientID: clientID, client: a.client(), tally: a.tally}
}

// round moves the clock so far that every upstream token has ended, and has all
// processes refresh and call at once. A copy that another has outrun by two
// refreshes would be taken for a thief's, so nobody begins the next round early.
func (a *arena) round(ctx context.Context) {
	a.rounds++
	a.advance(2 * tokenLife)
	var all sync.WaitGroup
	for _, c := range a.copies {
		all.Go(func() { c.round(ctx) })
	}
	for i := range racedPerRound {
		c := a.newCopy(cruelURL, fmt.Sprintf("raced-%d-%d", a.rounds, i), a.clientID)
		all.Go(func() { a.race(ctx, c) })
	}
	all.Wait()
}

// race has two processes redeem one code. Its login may fail in the storm; what
// must not be is that both succeed.
func (a *arena) race(ctx context.Context, c *copyOf) {
	code, err := codeFor(ctx, demo.NewBrowser(logIn(c.user), c.client.Transport), c.url, c.clientID)
	if err != nil {
		return
	}
	a.raced.Add(1)
	var won atomic.Int64
	var both sync.WaitGroup
	for range 2 {
		other := &copyOf{url: c.url, user: c.user, clientID: c.clientID, client: c.client}
		both.Go(func() {
			if status, _ := other.redeem(ctx, code); status == http.StatusOK {
				won.Add(1)
			}
		})
	}
	both.Wait()
	if won.Load() > 1 {
		a.both.Add(1)
	}
}

// killReplicas kills a replica every few seconds, and sees to it that it lives
// again.
func (a *arena) killReplicas(ctx context.Context, rng *rand.Rand) error {
	for pause(ctx, 2*time.Second+upTo(rng, 3*time.Second)) {
		if err := a.kill(context.WithoutCancel(ctx), rng); err != nil {
			return err
		}
	}
	return nil
}

// killRedis kills the primary, and the next one once the first is back. What it
// has begun it ends: a primary that came back before it was replaced would come
// back empty.
func (a *arena) killRedis(ctx context.Context, rng *rand.Rand) error {
	for pause(ctx, 3*time.Second+upTo(rng, 4*time.Second)) {
		if err := a.redis.failOver(context.WithoutCancel(ctx), rng); err != nil {
			return err
		}
	}
	return nil
}

// moveClock moves the clock while things are under way.
func (a *arena) moveClock(ctx context.Context, rng *rand.Rand) error {
	for pause(ctx, time.Second+upTo(rng, 4*time.Second)) {
		a.advance(upTo(rng, 45*time.Second))
	}
	return nil
}

// pause tells whether ctx goes on after d.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// report prints every counter and fails for those that have to be zero.
func (a *arena) report(t *testing.T) {
	t.Helper()
	u, c := a.cruel.counts(), a.tally
	oidc := map[int]int{}
	twice, seen := 0, map[string]bool{}
	for _, r := range a.oidc.refreshes(t) {
		oidc[r.Status]++
		if seen[r.Token] && r.Status != http.StatusOK {
			twice++
		}
		seen[r.Token] = seen[r.Token] || r.Status == http.StatusOK
	}
	for _, line := range []string{
		fmt.Sprintf("storm      %v, %d rounds of %d users in two processes, clock moved %d times, by %v in all",
			*chaosTime, a.rounds, len(a.copies)/2, a.moves.Load(), time.Duration(a.ahead.Load())*time.Second),
		fmt.Sprintf("killed     %d replicas, %d Redis primaries", a.kills.Load(), a.redis.kills),
		"changed    and changed back: " + counts(a.changed),
		fmt.Sprintf("clients    %d refreshes (p50 %v, p99 %v), %d calls (p50 %v, p99 %v)", len(c.refreshs), percentile(c.refreshs, 50).Round(time.Millisecond),
			percentile(c.refreshs, 99).Round(time.Millisecond), len(c.calls), percentile(c.calls, 50).Round(time.Millisecond), percentile(c.calls, 99).Round(time.Millisecond)),
		"tried again " + counts(c.again),
		fmt.Sprintf("upstream   %d refreshes, answered 500: %d, 429: %d, not at all: %d; unspent tokens that came again: %d", u.refreshes, u.failed, u.limited, u.stuck, u.again),
		fmt.Sprintf("oidc       %d refreshes", oidc[http.StatusOK]),
		fmt.Sprintf("codes      %d raced", a.raced.Load()),
		fmt.Sprintf("audited    %d renewals, %d failed ones", a.audited(audit.Renewed, "cruel")+a.audited(audit.Renewed, "oidc"),
			a.audited(audit.RenewFailed, "cruel")+a.audited(audit.RenewFailed, "oidc")),
		"refused    " + counts(a.reasons(audit.TokenRefused, audit.Rejected, audit.UpstreamDead)),
	} {
		t.Log(line)
	}
	for what, n := range map[string]int{
		"spent tokens sent to the double": u.spent, "tokens the double never issued": u.unknown,
		"spent tokens sent to oidc-provider": twice, "refreshes refused by oidc-provider": oidc[http.StatusBadRequest],
		"codes redeemed twice": int(a.both.Load()), "logins lost": len(c.lost),
		"requests to the other upstream": len(a.other.requests()),
	} {
		if n > 0 {
			t.Errorf("%s: %d", what, n)
		} else {
			t.Logf("%s: 0", what)
		}
	}
	for _, lines := range [][]string{c.lost, a.other.requests()} {
		for _, line := range lines[:min(len(lines), 10)] {
			t.Log(line)
		}
	}
}

func counts(m map[string]int) string {
	text, _ := json.Marshal(m)
	if len(m) == 0 {
		return "never"
	}
	return string(text)
}

// upTo returns a duration below d.
func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }
