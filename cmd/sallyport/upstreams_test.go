package main

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// namedUpstream is a double of an upstream with a name.
type namedUpstream struct {
	upstreamtest.Provider
	name string
}

func (p namedUpstream) Describe() upstream.Description {
	d := p.Provider.Describe()
	d.Identity, d.Upstream = upstream.NewIdentity("fake", "c", p.name), p.name
	return d
}

const verifierText = "a-verifier-of-forty-three-characters-at-least-1"

// musicAt returns a set with one tenant at an upstream.
func musicAt(t *testing.T, name string, same ...string) *tenant.Set {
	t.Helper()
	p := namedUpstream{upstreamtest.Provider{Fake: &upstreamtest.Fake{}}, name}
	set, err := tenant.NewSet(&tenant.Tenant{
		Name: "music", Issuer: "https://music.example", Provider: p, Backend: &url.URL{Scheme: "http", Host: "b"},
		Lifetimes: tenant.DefaultLifetimes(), Upstream: tenant.Upstream{Same: formerly(same, p, "c")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// started is a process that serves music at an upstream.
func started(t *testing.T, driver *memory.Driver, keys *seal.Keyring, clock *time.Time, set *tenant.Set) (*reloader, *strings.Builder) {
	t.Helper()
	log := &strings.Builder{}
	d := &deployment{log: hclog.New(&hclog.LoggerOptions{Output: log}), signals: newSignals(nil), changes: newChanges()}
	var err error
	d.server, err = core.New(core.Config{Tenants: set, Store: driver, Keys: keys, Log: d.log, Now: func() time.Time { return *clock }})
	if err == nil {
		err = d.enterUpstreams(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &reloader{deployment: d}, log
}

func (r *reloader) loginAs(t *testing.T, id string) *grant.Tokens {
	t.Helper()
	music := r.server.Tenants().Get("music")
	code, err := r.server.Grants().Create(t.Context(), music, grant.New{
		ClientID: "c", Challenge: oauth.ChallengeOf(verifierText), Resource: music.Resource(),
		Credential: &upstream.Credential{AccessToken: seal.NewSecret("up"), Account: upstream.Account{ID: id}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := r.server.Grants().Redeem(t.Context(), music, code, grant.Presented{ClientID: "c", Verifier: verifierText})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

// verify is what the tenant served says to a token: ok, 503 or the reason.
func (r *reloader) verify(ctx context.Context, tokens *grant.Tokens) string {
	_, err := r.server.Grants().Verify(ctx, r.server.Tenants().Get("music"), tokens.Access)
	switch {
	case err == nil:
		return "ok"
	case grant.ReasonOf(err) != "":
		return string(grant.ReasonOf(err))
	case oauth.AsError(err).StatusCode() == 503:
		return "503"
	}
	return err.Error()
}

// reloaded serves another set as a reload does.
func (r *reloader) reloaded(t *testing.T, set *tenant.Set, accepted string) {
	t.Helper()
	set, err := r.holdChanges(t.Context(), set, accepted)
	if err != nil {
		t.Fatal(err)
	}
	r.server.SetTenants(set)
}

func newUpstreamsTest(t *testing.T) (*memory.Driver, *seal.Keyring, *time.Time) {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 15, 8, 0, 0, 0, time.UTC)
	return &memory.Driver{Now: func() time.Time { return now }}, keys, &now
}

func TestChangeOfUpstreamWaitsAtReload(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	r, log := started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	r.reloaded(t, musicAt(t, "https://empty.example"), "") // without grants it is applied
	if len(r.waitingChanges()) != 0 {
		t.Fatalf("waiting %v", r.waitingChanges())
	}
	r.reloaded(t, musicAt(t, "https://a.example"), "")
	ada, bob := r.loginAs(t, "ada"), r.loginAs(t, "bob")

	r.reloaded(t, musicAt(t, "https://b.example"), "")
	change, waits := r.waitingChanges()["music"]
	if !waits || change.Grants != "2" || change.From != upstream.NewIdentity("fake", "c", "https://a.example") {
		t.Fatalf("waiting %v", r.waitingChanges())
	}
	if a, b := r.verify(t.Context(), ada), r.verify(t.Context(), bob); a != "ok" || b != "ok" {
		t.Errorf("while it waits: %s, %s", a, b)
	}
	for _, want := range []string{"https://b.example", "formerly", "tenant accept music", "undo the change", string(change.From)} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not name %q:\n%s", want, log)
		}
	}
	if row := r.servedTenants()[0]; row.Waiting == nil || !strings.Contains(row.Waiting.String(), "2 grants") {
		t.Errorf("tenant list says %+v", row)
	}
	r.reloaded(t, musicAt(t, "https://b.example", "https://a.example"), "") // the same under another address
	if a := r.verify(t.Context(), ada); a != "ok" || len(r.waitingChanges()) != 0 {
		t.Errorf("with formerly: %s, waiting %v", a, r.waitingChanges())
	}
	r.reloaded(t, musicAt(t, "https://c.example"), "music")
	if a := r.verify(t.Context(), ada); a != string(grant.OtherUpstream) {
		t.Errorf("after the operator accepted another upstream: %s", a)
	}
}

func TestRestartWithAnotherUpstreamCanBeUndone(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	r, _ := started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	ada := r.loginAs(t, "ada")
	*clock = clock.Add(time.Hour)

	r, log := started(t, driver, keys, clock, musicAt(t, "https://b.example"))
	if a := r.verify(t.Context(), ada); a != "503" {
		t.Errorf("after the restart: %s", a)
	}
	if !strings.Contains(log.String(), "grants=1") || !strings.Contains(log.String(), "tenant accept music") || !strings.Contains(log.String(), "formerly") {
		t.Errorf("the log says\n%s", log)
	}
	bob := r.loginAs(t, "bob")
	*clock = clock.Add(10 * time.Minute)
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://b.example")) // no new quarter of an hour
	*clock = clock.Add(5 * time.Minute)
	if a, b := r.verify(t.Context(), ada), r.verify(t.Context(), bob); a != string(grant.OtherUpstream) || b != "ok" {
		t.Errorf("a quarter of an hour later: %s, %s", a, b)
	}
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	if a, b := r.verify(t.Context(), ada), r.verify(t.Context(), bob); a != "ok" || b != "503" {
		t.Errorf("after the change was undone: %s, %s", a, b)
	}
}

// An operator who sees that a restart led to another upstream writes the old
// settings back, and the running server reads them. That is not one more change
// for the operator to decide on, though users have logged in at the other upstream
// meanwhile.
func TestRestartWithAnotherUpstreamCanBeUndoneByAReload(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	r, _ := started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	ada := r.loginAs(t, "ada")
	*clock = clock.Add(time.Hour)
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://b.example"))
	bob := r.loginAs(t, "bob")

	r.reloaded(t, musicAt(t, "https://c.example"), "") // a change as any other
	if len(r.waitingChanges()) != 1 {
		t.Errorf("another change: waiting %v", r.waitingChanges())
	}
	*clock = clock.Add(10 * time.Minute)
	r.reloaded(t, musicAt(t, "https://a.example"), "")
	if a, b := r.verify(t.Context(), ada), r.verify(t.Context(), bob); a != "ok" || b != "503" || len(r.waitingChanges()) != 0 {
		t.Errorf("after the change was undone: %s, %s, waiting %v", a, b, r.waitingChanges())
	}
	if c := r.servedTenants()[0].Waiting; c == nil || c.Grants != "1" || !strings.Contains(c.String(), "until 09:25:00 UTC") {
		t.Errorf("tenant list says %v", c)
	}
	r.reloaded(t, musicAt(t, "https://b.example"), "") // the same mistake again
	if a := r.verify(t.Context(), ada); a != "ok" || len(r.waitingChanges()) != 1 {
		t.Errorf("after the same change by a reload: %s, waiting %v", a, r.waitingChanges())
	}
	r.reloaded(t, musicAt(t, "https://b.example"), "music")
	r.reloaded(t, musicAt(t, "https://a.example"), "") // the operator has decided
	if b := r.verify(t.Context(), bob); b != "ok" || len(r.waitingChanges()) != 1 {
		t.Errorf("after the change was accepted: %s, waiting %v", b, r.waitingChanges())
	}
}

// What the reload goes back to is what stood before the restarts, however many.
func TestReloadUndoesSeveralRestarts(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	for _, name := range []string{"https://first.example", "https://a.example"} {
		r, _ := started(t, driver, keys, clock, musicAt(t, name))
		r.loginAs(t, "dan")
		*clock = clock.Add(time.Hour) // longer than the time for undoing: it was meant
	}
	r, _ := started(t, driver, keys, clock, musicAt(t, "https://b.example"))
	r.loginAs(t, "bob")
	*clock = clock.Add(time.Minute)
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://c.example"))
	r.loginAs(t, "carol")
	for _, name := range []string{"https://b.example", "https://first.example"} {
		if r.reloaded(t, musicAt(t, name), ""); len(r.waitingChanges()) != 1 {
			t.Errorf("%s: waiting %v", name, r.waitingChanges())
		}
	}
	if r.reloaded(t, musicAt(t, "https://a.example"), ""); len(r.waitingChanges()) != 0 {
		t.Errorf("waiting %v", r.waitingChanges())
	}
}

// After the time for undoing, going back is a change as any other.
func TestReloadUndoesARestartInTimeOnly(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	r, _ := started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	r.loginAs(t, "ada")
	*clock = clock.Add(time.Hour)
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://b.example"))
	bob := r.loginAs(t, "bob")
	*clock = clock.Add(15 * time.Minute)
	r.reloaded(t, musicAt(t, "https://a.example"), "")
	if b := r.verify(t.Context(), bob); b != "ok" || len(r.waitingChanges()) != 1 {
		t.Errorf("bob %s, waiting %v", b, r.waitingChanges())
	}
}

func TestAcceptEndsTheTimeForUndoing(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	r, _ := started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	ada := r.loginAs(t, "ada")
	if err := r.accept(t.Context(), "music"); err == nil || !strings.Contains(err.Error(), "no change waits") {
		t.Errorf("nothing waits: %v", err)
	}
	*clock = clock.Add(time.Hour)
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://b.example"))
	if err := r.accept(t.Context(), "music"); err != nil {
		t.Fatal(err)
	}
	if a := r.verify(t.Context(), ada); a != string(grant.OtherUpstream) {
		t.Errorf("after accept: %s", a)
	}
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://b.example"))
	if a := r.verify(t.Context(), ada); a != string(grant.OtherUpstream) {
		t.Errorf("after accept and a restart: %s", a)
	}
}

// A tenant whose provider is missing cannot say which upstream it has: its grants
// are not stranded, and no change waits.
func TestDownTenantIsOfTheUpstreamItWas(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	down := func() *tenant.Set {
		set := musicAt(t, "https://a.example")
		music := set.Get("music")
		music.Provider, music.Down = downProvider{"fake"}, "no such plugin"
		return set
	}
	r, _ := started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	ada := r.loginAs(t, "ada")
	r, log := started(t, driver, keys, clock, down())
	r.reloaded(t, down(), "")
	if rows := r.servedTenants(); rows[0].Waiting != nil || rows[0].Down != "no such plugin" {
		t.Errorf("tenant list says %+v\n%s", rows[0], log)
	}
	r.reloaded(t, musicAt(t, "https://a.example"), "")
	if a := r.verify(t.Context(), ada); a != "ok" {
		t.Errorf("once the plugin is there: %s", a)
	}
}

// tenant list shows a change that a restart made, until the operator accepts it.
func TestChangeByARestartIsListed(t *testing.T) {
	t.Parallel()
	driver, keys, clock := newUpstreamsTest(t)
	r, _ := started(t, driver, keys, clock, musicAt(t, "https://a.example"))
	r.loginAs(t, "ada")
	*clock = clock.Add(time.Hour)
	r, _ = started(t, driver, keys, clock, musicAt(t, "https://b.example"))
	c := r.servedTenants()[0].Waiting
	if c == nil || c.From != upstream.NewIdentity("fake", "c", "https://a.example") || c.Grants != "1" || !strings.Contains(c.String(), "until 09:15:00 UTC") {
		t.Fatalf("tenant list says %v", c)
	}
	if err := r.accept(t.Context(), "music"); err != nil {
		t.Fatal(err)
	}
	if c := r.servedTenants()[0].Waiting; c != nil {
		t.Errorf("after accept: %v", c)
	}
}

func TestRestoreRefusesRecordsOfANewerRelease(t *testing.T) {
	t.Parallel()
	_, keys, _ := newUpstreamsTest(t)
	backup := openBolt(t)
	put := func(id, plain string) {
		sealed := keys.Seal(seal.Purpose{Use: "grant", Tenant: "music", Record: id}, []byte(plain))
		if err := backup.Swap(t.Context(), "grant/music/"+id, nil, sealed, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	put("1", `{"format":1}`)
	if err := refuseNewer(t.Context(), backup, keys); err != nil {
		t.Fatal(err)
	}
	put("2", `{"format":7}`)
	err := refuseNewer(t.Context(), backup, keys)
	if err == nil || !strings.Contains(err.Error(), "nothing is restored: the backup has a grant record of format 7, and sallyport "+version()+" knows formats up to 1") {
		t.Errorf("a newer record: %v", err)
	}
}
