package grant

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	verifier = "a-verifier-of-forty-three-characters-at-least-1"
	clientID = "the-client"
	callback = "http://127.0.0.1:7777/callback"
)

// clock moves by hand and is safe for concurrent use.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000+c.seconds.Load(), 0) }
func (c *clock) advance(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }

// harness is a Store on a driver in memory with its tenant.
type harness struct {
	*Store
	t      *tenant.Tenant
	clock  *clock
	driver *memory.Announcing
}

// cacheTTL is for how long the Stores of tests remember.
const cacheTTL = 5 * time.Second

func newHarness(t testing.TB) *harness {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	driver := &memory.Announcing{Driver: &memory.Driver{Now: c.now}}
	return &harness{
		Store: NewStore(driver, keys, c.now).Remember(cacheTTL), clock: c, driver: driver,
		t: &tenant.Tenant{Name: "music", Issuer: "https://music.example", Lifetimes: tenant.DefaultLifetimes()},
	}
}

// forget makes the Store ask the driver from here on.
func (h *harness) forget() { h.Store = NewStore(h.driver, h.keys, h.clock.now) }

// replica is another process on the same store.
func (h *harness) replica(t testing.TB) *harness {
	t.Helper()
	other := *h
	other.Store = NewStore(h.driver, h.keys, h.clock.now).Remember(cacheTTL)
	return &other
}

// follow makes the Store hear announcements until the test ends.
func (h *harness) follow(t testing.TB) {
	t.Helper()
	before := h.driver.Listeners()
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { store.Follow(ctx, h.driver, func(err error) { t.Errorf("following: %v", err) }, h.Forget) })
	t.Cleanup(func() { stop(); done.Wait() })
	for h.driver.Listeners() == before {
		runtime.Gosched()
	}
}

// operations counts what f asks of the store.
func (h *harness) operations(f func()) (n int) {
	h.driver.Fail(func(string, string) error { n++; return nil })
	defer h.driver.Fail(nil)
	f()
	return n
}

// code creates a pending grant.
func (h *harness) code(t testing.TB) string {
	t.Helper()
	code, err := h.Create(t.Context(), h.t, New{
		ClientID: clientID, RedirectURI: callback, Challenge: oauth.ChallengeOf(verifier),
		Resource: h.t.Resource(), Scopes: []string{"read", "write"},
		Credential: &upstream.Credential{
			AccessToken: seal.NewSecret("up-at"), RefreshToken: seal.NewSecret("up-rt"),
			Account: upstream.Account{ID: "42", Name: "ada"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// right is what the right client presents.
func right() Presented {
	return Presented{ClientID: clientID, RedirectURI: callback, Verifier: verifier}
}

// login creates a grant and redeems its code.
func (h *harness) login(t testing.TB) *Tokens {
	t.Helper()
	tokens, err := h.Redeem(t.Context(), h.t, h.code(t), right())
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// outcome is the reason of a refusal, "ok", or the text of another error.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case ReasonOf(err) != "":
		return string(ReasonOf(err))
	default:
		return err.Error()
	}
}
