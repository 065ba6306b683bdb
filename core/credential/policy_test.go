package credential

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// The ways of upstreams with their refresh tokens.
var (
	stable   = upstreamtest.Rotating{}
	tolerant = upstreamtest.Rotating{Rules: upstream.RefreshRules{Rotates: true}}
	grace    = upstreamtest.Rotating{Rules: upstream.RefreshRules{Rotates: true, SingleUse: true, Grace: 10 * time.Second}}
	strict   = upstreamtest.Rotating{Rules: upstream.RefreshRules{Rotates: true, SingleUse: true}}
	family   = upstreamtest.Rotating{Rules: upstream.RefreshRules{Rotates: true, SingleUse: true}, KillsFamily: true}
)

// aged is a world whose credential is age old and lives for 38 seconds more: it
// is due.
func aged(t *testing.T, up *upstreamtest.Rotating) *world {
	t.Helper()
	w := newWorldWith(t, up, up.Credential(age+38*time.Second))
	time.Sleep(age)
	return w
}

// endpoint is a copy of a double, with its fields alone.
func endpoint(like *upstreamtest.Rotating) *upstreamtest.Rotating {
	return &upstreamtest.Rotating{Rules: like.Rules, KillsFamily: like.KillsFamily, Life: time.Hour}
}

// TestRefreshPolicies has a refresh fail that is due while the old access token
// is valid for 38 seconds more, and looks at what happens then: at once, 5 and
// 15 seconds later, and when the old token is over.
func TestRefreshPolicies(t *testing.T) {
	t.Parallel()
	const (
		unsent, ignored, lost, limited = upstreamtest.Unsent, upstreamtest.Ignored, upstreamtest.Lost, upstreamtest.Limited
	)
	for _, c := range []struct {
		name   string
		like   *upstreamtest.Rotating
		faults []upstreamtest.Fault
		// What is handed out at the four times; a0 is the old token.
		want string
		// Requests that the upstream has seen at the four times.
		requests string
		reused   int
	}{
		// What cannot be spent is sent again at once.
		{"stable", &stable, []upstreamtest.Fault{lost}, "a2 a2 a2 a2", "2 2 2 2", 0},
		{"stable", &stable, []upstreamtest.Fault{ignored}, "a1 a1 a1 a1", "2 2 2 2", 0},
		{"stable", &stable, []upstreamtest.Fault{ignored, ignored}, "a0 a1 a1 a1", "2 3 3 3", 0},
		{"tolerant", &tolerant, []upstreamtest.Fault{lost}, "a2 a2 a2 a2", "2 2 2 2", 0},
		{"grace", &grace, []upstreamtest.Fault{lost}, "a2 a2 a2 a2", "2 2 2 2", 1},
		{"grace", &grace, []upstreamtest.Fault{lost, ignored}, "a0 a2 a2 a2", "2 3 3 3", 1},
		// When the grace is over it is a spent token like any other.
		{"grace", &grace, []upstreamtest.Fault{lost, ignored, ignored, ignored}, "a0 a0 a0 needs_login", "2 4 4 5", 1},
		{"grace", &grace, []upstreamtest.Fault{lost, unsent, unsent, unsent}, "a0 a0 a0 needs_login", "1 1 1 2", 1},
		// What may be spent is sent again when there is nothing left to lose.
		{"strict", &strict, []upstreamtest.Fault{ignored}, "a0 a0 a0 a1", "1 1 1 2", 0},
		{"strict", &strict, []upstreamtest.Fault{lost}, "a0 a0 a0 needs_login", "1 1 1 2", 1},
		{"strict that kills families", &family, []upstreamtest.Fault{lost}, "a0 a0 a0 needs_login", "1 1 1 2", 1},
		// What was not sent is not spent.
		{"strict", &strict, []upstreamtest.Fault{unsent}, "a1 a1 a1 a1", "1 1 1 1", 0},
		{"strict", &strict, []upstreamtest.Fault{unsent, unsent}, "a0 a1 a1 a1", "0 1 1 1", 0},
		{"strict", &strict, []upstreamtest.Fault{unsent, ignored}, "a0 a0 a0 a1", "1 1 1 2", 0},
		// Who says later is asked later, and spends nothing.
		{"stable", &stable, []upstreamtest.Fault{limited}, "a0 a0 a0 a1", "1 1 1 2", 0},
		{"strict", &strict, []upstreamtest.Fault{limited}, "a0 a0 a0 a1", "1 1 1 2", 0},
	} {
		t.Run(fmt.Sprint(c.name, c.faults), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				up := endpoint(c.like)
				w := aged(t, up)
				up.Next(c.faults...)
				var got, requests []string
				look := func() {
					got = append(got, w.settled(t, w.keeper()))
					requests = append(requests, fmt.Sprint(up.Requests()))
					if got := got[len(got)-1]; got == "a0" && up.Dead() {
						t.Error("the old token was handed out, and the upstream has ended it for the sake of a spent one")
					}
				}
				look()
				time.Sleep(5 * time.Second)
				look()
				time.Sleep(10 * time.Second)
				look()
				time.Sleep(time.Minute)
				look()
				if s := strings.Join(got, " "); s != c.want {
					t.Errorf("handed out %s, want %s", s, c.want)
				}
				if s := strings.Join(requests, " "); s != c.requests || up.Reused() != c.reused {
					t.Errorf("requests %s, of them %d with a spent token, want %s and %d", s, up.Reused(), c.requests, c.reused)
				}
			})
		})
	}
}

// A backend that rejects the old token leaves nothing to lose.
func TestRejectedTokenIsRenewedEvenIfTheRefreshTokenMayBeSpent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := endpoint(&strict)
		w := aged(t, up)
		up.Next(upstreamtest.Ignored)
		if got := w.settled(t, w.keeper()); got != "a0" {
			t.Fatal(got)
		}
		time.Sleep(2 * time.Second)
		if got := outcome(w.keeper().Replace(t.Context(), w.tenant, w.live(t))); got != "a1" {
			t.Errorf("got %s", got)
		}
	})
}

// The process dies while the token is under way: whoever takes over does not
// send it again before it has to.
func TestTokenOfADeadProcessMayBeSpent(t *testing.T) {
	t.Parallel()
	for like, want := range map[*upstreamtest.Rotating]string{&strict: "a0 a1", &stable: "a1 a1"} {
		synctest.Test(t, func(t *testing.T) {
			up := endpoint(like)
			w := aged(t, up)
			if _, err := w.grants.Lease(t.Context(), w.tenant, w.live(t), "crashed", nil); err != nil {
				t.Fatal(err)
			}
			_ = w.fresh(t, w.keeper())
			time.Sleep(leaseTime + 5*time.Second)
			first := w.fresh(t, w.keeper())
			time.Sleep(time.Minute)
			if got := first + " " + w.fresh(t, w.keeper()); got != want {
				t.Errorf("%+v: handed out %s, want %s", like.Rules, got, want)
			}
		})
	}
}

// A hundred callers in two processes, and an upstream that says later: it is
// asked once, and everybody is told how long to wait.
func TestLimitedUpstreamIsAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := endpoint(&strict)
		w := newWorldWith(t, up, up.Credential(-time.Second))
		up.Next(upstreamtest.Limited)
		keepers := []*Keeper{w.keeper(), w.keeper()}
		ask := func(want string) {
			t.Helper()
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					cred, err := keepers[i%2].Fresh(t.Context(), w.tenant, w.live(t))
					if got := outcome(cred, err); got != want {
						t.Errorf("caller %d: %s, want %s", i, got, want)
					}
					if e, ok := errors.AsType[*upstream.Error](err); ok && (e.RetryAfter <= 0 || e.RetryAfter > 2*upstreamtest.LimitedFor) {
						t.Errorf("caller %d is told to wait %v", i, e.RetryAfter)
					}
				})
			}
			wg.Wait()
		}
		for range 4 {
			ask("rate_limited")
			time.Sleep(upstreamtest.LimitedFor / 5)
		}
		if n := up.Requests(); n != 1 {
			t.Errorf("%d requests while the upstream rests, want 1", n)
		}
		time.Sleep(upstreamtest.LimitedFor)
		ask("a1")
		if n := up.Requests(); n != 2 {
			t.Errorf("%d requests in all, want 2", n)
		}
		if l := w.live(t); l.Record.Setback != nil {
			t.Errorf("the setback outlived it: %+v", l.Record.Setback)
		}
	})
}

func TestAttemptsAtAnUpstreamThatIsDownGrowRare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := endpoint(&stable)
		w := newWorldWith(t, up, up.Credential(-time.Second))
		down := make([]upstreamtest.Fault, 1000)
		for i := range down {
			down[i] = upstreamtest.Ignored
		}
		up.Next(down...)
		k := w.keeper()
		for range 600 { // ten minutes of a call a second
			_, _ = k.Fresh(t.Context(), w.tenant, w.live(t))
			time.Sleep(time.Second)
		}
		if n := up.Requests(); n < 60 || n > 120 {
			t.Errorf("%d requests in ten minutes", n)
		}
	})
}

func TestProcessesRenewAheadEachByItsOwnMeasure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		leads := map[time.Duration]bool{}
		for range 20 {
			w := newWorldWith(t, &provider{canRefresh: true}, credential("old", time.Hour))
			l, k := w.live(t), w.keeper()
			lead := k.lead(l)
			if lead != k.lead(l) || lead <= longestLead*2/3 || lead > longestLead {
				t.Errorf("ahead by %v", lead)
			}
			leads[lead] = true
			time.Sleep(time.Hour - lead - time.Second)
			if k.due(l, need{}) {
				t.Errorf("due before %v are left", lead)
			}
			time.Sleep(2 * time.Second)
			if !k.due(l, need{}) {
				t.Errorf("not due when less than %v is left", lead)
			}
		}
		if len(leads) < 10 {
			t.Errorf("%d measures among 20 processes", len(leads))
		}
	})
}

// A token that lives shortly is renewed in the last quarter of its life, and not
// with every call.
func TestLeadIsInProportionToTheLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, life := range []time.Duration{time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute} {
			up := endpoint(&strict)
			up.Life = life
			w := newWorldWith(t, up, up.Credential(life))
			k := w.keeper()
			const lives, perLife = 5, 20
			for range lives * perLife {
				if got := w.fresh(t, k); got[0] != 'a' {
					t.Fatal(got)
				}
				time.Sleep(life / perLife)
			}
			if n := up.Requests(); n < lives-1 || n > lives*4/3+1 {
				t.Errorf("a token of %v: %d renewals in %d lives", life, n, lives)
			}
		}
	})
}

func TestSetback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k, now := &Keeper{now: time.Now}, time.Now()
		wish := func(kind upstream.Kind, d time.Duration) error { return &upstream.Error{Kind: kind, RetryAfter: d} }
		for name, c := range map[string]struct {
			failures int // before
			err      error
			want     time.Duration // at least; at most an eighth more
		}{
			"first":                       {0, wish(upstream.Unavailable, 0), time.Second},
			"fourth":                      {3, wish(upstream.Unavailable, 0), 8 * time.Second},
			"hundredth":                   {99, wish(upstream.Unavailable, 0), 15 * time.Second},
			"limited":                     {0, wish(upstream.RateLimited, 0), 30 * time.Second},
			"limited for a minute":        {5, wish(upstream.RateLimited, time.Minute), time.Minute},
			"unavailable for two":         {0, wish(upstream.Unavailable, 2*time.Minute), 2 * time.Minute},
			"limited for a day":           {0, wish(upstream.RateLimited, 24*time.Hour), time.Hour},
			"an error of no kind":         {0, errors.New("x"), time.Second},
			"a provider that is at fault": {1, wish(upstream.Bug, 0), 2 * time.Second},
		} {
			var before *grant.Setback
			if c.failures > 0 {
				before = &grant.Setback{Failures: c.failures}
			}
			got := k.setback(before, false, c.err)
			if rest := got.NotBefore.Sub(now); rest < c.want || rest > c.want+c.want/8 || got.Failures != c.failures+1 || got.Kind != upstream.KindOf(c.err) {
				t.Errorf("%s: %+v, rests %v, want %v", name, got, rest, c.want)
			}
		}
		first := k.setback(nil, true, wish(upstream.Unavailable, 0))
		time.Sleep(time.Minute)
		if second := k.setback(first, true, wish(upstream.Unavailable, 0)); !second.Lost.Equal(now) {
			t.Errorf("lost since %v, want %v: a grace begins with the first use", second.Lost, now)
		}
		if third := k.setback(first, false, wish(upstream.RateLimited, 0)); !third.Lost.Equal(now) {
			t.Errorf("a later attempt that was only limited forgets that the token may be spent: %+v", third)
		}
	})
}
