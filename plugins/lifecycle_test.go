package plugins

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// events is an Observer that keeps what happens to plugins.
type events struct {
	nobody
	mu   sync.Mutex
	all  []PluginEvent
	tell chan PluginEvent // if not nil
}

func (e *events) Plugin(p PluginEvent) {
	e.mu.Lock()
	e.all = append(e.all, p)
	e.mu.Unlock()
	if e.tell != nil {
		e.tell <- p
	}
}

func (e *events) changes() (all []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.all {
		all = append(all, p.Change)
	}
	return all
}

// shelf is a plugin folder, a host on it, and what it tells.
type shelf struct {
	*Host
	t      *testing.T
	dir    string
	events *events
	log    *output
	stamp  time.Time
}

func newShelf(t *testing.T, files map[string][]byte) *shelf {
	t.Helper()
	s := &shelf{t: t, dir: t.TempDir(), events: &events{}, stamp: time.Unix(1_700_000_000, 0)}
	for name, wasm := range files {
		s.put(name, wasm)
	}
	r, cfg := newUpstream(t)
	s.log = r.log
	cfg.Dirs, cfg.Observer = []string{s.dir}, s.events
	var err error
	if s.Host, err = New(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// put writes a file, with a time of its own however coarse the clock is.
func (s *shelf) put(name string, wasm []byte) {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	s.stamp = s.stamp.Add(time.Second)
	if err := errors.Join(os.WriteFile(path+".new", wasm, 0o600), os.Chtimes(path+".new", s.stamp, s.stamp), os.Rename(path+".new", path)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) rescan() {
	s.t.Helper()
	if err := s.Rescan(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) bind(ref string) upstream.Provider {
	s.t.Helper()
	p, err := s.Bind(s.t.Context(), ref, Binding{Tenant: "octo", Settings: map[string]any{"x": "1"}})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// fault returns the text of the only fault.
func (s *shelf) fault() string {
	s.t.Helper()
	faults := s.Faults()
	if len(faults) != 1 {
		s.t.Fatalf("faults %v, want one", faults)
	}
	return faults[0].Err.Error()
}

func version(p upstream.Provider) string { return p.Describe().Version }

func named(name, version string, hosts ...string) []byte {
	return handmade{}.plugin(manifestOf(name, version, anySettings, hosts...))
}

func TestNewFileIsLoadedWithoutRestart(t *testing.T) {
	s := newShelf(t, nil)
	if _, err := s.Bind(t.Context(), "tiny", Binding{}); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v", err)
	}
	s.put("tiny.wasm", named("tiny", "1.0.0"))
	s.rescan()
	if v := version(s.bind("tiny")); v != "1.0.0" {
		t.Errorf("version %s", v)
	}
	s.rescan()
	if got := s.events.changes(); !slices.Equal(got, []string{PluginLoaded}) {
		t.Errorf("changes %v", got)
	}
}

func TestReplacedFileIsSwapped(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": named("tiny", "1.0.0")})
	p, pinned := s.bind("tiny"), s.bind("tiny@"+Digest(named("tiny", "1.0.0")))
	old, err := p.(*bound).enter() // a conversation that goes on meanwhile
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1.1.0", "0.9.0"} { // to an older one too, if that is what is there
		s.put("tiny.wasm", named("tiny", v))
		s.rescan()
		if version(p) != v || version(pinned) != "1.0.0" {
			t.Fatalf("versions %s and %s, want %s and the pinned one", version(p), version(pinned), v)
		}
	}
	if n := len(s.Modules()); n != 2 {
		t.Errorf("%d modules, want the new one and the pinned one", n)
	}
	if _, err := old.converse(t.Context(), "check", nil, nil); err != nil {
		t.Errorf("the running conversation: %v", err)
	}
	old.module.release()
	runtime.KeepAlive(pinned)
	want := []string{PluginLoaded, PluginLoaded, PluginSwapped, PluginLoaded, PluginSwapped, PluginRetired}
	if got := s.events.changes(); !slices.Equal(got, want) {
		t.Errorf("changes %v, want %v", got, want)
	}
}

func TestOldGenerationDrains(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": named("tiny", "1.0.0")})
	p := s.bind("tiny")
	old, err := p.(*bound).enter()
	if err != nil {
		t.Fatal(err)
	}
	s.put("tiny.wasm", named("tiny", "1.1.0"))
	s.rescan()
	if _, err := old.converse(t.Context(), "check", nil, nil); err != nil {
		t.Errorf("it was closed under a conversation: %v", err)
	}
	// Who held the old one and comes too late is led to the new one.
	b := &bound{name: "tiny"}
	b.current.Store(old)
	for old.module.acquire() == nil {
		old.module.release()
	}
	if _, err := b.enter(); upstream.KindOf(err) != upstream.Unavailable || err == nil {
		t.Errorf("a closed module is entered: %v", err)
	}
	old.module.release()
	s.retiring.Wait()
	if _, err := old.module.pool.take(t.Context()); !errors.Is(err, errClosed) {
		t.Errorf("the old generation is not closed: %v", err)
	}
	if now, err := p.(*bound).enter(); err != nil || now.module == old.module {
		t.Errorf("the next conversation: %v", err)
	} else {
		now.module.release()
	}
}

func TestBadReplacementIsRefused(t *testing.T) {
	picky := handmade{}.plugin(manifestOf("tiny", "2.0.0", `{"properties":{"y":{"type":"string"}},"required":["y"]}`))
	good := named("tiny", "1.0.0")
	for name, tt := range map[string]struct {
		wasm []byte
		want string
	}{
		"cut off":  {named("tiny", "2.0.0")[:200], "cut off or damaged"},
		"lying":    {AppendManifest(good, []byte(manifestOf("tiny", "2.0.0", anySettings))), "not what describe returns"},
		"settings": {picky, "tenant octo, plugin tiny: settings.x: unknown; known are: y"},
		"wider":    {named("tiny", "2.0.0", "a.example", "b.example"), "waits for the operator"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, map[string][]byte{"tiny.wasm": named("tiny", "1.0.0", "a.example")})
			p := s.bind("tiny")
			s.put("tiny.wasm", tt.wasm)
			s.rescan()
			if version(p) != "1.0.0" || !strings.Contains(s.fault(), tt.want) || !strings.Contains(s.fault(), "tiny.wasm") {
				t.Fatalf("version %s, fault %q, want the old one and %q", version(p), s.fault(), tt.want)
			}
			if got := s.events.changes(); !slices.Equal(got, []string{PluginLoaded, PluginRefused}) {
				t.Errorf("changes %v", got)
			}
			if v := version(s.bind("tiny")); v != "1.0.0" {
				t.Errorf("a new tenant gets %s", v)
			}
			s.put("tiny.wasm", named("tiny", "3.0.0", "a.example"))
			s.rescan()
			if version(p) != "3.0.0" || len(s.Faults()) != 0 {
				t.Errorf("repaired: version %s, faults %v", version(p), s.Faults())
			}
		})
	}
}

func TestWiderRightsWaitForReload(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": named("tiny", "1.0.0", "a.example")})
	p := s.bind("tiny")
	s.put("tiny.wasm", named("tiny", "1.1.0", "a.example", "b.example"))
	s.rescan()
	s.rescan()
	if !errors.Is(s.Faults()[0].Err, ErrWidened) || !strings.Contains(s.fault(), "octo would reach b.example") {
		t.Errorf("fault %s", s.fault())
	}
	if err := s.Reload(t.Context()); err != nil || version(p) != "1.1.0" || len(s.Faults()) != 0 {
		t.Errorf("after Reload: %v, version %s, faults %v", err, version(p), s.Faults())
	}
}

// A setting's default is a right too: the manifest names the same setting.
func TestWiderDefaultWaits(t *testing.T) {
	schema := func(host string) string {
		return `{"additionalProperties":true,"properties":{"host":{"type":"string","default":"` + host + `"}}}`
	}
	file := func(version, host string) []byte {
		return handmade{}.plugin(manifestOf("tiny", version, schema(host), "{settings.host}"))
	}
	s := newShelf(t, map[string][]byte{"tiny.wasm": file("1.0.0", "a.example")})
	p := s.bind("tiny")
	s.put("tiny.wasm", file("1.1.0", "evil.example"))
	s.rescan()
	if version(p) != "1.0.0" || !errors.Is(s.Faults()[0].Err, ErrWidened) {
		t.Errorf("version %s, faults %v", version(p), s.Faults())
	}
}

func TestRemovedFileServesWhomItHas(t *testing.T) {
	s := newShelf(t, map[string][]byte{"a.wasm": named("tiny", "1.0.0"), "b.wasm": named("tiny", "2.0.0"), "c.wasm": named("other", "1.0.0")})
	p := s.bind("tiny")
	for _, name := range []string{"b.wasm", "c.wasm"} { // one with an older one beside it, one that nobody uses
		os.Remove(filepath.Join(s.dir, name))
	}
	s.rescan()
	if version(p) != "1.0.0" || len(s.Modules()) != 1 {
		t.Errorf("version %s, %d modules", version(p), len(s.Modules()))
	}
	os.Remove(filepath.Join(s.dir, "a.wasm"))
	s.rescan()
	other := s.bind("tiny")
	if version(p) != "1.0.0" || version(other) != "1.0.0" {
		t.Error("the last one is gone under its tenants")
	}
	s.Release(p, other)
	s.rescan()
	if _, err := s.Lookup("tiny"); !errors.Is(err, ErrNotFound) || len(s.Modules()) != 0 {
		t.Errorf("a removed file without tenants stays: %v", err)
	}
}

func TestChangedNameIsAnotherProvider(t *testing.T) {
	s := newShelf(t, map[string][]byte{"a.wasm": named("tiny", "1.0.0", "a.example")})
	p := s.bind("tiny")
	s.put("a.wasm", named("github", "9.0.0", "evil.example"))
	s.rescan()
	if d := p.Describe(); d.Name != "tiny" || d.Version != "1.0.0" {
		t.Errorf("the tenant was moved to %s %s", d.Name, d.Version)
	}
	if _, err := s.Lookup("github"); err != nil {
		t.Errorf("the new name: %v", err)
	}
}

func TestTwoVersionsSideBySide(t *testing.T) {
	one, two := named("tiny", "1.0.0"), named("tiny", "2.0.0")
	s := newShelf(t, map[string][]byte{"a.wasm": one})
	p, pinned := s.bind("tiny"), s.bind("tiny@"+Digest(one))
	s.put("b.wasm", two)
	s.rescan()
	if version(p) != "2.0.0" || version(pinned) != "1.0.0" {
		t.Errorf("versions %s and %s", version(p), version(pinned))
	}
	if v := version(s.bind("tiny@" + Digest(two))); v != "2.0.0" {
		t.Errorf("pinned to the new one: %s", v)
	}
}

func TestUnreadableFolderKeepsWhatThereIs(t *testing.T) {
	s := newShelf(t, map[string][]byte{"a.wasm": named("tiny", "1.0.0")})
	p := s.bind("tiny")
	os.RemoveAll(s.dir)
	if err := s.Rescan(t.Context()); err == nil || version(p) != "1.0.0" || len(s.Modules()) != 1 {
		t.Errorf("%v, %d modules", err, len(s.Modules()))
	}
}

func TestWatchTakesUpWhatChanges(t *testing.T) {
	s := newShelf(t, nil)
	s.events.tell = make(chan PluginEvent, 8)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Watch(ctx) }()
	for _, v := range []string{"1.0.0", "1.1.0"} {
		s.put("tiny.wasm", named("tiny", v))
		select {
		case e := <-s.events.tell:
			if e.Change != PluginLoaded || e.Version != v {
				t.Errorf("got %+v", e)
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was noticed")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestSwapUnderLoad(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": named("tiny", "1.0.0")})
	p := s.bind("tiny")
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				// The answer is no document, which is the guest's fault; that the
				// module is gone would be ours.
				_, err := p.(*bound).check(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 20 {
		s.put("tiny.wasm", named("tiny", "1.0."+string(rune('1'+n%9))))
		s.rescan()
	}
	stop()
	wg.Wait()
}

func (b *bound) check(ctx context.Context) (string, error) {
	p, err := b.enter()
	if err != nil {
		return "", err
	}
	defer p.module.release()
	out, err := p.converse(ctx, "check", nil, nil)
	return string(out), err
}

func TestPluginWithoutSecretURLsIsMarkedAndStrictRefusesIt(t *testing.T) {
	older := named("tiny", "1.0.0")
	newer := handmade{}.plugin(strings.Replace(manifestOf("tiny", "1.1.0", anySettings), `"abi":"1.0"`, `"abi":"1.2"`, 1))
	s := newShelf(t, map[string][]byte{"tiny.wasm": older})
	if log := s.log.String(); !strings.Contains(log, "may send the client secret to each of its hosts") || !strings.Contains(log, "plugins/strict") {
		t.Errorf("log: %s", log)
	}
	s = newShelf(t, map[string][]byte{"tiny.wasm": newer})
	if log := s.log.String(); strings.Contains(log, "client secret") {
		t.Errorf("log: %s", log)
	}
	_, cfg := newUpstream(t)
	cfg.Dirs, cfg.Strict = []string{t.TempDir()}, true
	for name, wasm := range map[string][]byte{"older.wasm": older, "newer.wasm": newer} {
		if err := os.WriteFile(filepath.Join(cfg.Dirs[0], name), wasm, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close(context.Background()) })
	faults := host.Faults()
	if len(faults) != 1 || !strings.Contains(faults[0].Err.Error(), "older.wasm: its ABI is 1.0, which has no secret_urls, and plugins/strict is on") {
		t.Errorf("faults %v", faults)
	}
}

// widening is a manifest with what TestWhateverWidensWaits varies.
func widening(version, scopes, can, secretURLs string) []byte {
	return handmade{}.plugin(`{"abi":"1.2","name":"tiny","version":"` + version + `","display_name":"Tiny","settings":` + anySettings +
		`,"hosts":["a.example"],"secret_urls":` + secretURLs + `,"scopes":` + scopes + `,"capabilities":` + can + `,"refresh":{}}`)
}

func TestWhateverWidensWaits(t *testing.T) {
	const (
		scopes = `[{"name":"read","default":true},{"name":"write"}]`
		can    = `{"pkce":true,"refresh":false,"revoke":false,"identity":true}`
		urls   = `["https://a.example/token"]`
	)
	for name, tt := range map[string]struct {
		wider []byte
		want  string // empty: it waits for nothing
		named []string
	}{
		"the same":                   {widening("1.1.0", scopes, can, urls), "", nil},
		"a default scope":            {widening("1.1.0", `[{"name":"read","default":true},{"name":"write","default":true}]`, can, urls), "ask users for the scope write", nil},
		"that the tenant leaves out": {widening("1.1.0", `[{"name":"read","default":true},{"name":"write","default":true}]`, can, urls), "", []string{"read"}},
		"a default scope less":       {widening("1.1.0", `[{"name":"read"},{"name":"write"}]`, can, urls), "", nil},
		"a capability":               {widening("1.1.0", scopes, `{"pkce":true,"refresh":true,"revoke":true,"identity":true}`, urls), "be able to refresh; be able to revoke", nil},
		"no PKCE":                    {widening("1.1.0", scopes, `{"pkce":false,"refresh":false,"revoke":false,"identity":true}`, urls), "log in without PKCE", nil},
		"a place for secrets":        {widening("1.1.0", scopes, can, `["https://a.example/token","https://a.example/profile"]`), "send the client secret to https://a.example:443/profile", nil},
		"another document":           {widening("1.1.0", scopes, can, `["https://a.example/token","discovery:https://a.example"]`), "send the client secret where this document says: https://a.example:443/", nil},
		"another audience":           {widening("1.1.0", scopes, can, `["https://a.example/token","issuer:https://b.example"]`), "sign assertions for https://b.example", nil},
		"an ABI without secret_urls": {handmade{}.plugin(manifestOf("tiny", "1.1.0", anySettings, "a.example")), "send the client secret to each of its hosts", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t, map[string][]byte{"tiny.wasm": widening("1.0.0", scopes, can, urls)})
			p, err := s.Bind(t.Context(), "tiny", Binding{Tenant: "octo", Scopes: tt.named})
			if err != nil {
				t.Fatal(err)
			}
			s.put("tiny.wasm", tt.wider)
			s.rescan()
			if tt.want == "" {
				if version(p) != "1.1.0" || len(s.Faults()) > 0 {
					t.Errorf("version %s, faults %v", version(p), s.Faults())
				}
				return
			}
			if version(p) != "1.0.0" || !errors.Is(s.Faults()[0].Err, ErrWidened) || !strings.Contains(s.fault(), "tenant octo would "+tt.want) {
				t.Errorf("version %s, fault %s", version(p), s.fault())
			}
			if err := s.Reload(t.Context()); err != nil || version(p) != "1.1.0" || len(s.Faults()) != 0 {
				t.Errorf("after Reload: %v, version %s, faults %v", err, version(p), s.Faults())
			}
		})
	}
}

// What is in force decides: a tenant's binding of before a reload of the
// configuration counts for nothing, whether or not it was collected.
func TestReleasedProviderDoesNotDecide(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": named("tiny", "1.0.0", "a.example", "b.example")})
	binding := Binding{Tenant: "octo", Hosts: []string{"a.example", "c.example"}}
	before, err := s.Bind(t.Context(), "tiny", binding)
	if err != nil {
		t.Fatal(err)
	}
	binding.Hosts = []string{"a.example"}
	now, err := s.Bind(t.Context(), "tiny", binding)
	if err != nil {
		t.Fatal(err)
	}
	s.Release(before)
	s.put("tiny.wasm", named("tiny", "1.1.0", "a.example", "c.example"))
	s.rescan()
	if version(now) != "1.1.0" || len(s.Faults()) > 0 {
		t.Errorf("version %s, faults %v: the policy that was narrowed decides", version(now), s.Faults())
	}
	if version(before) != "1.0.0" { // keeps it alive until here
		t.Errorf("version %s of what was released", version(before))
	}
}

func TestRemovedFileOfAPluginInUseIsAWarning(t *testing.T) {
	s := newShelf(t, map[string][]byte{"a.wasm": named("tiny", "1.0.0"), "copy.wasm": named("tiny", "1.0.0"), "unused.wasm": named("other", "1.0.0")})
	p := s.bind("tiny")
	for _, name := range []string{"copy.wasm", "unused.wasm"} { // the same file is there still; no tenant names it
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.rescan()
	if log := s.log.String(); strings.Contains(log, "in use was removed") {
		t.Errorf("log: %s", log)
	}
	if err := os.Remove(filepath.Join(s.dir, "a.wasm")); err != nil {
		t.Fatal(err)
	}
	s.rescan()
	if log := s.log.String(); !strings.Contains(log, "[WARN]  the file of a plugin in use was removed") || !strings.Contains(log, "tenants=octo") {
		t.Errorf("log: %s", log)
	}
	if version(p) != "1.0.0" {
		t.Errorf("version %s", version(p))
	}
}

// A FIFO in the plugin folder keeps nothing waiting.
func TestOnlyRegularFilesAreRead(t *testing.T) {
	s := newShelf(t, map[string][]byte{"tiny.wasm": named("tiny", "1.0.0")})
	if err := syscall.Mkfifo(filepath.Join(s.dir, "fifo.wasm"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.rescan()
	if !strings.Contains(s.fault(), "fifo.wasm is not a regular file") {
		t.Errorf("fault %s", s.fault())
	}
}
