package grant

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// world lets several actors work on one grant through one or two replicas, one
// at a time: each stops before each call of the store and before its answer,
// and chance says who goes on, who fails and who dies there. So a seed says
// everything that happens.
type world struct {
	*harness // on the bare driver: it remembers nothing and sees what is there

	t        *testing.T
	chance   *rand.Rand
	seen     map[string]int
	replicas []*replica
	actors   []*actor // those that have not finished
	current  *actor
	yield    chan struct{} // the current actor has stopped

	model    model
	id       string
	code     string
	codeEnds time.Time
	held     []pair
	redeemed int
	cut      bool // announcements get lost
	log      []string
}

// replica is a process: a Store that remembers, on its own way to the driver.
type replica struct {
	*Store
	name  string
	world *world
	// What it may answer as if it had not happened: for as long as it remembers,
	// or until it is told.
	told    [2]bool
	forgets [2]time.Time
}

const (
	theEnd     = iota // of the grant
	theRenewal        // of its credential
)

// actor is one operation under way.
type actor struct {
	name    string
	replica *replica
	decide  decision
	run     func(s *Store) string
	check   func() // of the answer, if the store did not fail

	resume    chan verdict
	parked    string // the call it stopped at; empty: it has finished
	decidedAt time.Time
	answer    string
	failed    bool // the store did
	// What its last look at the store makes of it.
	looked     bool
	want       string
	owes       bool // it has to change the grant
	credential int  // as it was seen
	made       []int
	announced  bool
}

type verdict int

const (
	proceed verdict = iota
	fails
	dies
)

var errDown = errors.New("store down")

// stepping is a replica's way to the driver.
type stepping struct{ *replica }

var _ store.Announcer = stepping{}

// at stops the current actor before a call and before its answer. done says to
// the model what came of the call, seen what the actor learns.
func (s stepping) at(call string, do func() error, done func(error), seen func(error)) error {
	a := s.world.current
	a.decidedAt = s.world.clock.now()
	if s.park(call) != proceed {
		a.failed = a.failed || call != "announce"
		return errDown
	}
	err := do()
	done(err)
	if s.park("answer to "+call) != proceed {
		a.failed = a.failed || call != "announce"
		err = errDown
	}
	seen(err)
	return err
}

// park stops the current actor, which may never go on.
func (s stepping) park(where string) verdict {
	a := s.world.current
	a.parked = where
	s.world.yield <- struct{}{}
	v := <-a.resume
	a.parked = ""
	if v == dies {
		runtime.Goexit()
	}
	return v
}

func (s stepping) Get(ctx context.Context, key string) (value []byte, err error) {
	if key == notBeforeKey { // not in the model; actors of a replica wait for one another's read of it
		return s.world.driver.Get(ctx, key)
	}
	var now model
	err = s.at("get", func() (err error) { value, err = s.world.driver.Get(ctx, key); return err },
		func(error) { now = s.there() },
		func(error) { s.look(key, now) })
	return value, err
}

func (s stepping) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	return s.write("swap", key, ttl, func() error { return s.world.driver.Swap(ctx, key, old, new, ttl) })
}

func (s stepping) Take(ctx context.Context, key string) (value []byte, err error) {
	err = s.write("take", key, 0, func() (err error) { value, err = s.world.driver.Take(ctx, key); return err })
	return value, err
}

func (s stepping) write(call, key string, ttl time.Duration, do func() error) error {
	var now model
	wrote := false
	return s.at(call, do, func(err error) {
		if now = s.there(); err == nil { // else it says what is there
			wrote = true
			s.changed(key, ttl)
		}
	}, func(err error) {
		for _, what := range s.world.current.made {
			s.told[what] = true // whatever it is told, it forgets
		}
		if err != nil && !wrote {
			s.look(key, now)
		}
	})
}

func (s stepping) Announce(context.Context, string) error {
	w := s.world
	w.current.announced = true
	return s.at("announce", func() error {
		for _, r := range w.replicas {
			if !w.cut {
				r.Store.Forget("grant/music/" + w.id)
				r.told = [2]bool{true, true}
			}
		}
		return nil
	}, func(error) {}, func(error) {})
}

// Listen is not called: a replica is told directly.
func (stepping) Listen(ctx context.Context, _ func(string)) error { <-ctx.Done(); return ctx.Err() }

func (s stepping) Scan(ctx context.Context, prefix string, f func(string) error) error {
	return s.world.driver.Scan(ctx, prefix, f)
}
func (stepping) Ping(context.Context) error { return nil }
func (stepping) Close() error               { return nil }

// there is the model as a call finds it.
func (s stepping) there() model {
	m, now := s.world.model, s.world.clock.now()
	if m.state == "" || !now.Before(m.stored) {
		return model{}
	}
	m.stored = now.Add(1000 * time.Hour * 24) // it was seen, whatever happens to it meanwhile
	return m
}

// look says what the current actor should answer if this was its last look.
func (s stepping) look(key string, m model) {
	a := s.world.current
	if a.decide == nil || !strings.HasPrefix(key, "grant/") {
		return
	}
	want, next := a.decide(m, s.world.clock.now())
	a.looked, a.want, a.owes, a.credential = true, want, next != nil && m.state != "", m.credential
}

// changed moves the model on, and compares it with what is stored.
func (s stepping) changed(key string, ttl time.Duration) {
	w, a := s.world, s.world.current
	if !strings.HasPrefix(key, "grant/") {
		return
	}
	if a.decide == nil { // it is made
		w.model.stored = w.clock.now().Add(ttl)
		return
	}
	answer, next := a.decide(w.model, a.decidedAt)
	a.looked, a.want, a.owes = true, answer, false
	if next == nil {
		w.fail("%s changed a grant that the model does not change: it answers %s", a.name, answer)
		return
	}
	before := w.model
	if w.model = *next; w.model.state != "" {
		w.model.stored = w.clock.now().Add(ttl)
	}
	switch {
	case w.model.state == "", w.model.state == NeedsLogin && before.state != NeedsLogin:
		w.news(a, theEnd)
	case w.model.credential > before.credential:
		w.news(a, theRenewal)
	}
	w.compare()
}

// news is what others may not know for as long as they remember, unless the
// actor tells them.
func (w *world) news(a *actor, what int) {
	a.made = append(a.made, what)
	for _, r := range w.replicas {
		r.told[what], r.forgets[what] = false, w.clock.now().Add(cacheTTL)
	}
}

// mayRemember tells whether a replica may answer as if it had not heard.
func (r *replica) mayRemember(what int) bool {
	return !r.told[what] && r.world.clock.now().Before(r.forgets[what])
}

// compare holds the record to the model.
func (w *world) compare() {
	rec, err := w.records.Get(context.Background(), w.harness.t.Name, w.id)
	if errors.Is(err, store.ErrNotFound) {
		if w.model.state != "" {
			w.fail("the record is gone, and the model is %+v", w.model)
		}
		return
	}
	var lease Lease
	if rec.Lease != nil {
		lease = *rec.Lease
	}
	if err != nil || rec.State != w.model.state || rec.Generation != w.model.generation || !rec.Expires.Equal(w.model.expires) ||
		lease != w.model.lease || (rec.Journal != nil) != w.model.journal || (rec.LoginReason != nil) != (w.model.state == NeedsLogin) ||
		w.model.state != NeedsLogin && (w.model.state == Active) != (rec.Challenge == "") {
		w.fail("the record is %+v (%v), and the model %+v", rec, err, w.model)
	}
}

// start begins an operation, up to its first call of the store.
func (w *world) start(a *actor) {
	a.resume = make(chan verdict)
	w.actors = append(w.actors, a)
	go func() {
		defer func() { w.yield <- struct{}{} }()
		<-a.resume
		a.answer = a.run(a.replica.Store)
	}()
	w.step(a, proceed)
}

// step lets an actor go on until it stops again or has finished.
func (w *world) step(a *actor, v verdict) {
	w.log = append(w.log, fmt.Sprintf("%s %s at %s %s%s", w.clock.now().Format("02 15:04:05"), a.name, a.replica.name, a.parked, [...]string{"", " fails", " dies"}[v]))
	w.current = a
	a.resume <- v
	<-w.yield
	switch {
	case v == dies:
		w.die(a)
	case a.parked == "":
		w.remove(a)
		w.finish(a)
	}
}

func (w *world) remove(a *actor) {
	w.actors = slices.DeleteFunc(w.actors, func(other *actor) bool { return other == a })
}

// die ends a process: everything under way in it, and what it remembers.
func (w *world) die(a *actor) {
	w.remove(a)
	w.kill(func(other *actor) bool { return other.replica == a.replica })
	w.seen["died"]++
	a.replica.Store = w.process(a.replica)
	a.replica.told = [2]bool{true, true}
}

// kill ends what is under way where it is.
func (w *world) kill(whom func(*actor) bool) {
	for _, a := range slices.Clone(w.actors) {
		if whom(a) {
			w.current = a
			a.resume <- dies
			<-w.yield
			w.remove(a)
		}
	}
}

// leave leaves nobody behind, wherever a story broke off.
func (w *world) leave() { w.kill(func(*actor) bool { return true }) }

// process is what a replica starts with.
func (w *world) process(r *replica) *Store {
	return NewStore(stepping{r}, w.keys, w.clock.now).Remember(cacheTTL)
}

// finish holds an answer to the model.
func (w *world) finish(a *actor) {
	what := strings.Fields(a.name)[0]
	w.log = append(w.log, fmt.Sprintf("            %s answers %s", a.name, a.answer))
	if a.failed {
		w.seen[what+" failed"]++
		marks := what == "stop" && a.answer == "ok" // the mark in the index may be missing
		if a.answer != errDown.Error() && !marks {
			w.fail("%s: the store failed, and it answers %s", a.name, a.answer)
		}
		return
	}
	w.seen[what+" "+a.answer]++
	switch {
	case a.looked && a.answer != a.want:
		w.fail("%s answers %s, and the model %s", a.name, a.answer, a.want)
	case a.owes:
		w.fail("%s answers %s and leaves the grant as it was", a.name, a.answer)
	case len(a.made) > 0 && !a.announced:
		w.fail("%s tells nobody", a.name)
	case a.check != nil:
		a.check()
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(format+"\n%s", append(args, strings.Join(w.log, "\n"))...)
	w.log = append(w.log, "FAIL")
}
