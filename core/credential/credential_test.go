package credential

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const verifier = "a-verifier-of-forty-three-characters-at-least-1"

// provider is an upstream whose refresh the test writes.
type provider struct {
	upstream.Provider
	canRefresh bool
	rules      upstream.RefreshRules
	refresh    func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error)

	mu    sync.Mutex
	calls int
}

func (p *provider) Describe() upstream.Description {
	return upstream.Description{Name: "fake", CanRefresh: p.canRefresh, Refresh: p.rules}
}

func (p *provider) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	return p.refresh(ctx, req)
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// world is one store with one grant; every Keeper made from it is a process of
// its own. It runs in a synctest bubble, so time.Now is the test's clock.
type world struct {
	provider *provider
	driver   *memory.Driver
	grants   *grant.Store
	tenant   *tenant.Tenant
	access   string
	audit    strings.Builder
	text     strings.Builder // what is logged
	log      *audit.Log      // over audit, one for all keepers
}

// age is how old the credential of newWorld is.
const age = 10 * time.Minute

// newWorld has a credential that is age old and lives for left more, or does not
// expire.
func newWorld(t *testing.T, left time.Duration) *world {
	t.Helper()
	life := left
	if left != 0 {
		life += age
	}
	p := &provider{canRefresh: true}
	p.refresh = func(ctx context.Context, _ upstream.RefreshRequest) (*upstream.Credential, error) {
		select { // by the bubble's clock: the upstream takes its time
		case <-time.After(time.Second / 2):
			return credential("new", 10*time.Minute), nil
		case <-ctx.Done():
			return nil, &upstream.Error{Kind: upstream.Unavailable, Err: ctx.Err()}
		}
	}
	w := newWorldWith(t, p, credential("old", life))
	w.provider = p
	time.Sleep(life - left)
	return w
}

// audited returns the audit lines so far.
func (w *world) audited() string {
	_ = w.log.Flush(context.Background()) // a buffer takes every line
	return w.audit.String()
}

func newWorldWith(t *testing.T, p upstream.Provider, cred *upstream.Credential) *world {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{driver: &memory.Driver{}}
	t.Cleanup(func() { time.Sleep(2 * flightTime) }) // renewals beside the calls come to their end
	w.log = audit.New(audit.Config{Out: &w.audit})
	w.grants = grant.NewStore(w.driver, keys, nil)
	w.tenant = &tenant.Tenant{Name: "music", Issuer: "https://music.example", Provider: p, Lifetimes: tenant.DefaultLifetimes()}
	code, err := w.grants.Create(t.Context(), w.tenant, grant.New{
		ClientID: "c", Challenge: oauth.ChallengeOf(verifier), Resource: w.tenant.Resource(), Credential: cred,
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := w.grants.Redeem(t.Context(), w.tenant, code, grant.Presented{ClientID: "c", Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	w.access = tokens.Access
	return w
}

func credential(name string, life time.Duration) *upstream.Credential {
	c := &upstream.Credential{
		AccessToken: seal.NewSecret(name), RefreshToken: seal.NewSecret("r-" + name), Account: upstream.Account{ID: "42"},
	}
	if life != 0 {
		c.ExpiresAt = time.Now().Add(life)
	}
	return c
}

func (w *world) keeper() *Keeper {
	return NewKeeper(Config{
		Grants: w.grants, Audit: w.log, Log: hclog.New(&hclog.LoggerOptions{Output: &w.text}),
	})
}

func (w *world) live(t *testing.T) *grant.Live {
	t.Helper()
	l, err := w.grants.Verify(t.Context(), w.tenant, w.access)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// fresh is what a call gets that comes now.
func (w *world) fresh(t *testing.T, k *Keeper) string {
	t.Helper()
	l, err := w.grants.Verify(t.Context(), w.tenant, w.access)
	if err != nil {
		return outcome(nil, err)
	}
	return outcome(k.Fresh(t.Context(), w.tenant, l))
}

// settled is fresh when the renewal that the call may begin has ended.
func (w *world) settled(t *testing.T, k *Keeper) string {
	t.Helper()
	_ = w.fresh(t, k)
	time.Sleep(700 * time.Millisecond)
	return w.fresh(t, k)
}

// outcome is the access token, or the kind of failure.
func outcome(c *upstream.Credential, err error) string {
	switch e, _ := errors.AsType[*upstream.Error](err); {
	case err == nil:
		return c.AccessToken.Reveal()
	case errors.Is(err, ErrNeedsLogin):
		return string(grant.LoginRequired)
	case grant.ReasonOf(err) != "":
		return string(grant.ReasonOf(err))
	case e != nil:
		return string(e.Kind)
	default:
		return err.Error()
	}
}

func TestFresh(t *testing.T) {
	t.Parallel()
	fail := func(kind upstream.Kind) error { return &upstream.Error{Kind: kind} }
	for _, c := range []struct {
		name         string
		life         time.Duration // of the old credential, 0: it never ends
		noRefresh    bool
		fault        error
		want         string // the outcome of Fresh
		then         string // the outcome of the next call's, when the renewal has ended
		wantReplaced string // the outcome of Replace in the first place
		calls        int    // of Fresh
	}{
		{"it never ends", 0, false, nil, "old", "old", "new", 0},
		{"valid for long", time.Hour, false, nil, "old", "old", "new", 0},
		{"valid for a minute", longestLead, false, nil, "old", "old", "new", 0},
		{"due", 39 * time.Second, false, nil, "old", "new", "new", 1},
		{"due, little left", 4 * time.Second, false, nil, "new", "new", "new", 1},
		{"over", -time.Second, false, nil, "new", "new", "new", 1},
		{"due, upstream down", 30 * time.Second, false, fail(upstream.Unavailable), "old", "old", "unavailable", 2},
		{"due, rate limited", 30 * time.Second, false, fail(upstream.RateLimited), "old", "old", "rate_limited", 1},
		{"due, provider at fault", 30 * time.Second, false, fail(upstream.Bug), "old", "old", "bug", 1},
		{"over, upstream down", -time.Second, false, fail(upstream.Unavailable), "unavailable", "unavailable", "unavailable", 2},
		{"over, provider at fault", -time.Second, false, fail(upstream.Bug), "bug", "bug", "bug", 1},
		{"over, wrong secret", -time.Second, false, fail(upstream.Misconfigured), "misconfigured", "misconfigured", "misconfigured", 1},
		{"due, refused", 30 * time.Second, false, fail(upstream.InvalidGrant), "old", "needs_login", "needs_login", 1},
		{"due, refused, little left", 3 * time.Second, false, fail(upstream.InvalidGrant), "needs_login", "needs_login", "needs_login", 1},
		{"over, the user has to act", -time.Second, false, fail(upstream.InteractionRequired), "needs_login", "needs_login", "needs_login", 1},
		{"over, the user said no", -time.Second, false, fail(upstream.AccessDenied), "needs_login", "needs_login", "needs_login", 1},
		{"over, the scopes are refused", -time.Second, false, fail(upstream.InvalidScope), "needs_login", "needs_login", "needs_login", 1},
		{"due, nothing to renew with", 30 * time.Second, true, nil, "old", "old", "needs_login", 0},
		{"over, nothing to renew with", -time.Second, true, nil, "needs_login", "needs_login", "needs_login", 0},
	} {
		for what, want := range map[string]string{"fresh": c.want, "replace": c.wantReplaced} {
			t.Run(c.name+", "+what, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, c.life)
					w.provider.canRefresh = !c.noRefresh
					if c.fault != nil {
						w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) { return nil, c.fault }
					}
					k := w.keeper()
					if what == "replace" {
						if got := outcome(k.Replace(t.Context(), w.tenant, w.live(t))); got != want {
							t.Errorf("got %s, want %s", got, want)
						}
						return
					}
					if got := w.fresh(t, k); got != want {
						t.Errorf("got %s, want %s", got, want)
					}
					time.Sleep(700 * time.Millisecond)
					if n := w.provider.count(); n != c.calls {
						t.Errorf("%d upstream calls, want %d", n, c.calls)
					}
					if got := w.fresh(t, k); got != c.then {
						t.Errorf("the next call got %s, want %s", got, c.then)
					}
				})
			})
		}
	}
}

func TestManyCallersInTwoProcessesMakeOneUpstreamCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		l := w.live(t)
		keepers := []*Keeper{w.keeper(), w.keeper()}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if got := outcome(keepers[i%2].Fresh(t.Context(), w.tenant, l)); got != "new" {
					t.Errorf("caller %d: %s", i, got)
				}
			})
		}
		wg.Wait()
		if n := w.provider.count(); n != 1 {
			t.Errorf("%d upstream calls, want 1", n)
		}
	})
}

func TestLeaseOfADeadProcessIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		l := w.live(t)
		if _, err := w.grants.Lease(t.Context(), w.tenant, l, "crashed", nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if got := outcome(w.keeper().Fresh(t.Context(), w.tenant, l)); got != "new" {
			t.Errorf("got %s", got)
		}
		if waited := time.Since(began); waited < leaseTime || waited > leaseTime+3*time.Second {
			t.Errorf("took over after %v", waited)
		}
	})
}

// A holder that lives keeps its lease for as long as the upstream takes, and a
// clock that jumps takes it from nobody.
func TestLeaseOfALivingProcessIsNotTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		l := w.live(t)
		w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
			time.Sleep(2 * leaseTime)
			return credential("new", 20*time.Hour), nil
		}
		ahead := func() time.Time { return time.Now().Add(10 * time.Hour) }
		var wg sync.WaitGroup
		for _, k := range []*Keeper{w.keeper(), NewKeeper(Config{Grants: w.grants, Audit: w.log, Now: ahead})} {
			wg.Go(func() {
				if got := outcome(k.Fresh(t.Context(), w.tenant, l)); got != "new" {
					t.Errorf("got %s", got)
				}
			})
			time.Sleep(time.Millisecond)
		}
		wg.Wait()
		if n := w.provider.count(); n != 1 {
			t.Errorf("%d upstream calls, want 1", n)
		}
	})
}

// The upstream has answered, and the store is away: the answer is held until
// the store takes it, and nobody sends the spent token meanwhile.
func TestAnswerOutlivesAnOutageOfTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		w.provider.refresh = func(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
			if kept := req.Journal.Load(); kept == nil {
				w.driver.Fail(func(string, string) error { return errors.New("engine down") })
				time.AfterFunc(5*time.Minute, func() { w.driver.Fail(nil) })
				if err := req.Journal.Keep(ctx, []byte("rotated")); err != nil {
					return nil, err
				}
				return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "the conversation took too long"}
			} else if string(kept) != "rotated" {
				t.Errorf("kept %q", kept)
			}
			return credential("new", time.Hour), nil
		}
		k, l := w.keeper(), w.live(t)
		if got := outcome(k.Fresh(t.Context(), w.tenant, l)); got != string(upstream.Unavailable) {
			t.Errorf("during the outage: %s", got)
		}
		if got := outcome(w.keeper().Fresh(t.Context(), w.tenant, l)); got != "engine down" {
			t.Errorf("elsewhere: %s", got)
		}
		time.Sleep(6 * time.Minute)
		if got := outcome(w.keeper().Fresh(t.Context(), w.tenant, l)); got != "new" {
			t.Errorf("afterwards: %s", got)
		}
		if n := w.provider.count(); n != 2 {
			t.Errorf("%d conversations, want one that was kept and one that went on from there", n)
		}
	})
}

// A rejected credential that somebody has replaced is not replaced once more,
// even if the new one will not live long: that would end the new one too.
func TestRejectedCredentialIsReplacedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Second)
		w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
			return credential(fmt.Sprint("new ", w.provider.count()), 20*time.Second), nil
		}
		k, old := w.keeper(), w.live(t)
		for range 3 {
			if got := outcome(k.Replace(t.Context(), w.tenant, old)); got != "new 1" {
				t.Errorf("got %s", got)
			}
		}
		if got := outcome(k.Replace(t.Context(), w.tenant, w.live(t))); got != "new 2" {
			t.Errorf("the replacement rejected as well: got %s", got)
		}
	})
}

// A claim whose answer was lost is the process's own all the same.
func TestLeaseClaimedWithoutHearingSoIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		k, l := w.keeper(), w.live(t)
		if _, err := w.grants.Lease(t.Context(), w.tenant, l, k.holder, nil); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if got := outcome(k.Fresh(t.Context(), w.tenant, l)); got != "new" || time.Since(began) > 2*time.Second {
			t.Errorf("got %s after %v", got, time.Since(began))
		}
	})
}

func TestLateRefusalDoesNotEndAGrantSomebodyElseRenewed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		l := w.live(t)
		w.provider.refresh = func(ctx context.Context, _ upstream.RefreshRequest) (*upstream.Credential, error) {
			// The process is suspended while its answer is under way, and another
			// has watched its lease stand still.
			_, err := w.grants.Lease(ctx, w.tenant, l, "other", nil)
			elsewhere, ok := errors.AsType[*grant.LeasedError](err)
			if !ok {
				t.Fatal(err)
			}
			if _, err := w.grants.Lease(ctx, w.tenant, l, "other", &elsewhere.Lease); err != nil {
				t.Fatal(err)
			}
			if _, err := w.grants.Renew(ctx, w.tenant, l, "other", credential("new", time.Hour)); err != nil {
				t.Fatal(err)
			}
			return nil, &upstream.Error{Kind: upstream.InvalidGrant, Detail: "used before"}
		}
		if got := outcome(w.keeper().Fresh(t.Context(), w.tenant, l)); got != "new" {
			t.Errorf("got %s", got)
		}
		if got := w.live(t).Credential.AccessToken.Reveal(); got != "new" {
			t.Errorf("the grant holds %s", got)
		}
	})
}

// What an attempt kept is there for the next, however it failed: the host of
// the provider has dropped the answers that are of no more use.
func TestJournalOfAFailedAttemptIsKeptForTheNext(t *testing.T) {
	t.Parallel()
	for _, kind := range []upstream.Kind{upstream.Bug, upstream.Unavailable, upstream.Misconfigured} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, -time.Second)
				var loaded []string
				w.provider.refresh = func(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
					loaded = append(loaded, string(req.Journal.Load()))
					if len(loaded) < 3 {
						if err := req.Journal.Keep(ctx, fmt.Append(nil, "rotated ", len(loaded))); err != nil {
							return nil, err
						}
						return nil, &upstream.Error{Kind: kind, RetryAfter: time.Second}
					}
					return credential("new", time.Hour), nil
				}
				var got []string
				for range 3 {
					got = append(got, outcome(w.keeper().Fresh(t.Context(), w.tenant, w.live(t))))
					time.Sleep(time.Minute)
				}
				if want := fmt.Sprint([]string{string(kind), string(kind), "new"}); fmt.Sprint(got) != want {
					t.Errorf("got %v, want %s", got, want)
				}
				if fmt.Sprintf("%q", loaded) != `["" "rotated 1" "rotated 2"]` {
					t.Errorf("the attempts found %q", loaded)
				}
				if l := w.live(t); l.Record.Journal != nil || l.Record.Lease != nil {
					t.Error("journal or lease outlived the renewal")
				}
			})
		})
	}
}

func TestCallerThatGivesUpDoesNotStopTheRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		k, l := w.keeper(), w.live(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := k.Fresh(ctx, w.tenant, l); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one who gave up: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := w.live(t).Credential.AccessToken.Reveal(); got != "new" {
			t.Errorf("the grant holds %s", got)
		}
	})
}

func TestStoreFailureIsNeitherDeathNorRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		l := w.live(t)
		w.driver.Fail(func(string, string) error { return errors.New("engine down") })
		if got := outcome(w.keeper().Fresh(t.Context(), w.tenant, l)); got != "engine down" {
			t.Errorf("got %s", got)
		}
		w.driver.Fail(nil)
		w.live(t)
	})
}

func TestRefusedRenewalIsAudited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
			return nil, &upstream.Error{Kind: upstream.InvalidGrant, Detail: "upstream says invalid_grant: revoked"}
		}
		_, _ = w.keeper().Fresh(t.Context(), w.tenant, w.live(t))
		if line := w.audited(); !strings.Contains(line, `"action":"upstream_dead"`) || !strings.Contains(line, `"reason":"invalid_grant: upstream says invalid_grant: revoked"`) || strings.Contains(line, "r-old") {
			t.Errorf("audit: %s", line)
		}
	})
}
