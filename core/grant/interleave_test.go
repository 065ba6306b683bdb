package grant

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

var (
	modelSeed = flag.Uint64("grant.seed", 0, "run the model test with this seed alone and tell its story")
	modelRuns = flag.Int("grant.runs", 2000, "how many stories the model test tells on one replica and on two")
)

// TestGrantFollowsItsModel tells random stories of one grant: clients redeem,
// refresh and replay, right ones and wrong ones; users and operators end it,
// its credential is renewed under leases, time passes, announcements get lost,
// the store fails and processes die at any call of the store, the change made
// or not. Whatever is answered and whatever is stored is compared with the
// model, at the moment at which it was decided; and in the end whoever holds
// the newest pair goes on.
func TestGrantFollowsItsModel(t *testing.T) {
	t.Parallel()
	for replicas := 1; replicas <= 2; replicas++ {
		t.Run(fmt.Sprint(replicas, " replicas"), func(t *testing.T) {
			t.Parallel()
			seed, runs := *modelSeed, 1
			if seed == 0 {
				seed, runs = rand.Uint64N(1<<48), *modelRuns
			}
			seen := map[string]int{}
			for i := range runs {
				synctest.Test(t, func(t *testing.T) { // what waits costs no time
					w := newModelWorld(t, seed+uint64(i), replicas, seen)
					w.story()
					if *modelSeed != 0 {
						for _, line := range w.log {
							t.Log(line)
						}
					}
				})
				if t.Failed() {
					t.Fatalf("again: go test ./core/grant -run '^TestGrantFollowsItsModel$' -grant.seed %d", seed+uint64(i))
				}
			}
			if runs > 500 {
				wantSeen(t, seed, seen)
			}
		})
	}
}

// wantSeen fails if chance never came to something that the stories are about.
func wantSeen(t *testing.T, seed uint64, seen map[string]int) {
	t.Helper()
	for _, what := range []string{
		"redeem ok", "redeem gone", "redeem code_reuse", "redeem expired", "redeem wrong_client", "redeem failed",
		"refresh ok", "refresh gone", "refresh expired", "refresh refresh_reuse", "refresh wrong_client", "refresh failed",
		"verify ok", "verify gone", "verify expired", "verify failed", "verify remembered", "revoke ok", "revoke gone", "revoke wrong_client",
		"revoke failed", "end ok", "end gone", "user ok", "user gone", "lease ok", "lease leased", "lease gone", "lease failed", "keep ok", "keep lost",
		"renew ok", "renew lost", "renew failed", "free ok", "stop ok", "stop lost", "verify needs_login", "refresh needs_login", "beat ok", "died",
	} {
		if seen[what] == 0 {
			t.Errorf("seed %d: nothing came to %q: %v", seed, what, seen)
		}
	}
}

func newModelWorld(t *testing.T, seed uint64, replicas int, seen map[string]int) *world {
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	driver := &memory.Announcing{Driver: &memory.Driver{Now: c.now}}
	w := &world{
		t: t, chance: rand.New(rand.NewPCG(seed, 0)), seen: seen, yield: make(chan struct{}),
		harness: &harness{Store: NewStore(driver, keys, c.now), clock: c, driver: driver, t: &tenant.Tenant{
			Name: "music", Issuer: "https://music.example",
			Lifetimes: tenant.Lifetimes{Code: codeLife, Access: accessLife, Refresh: refreshLife, Absolute: absoluteLife, ReuseWindow: reuseWindow},
		}},
	}
	if w.chance.IntN(2) == 0 {
		w.harness.t.Lifetimes.Access = 7 * time.Second // so that a token ends while it is remembered
	}
	for i := range replicas {
		r := &replica{name: string(rune('A' + i)), world: w, told: [2]bool{true, true}}
		r.Store = w.process(r)
		w.replicas = append(w.replicas, r)
	}
	return w
}

func (w *world) story() {
	defer w.leave()
	w.begin()
	epilogue := 8 // steps after the end
	for range 120 {
		if w.model.state == "" || w.model.state == NeedsLogin {
			epilogue--
		}
		if epilogue == 0 || w.t.Failed() {
			break
		}
		switch n := w.chance.IntN(20); {
		case n < 13 && len(w.actors) > 0, len(w.actors) == 4:
			w.step(w.actors[w.chance.IntN(len(w.actors))], w.verdict())
		case n == 13:
			w.pass()
		case n == 14:
			w.cut = !w.cut
		default:
			w.start(w.operation())
		}
	}
	w.quiet()
	w.goOn()
}

// pass lets time pass, mostly little.
func (w *world) pass() {
	times := []time.Duration{
		time.Second, time.Second, time.Second, 2 * time.Second, 6 * time.Second, 6 * time.Second, time.Minute, time.Minute,
		3 * time.Minute, 3 * time.Minute, 7 * time.Hour, 7 * time.Hour, 8 * 24 * time.Hour, 25 * 24 * time.Hour, 31 * 24 * time.Hour,
	}
	w.clock.advance(times[w.chance.IntN(len(times))])
}

// verdict is mostly that all goes well.
func (w *world) verdict() verdict {
	switch n := w.chance.IntN(100); {
	case n < 4:
		return fails
	case n < 6:
		return dies
	}
	return proceed
}

// quiet lets everybody finish.
func (w *world) quiet() {
	for len(w.actors) > 0 && !w.t.Failed() {
		w.step(w.actors[0], proceed)
	}
}

// begin makes the grant, undisturbed: until its code is out, there is nothing
// to tell of.
func (w *world) begin() {
	a := &actor{name: "create", replica: w.replicas[w.chance.IntN(len(w.replicas))]}
	a.run = func(s *Store) string {
		code, err := s.Create(context.Background(), w.harness.t, New{
			ClientID: clientID, RedirectURI: callback, Challenge: oauth.ChallengeOf(verifier),
			Resource: w.harness.t.Resource(), Scopes: []string{"read"}, Credential: upstreamCredential(0),
		})
		w.code = code
		return outcome(err)
	}
	began := w.clock.now()
	w.start(a)
	for len(w.actors) > 0 {
		if w.clock.now().Sub(began) < codeLife-time.Minute && w.chance.IntN(4) == 0 {
			w.clock.advance(time.Minute) // the store is slow
		}
		w.step(a, proceed)
	}
	tok, err := w.open(Code, "music", w.code)
	if err != nil {
		w.fail("create: %s, %v", a.answer, err)
		return
	}
	w.id, w.codeEnds = tok.id(), began.Add(codeLife)
	w.model = model{state: Pending, created: began, expires: w.codeEnds, stored: w.model.stored}
	w.compare()
}

func upstreamCredential(n int) *upstream.Credential {
	return &upstream.Credential{
		AccessToken: seal.NewSecret(fmt.Sprint("up-at-", n)), RefreshToken: seal.NewSecret("up-rt"), Account: upstream.Account{ID: "42", Name: "ada"},
	}
}

// operation is the next thing that somebody does somewhere.
func (w *world) operation() *actor {
	a := &actor{replica: w.replicas[w.chance.IntN(len(w.replicas))]}
	client := clientID
	if w.chance.IntN(12) == 0 {
		client = "stranger"
	}
	n := w.chance.IntN(100)
	if len(w.held) == 0 && n < 62 {
		n = 0
	}
	switch {
	case n < 1:
		w.redeem(a, client)
	case n < 31:
		w.refresh(a, w.pick(), client)
	case n < 60:
		w.verifyToken(a, w.pick())
	case n < 62:
		w.revoke(a, w.pick(), client)
	case n < 64:
		w.end(a)
	default:
		w.renewal(a)
	}
	return a
}

// pick is mostly a new pair.
func (w *world) pick() pair { return w.held[max(0, len(w.held)-1-int(w.chance.ExpFloat64()*1.2))] }

func (w *world) redeem(a *actor, client string) {
	a.name, a.decide = "redeem by "+client, w.redeems(client, w.clock.now())
	var got *Tokens
	a.run = func(s *Store) string {
		p := right()
		p.ClientID = client
		tokens, err := s.Redeem(context.Background(), w.harness.t, w.code, p)
		got = tokens
		return outcome(err)
	}
	a.check = func() {
		if got == nil {
			return
		}
		if w.redeemed++; w.redeemed > 1 {
			w.fail("the code was redeemed %d times", w.redeemed)
		}
		w.hold(a, got)
	}
}

// hold gives a client its pair.
func (w *world) hold(a *actor, tokens *Tokens) {
	refresh, err := w.open(Refresh, "music", tokens.Refresh)
	access, err2 := w.open(Access, "music", tokens.Access)
	if err := errors.Join(err, err2); err != nil {
		w.seen["late"]++ // time passed, and it was over on arrival
		return
	}
	if refresh.generation != access.generation || access.expires.After(refresh.expires) ||
		refresh.expires.After(w.model.created.Add(absoluteLife)) && w.model.state != "" {
		w.fail("%s: refresh token %+v, access token %+v", a.name, refresh, access)
	}
	w.held = append(w.held, pair{tokens.Access, tokens.Refresh, refresh.generation, access.expires, refresh.expires})
}

func (w *world) refresh(a *actor, p pair, client string) {
	a.name, a.decide = fmt.Sprintf("refresh of %d by %s", p.generation, client), refreshes(p, client)
	began, before := w.clock.now(), w.model.generation
	var got *Tokens
	a.run = func(s *Store) string {
		tokens, err := s.Refresh(context.Background(), w.harness.t, p.refresh, Presented{ClientID: client})
		got = tokens
		return outcome(err)
	}
	a.check = func() {
		w.wantOpened(a, began, p.refEnds)
		if got == nil {
			return
		}
		w.hold(a, got)
		if g := got.Grant.Record.Generation; g != p.generation+1 || g < before {
			w.fail("%s answers generation %d", a.name, g)
		}
	}
}

// wantOpened holds an answer that needed no store to the token's time.
func (w *world) wantOpened(a *actor, began, ends time.Time) {
	if over := !began.Before(ends); !a.looked && a.answer != "ok" && (a.answer == "expired") != over {
		w.fail("%s answers %s without the store; the token ends %v", a.name, a.answer, ends)
	}
}

func (w *world) verifyToken(a *actor, p pair) {
	a.name, a.decide = fmt.Sprintf("verify of %d", p.generation), verifies()
	began := w.clock.now()
	var got *Live
	a.run = func(s *Store) string {
		l, err := s.Verify(context.Background(), w.harness.t, p.access)
		got = l
		return outcome(err)
	}
	a.check = func() {
		w.wantOpened(a, began, p.accessEnds)
		if !a.looked {
			w.remembered(a, p)
		}
		if got == nil || w.model.state == "" {
			return
		}
		at := got.Credential.AccessToken.Reveal()
		if a.looked && at != fmt.Sprint("up-at-", a.credential) {
			w.fail("%s: it gives %s, and read the credential that was renewed %d times", a.name, at, a.credential)
		}
		if !a.looked && at != fmt.Sprint("up-at-", w.model.credential) && !a.replica.mayRemember(theRenewal) {
			w.fail("%s: it remembers %s, and the credential was renewed %d times", a.name, at, w.model.credential)
		}
	}
}

// remembered is what a replica may answer about an access token without asking.
func (w *world) remembered(a *actor, p pair) {
	switch a.answer {
	case "ok":
		w.seen["verify remembered"]++
		if !w.clock.now().Before(p.accessEnds) || w.model.state != Active && !a.replica.mayRemember(theEnd) {
			w.fail("%s is remembered by a replica that was told, or for too long; the model is %+v", a.name, w.model)
		}
	case "gone":
		if w.model.state != "" {
			w.fail("%s: it is remembered that it is gone; the model is %+v", a.name, w.model)
		}
	case "expired":
	default:
		w.fail("%s answers %s without the store", a.name, a.answer)
	}
}

func (w *world) revoke(a *actor, p pair, client string) {
	text, use, ends := p.access, "access", p.accessEnds
	if w.chance.IntN(2) == 0 {
		text, use, ends = p.refresh, "refresh", p.refEnds
	}
	a.name, a.decide = fmt.Sprintf("revoke of %s token %d by %s", use, p.generation, client), revokes(client)
	began := w.clock.now()
	a.run = func(s *Store) string {
		_, err := s.Revoke(context.Background(), w.harness.t, text, client)
		return outcome(err)
	}
	a.check = func() { w.wantOpened(a, began, ends) }
}

func (w *world) end(a *actor) {
	ctx, id := context.Background(), w.id
	a.decide = endsOne()
	switch w.chance.IntN(3) {
	case 0:
		a.name, a.decide = "end of all", endsAll
		a.run = func(s *Store) string { _, err := s.DeleteAll(ctx, "music"); return outcome(err) }
	case 1:
		a.name = "end by the operator"
		a.run = func(s *Store) string { _, err := s.Delete(ctx, "music", id); return outcome(err) }
	default:
		a.name = "user ends"
		a.run = func(s *Store) string {
			_, err := s.EndOfAccount(ctx, w.harness.t, w.harness.t.Account("42"), id)
			return outcome(err)
		}
	}
}

// renewal is one step of one of two keepers; each does them in any order, as if
// it had been away in between.
func (w *world) renewal(a *actor) {
	holder, n := string("xy"[w.chance.IntN(2)]), w.chance.IntN(12)
	if w.model.lease.Holder == "" && n > 2 {
		n = 0 // most begin at the beginning
	} else if w.model.lease.Holder != "" && w.chance.IntN(4) > 0 {
		holder = w.model.lease.Holder
	}
	live := &Live{ID: w.id, secret: w.secret()}
	ctx, t := context.Background(), w.harness.t
	step := func(name string, d decision, run func(s *Store) error) {
		a.name, a.decide = name+" by "+holder, d
		a.run = func(s *Store) string { return leaseOutcome(run(s)) }
	}
	switch {
	case n < 3:
		var dead *Lease
		if seen := w.model.lease; seen.Holder != "" && w.chance.IntN(2) == 0 { // it was watched standing still
			dead = &seen
		}
		step("lease", leases(holder, dead), func(s *Store) error { _, err := s.Lease(ctx, t, live, holder, dead); return err })
	case n < 5:
		step("keep", holds(holder, journals), func(s *Store) error { return s.KeepJournal(ctx, t, live, holder, []byte("answers")) })
	case n < 8:
		version := w.model.credential + 1
		step("renew", holds(holder, renews(version)), func(s *Store) error {
			_, err := s.Renew(ctx, t, live, holder, upstreamCredential(version))
			return err
		})
	case n < 9:
		step("free", holds(holder, frees), func(s *Store) error { return s.Release(ctx, t, live, holder, nil) })
	case n < 11:
		step("beat", holds(holder, beats), func(s *Store) error { return s.Beat(ctx, t, live, holder) })
	default:
		step("stop", holds(holder, stops), func(s *Store) error {
			return s.RequireLogin(ctx, t, live, holder, upstream.InvalidGrant, "used before")
		})
	}
}

func leaseOutcome(err error) string {
	if _, ok := errors.AsType[*LeasedError](err); ok {
		return "leased"
	}
	if errors.Is(err, ErrLeaseLost) {
		return "lost"
	}
	return outcome(err)
}

// secret is the grant secret, as any token of the grant has it.
func (w *world) secret() seal.Secret {
	sealed, _ := w.open(Code, "music", w.code) // expired or not, it is opened
	return sealed.grantSecret()
}

// goOn is what a client with the newest pair does when all is quiet, wherever
// it is sent: a grant that is alive is lost to nobody.
func (w *world) goOn() {
	if len(w.held) == 0 || w.t.Failed() {
		return
	}
	newest := w.held[0]
	for _, p := range w.held {
		if p.generation >= newest.generation {
			newest = p
		}
	}
	for _, r := range w.replicas {
		a := &actor{replica: r}
		w.refresh(a, newest, clientID)
		w.start(a)
		w.quiet()
		alive := w.model.state == Active && w.clock.now().Before(newest.refEnds)
		if !alive || w.t.Failed() {
			return
		}
		w.compare()
		if ids, whole := w.ofAccount(w.t, "42"); len(ids) != 1 || !whole {
			w.fail("a grant that is alive is not among its user's: %v", ids)
		}
	}
}
