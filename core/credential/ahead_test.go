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

	"github.com/sallyport/sallyport/core/upstream"
)

// The upstream's token endpoint hangs for a minute while the token is valid for
// another minute: of 200 calls in that minute none waits for longer than a
// second, and all but those of the last five seconds do not wait at all.
func TestHangingTokenEndpointDelaysNoCallWhoseTokenIsValid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		w.provider.refresh = func(ctx context.Context, _ upstream.RefreshRequest) (*upstream.Credential, error) {
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
			}
			return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "it hung"}
		}
		k := w.keeper()
		const calls = 200
		var all sync.WaitGroup
		var mu sync.Mutex
		waited, late := 0, 0
		for i := range calls {
			time.Sleep(time.Minute/calls - time.Millisecond)
			all.Go(func() {
				began := time.Now()
				if got := w.fresh(t, k); got != "old" && i < calls*58/60 { // the last second's end after the token
					t.Errorf("call %d: %s", i, got)
				}
				mu.Lock()
				defer mu.Unlock()
				if took := time.Since(began); took > 0 {
					waited++
					if took > aheadTime && i < calls*58/60 {
						late++
					}
				}
			})
		}
		all.Wait()
		if late > 0 {
			t.Errorf("%d of %d calls were delayed by more than a second", late, calls)
		}
		if most := calls * 6 / 60; waited > most {
			t.Errorf("%d of %d calls waited, want at most %d", waited, calls, most)
		}
	})
}

// Where a refresh ends the access token of before, a call waits for the new one,
// but not beyond the end of the old one.
func TestRefreshThatEndsTheAccessTokenIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		takes time.Duration
		want  string
	}{{20 * time.Second, "new"}, {40 * time.Second, "new"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 25*time.Second)
			w.provider.rules.EndsAccessToken = true
			w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
				time.Sleep(c.takes)
				return credential("new", time.Hour), nil
			}
			began := time.Now()
			if got := w.fresh(t, w.keeper()); got != c.want || time.Since(began) != c.takes {
				t.Errorf("takes %v: got %s after %v", c.takes, got, time.Since(began))
			}
		})
	}
}

// What leaves the server is valid for a while, or does not leave it.
func TestHandOutIsValidForAWhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		left time.Duration
		down bool
		want string
	}{
		{time.Hour, false, "old"}, {30 * time.Second, false, "old"}, {HandOutValidity, false, "old"},
		{HandOutValidity - time.Second, false, "new"}, {HandOutValidity - time.Second, true, "unavailable"}, {-time.Second, true, "unavailable"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, c.left)
			if c.down {
				w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
					return nil, &upstream.Error{Kind: upstream.Unavailable}
				}
			}
			if got := outcome(w.keeper().HandOut(t.Context(), w.tenant, w.live(t))); got != c.want {
				t.Errorf("%v left, down %v: got %s, want %s", c.left, c.down, got, c.want)
			}
		})
	}
}

// Both tries of a renewal are told, and that the first one may have arrived.
func TestBothTriesOfARenewalAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
			if w.provider.count() == 1 {
				return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "connection reset", Lost: true}
			}
			return nil, &upstream.Error{Kind: upstream.Unavailable, Detail: "connection refused", Err: errors.New("nothing was sent")}
		}
		_ = w.fresh(t, w.keeper())
		want := "first try: connection reset; second try: connection refused: nothing was sent; the upstream may have received the refresh token with the first try"
		if line := w.audited(); !strings.Contains(line, `"reason":"unavailable: `+want+`"`) {
			t.Errorf("audit: %s", line)
		}
		if text := w.text.String(); !strings.Contains(text, `[WARN]  the upstream credential cannot be renewed: tenant=music kind=unavailable`) || !strings.Contains(text, want) {
			t.Errorf("log: %s", text)
		}
	})
}

func TestWrongSecretIsToldToTheOperator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		w.provider.refresh = func(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
			return nil, &upstream.Error{Kind: upstream.Misconfigured, Suspect: upstream.SuspectClient, Detail: "upstream says invalid_client"}
		}
		if got := w.fresh(t, w.keeper()); got != "misconfigured" {
			t.Errorf("got %s", got)
		}
		text := w.text.String()
		for _, part := range []string{"[ERROR] the upstream credential cannot be renewed: tenant=music kind=misconfigured", "upstream says invalid_client", "client_secret", "sallyport grant revoke music " + w.live(t).ID, "error_kinds"} {
			if !strings.Contains(text, part) {
				t.Errorf("the log does not say %q: %s", part, text)
			}
		}
	})
}

// Whether an upstream that refuses a renewal means the token is decided by what
// became of others. A story is a word for each renewal: the grant, and whether
// it succeeds (+), or is refused with words that fit both (-) or with
// invalid_client (!). The last is judged.
func TestWhomARefusalMeans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, story string
		pause       time.Duration // before the last
		token       bool
	}{
		{"the first of this process", "a-", 0, false},
		{"another succeeded a moment ago", "b+ a-", 0, true},
		{"another succeeded nine minutes ago", "b+ a-", 9 * time.Minute, true},
		{"another succeeded eleven minutes ago", "b+ a-", 11 * time.Minute, false},
		{"its own success proves nothing", "a+ a-", 0, false},
		{"nor do three", "a+ a+ a+ a-", 0, false},
		{"the only one of five, long ago", "b+ c+ a+ b+ a-", time.Hour, true},
		{"another of five failed", "b+ c- a+ b+ a-", time.Hour, false},
		{"another was refused since", "b+ c- a-", 0, false},
		{"another was refused before", "c- b+ a-", 0, true},
		{"all are refused", "a+ b+ c- b- a-", 0, false},
		{"repeated until another succeeds", "a- a- a- b+ a-", 0, true},
		{"invalid_client, and another succeeded before", "b+ a!", 0, false},
		{"invalid_client, and five succeeded before", "b+ c+ d+ e+ a!", 0, false},
		{"invalid_client, and another succeeded since", "a! b+ a!", 0, true},
		{"invalid_client of all", "b+ a! b! a!", 0, false},
		{"invalid_client, and many succeeded since", "a! b+ c+ d+ e+ f+ g+ a!", 0, true},
		{"invalid_client, and it succeeded since", "a! b+ a+ a!", 0, false},
		{"no answer, then invalid_client", "a? b+ a!", 0, false},
		{"an unreadable answer, and others succeed", "a~ b+ c+ d+ e+ a~", 0, false},
		{"an unreadable answer, for an hour, and others succeed", "a~ b+ hour c+ a~", 0, true},
		{"an unreadable answer, for an hour, and others did succeed", "a~ b+ hour a~", 0, false},
		{"an unreadable answer, for an hour, of all", "a~ b+ hour b+ c~ a~", 0, false},
		{"an unreadable answer, an hour after no answer", "a? hour b+ a~", 0, false},
		{"no answer, for an hour, and others succeed", "a? hour b+ a?", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0)
				j := &judge{now: time.Now, tenants: map[string]*history{}}
				words := strings.Fields(c.story)
				var err error
				for i, word := range words {
					if time.Sleep(time.Second); i == len(words)-1 {
						time.Sleep(c.pause)
					}
					suspect := upstream.SuspectEither
					switch word[1] {
					case 'o':
						time.Sleep(time.Hour)
						continue
					case '~':
						suspect = upstream.SuspectLasting
					case '?':
						suspect = ""
					case '+':
						j.succeeded(w.tenant, word[:1])
						continue
					case '!':
						suspect = upstream.SuspectClient
					}
					err = j.failed(w.tenant, word[:1], fmt.Errorf("x: %w", &upstream.Error{Kind: upstream.Misconfigured, Suspect: suspect}))
				}
				if token := upstream.KindOf(err) == upstream.InvalidGrant; token != c.token {
					t.Errorf("%q: %v", c.story, err)
				}
			})
		})
	}
}

// A changed configuration proves itself anew; a kind without a suspect is never
// the token's.
func TestProofsAreOfOneConfiguration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		j := &judge{now: time.Now, tenants: map[string]*history{}}
		j.succeeded(w.tenant, "b")
		for _, kind := range upstream.Kinds() {
			if err := j.failed(w.tenant, "a", &upstream.Error{Kind: kind}); upstream.KindOf(err) != kind {
				t.Errorf("%s became %v", kind, err)
			}
		}
		changed := *w.tenant
		if err := j.failed(&changed, "a", &upstream.Error{Kind: upstream.Misconfigured, Suspect: upstream.SuspectEither}); upstream.KindOf(err) != upstream.Misconfigured {
			t.Errorf("after a change: %v", err)
		}
	})
}
