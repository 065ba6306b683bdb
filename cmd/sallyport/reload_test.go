package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/seal"
)

func TestCompareTenants(t *testing.T) {
	text := func(s string) config.Secret { return config.NewSecret(s) }
	before := &config.Config{Server: config.Server{URL: "https://{tenant}.example"}, Tenants: map[string]config.Tenant{
		"same": {ClientSecret: text("a")}, "secret": {ClientSecret: text("a")}, "gone": {}, "moved": {},
	}}
	after := &config.Config{Server: before.Server, Tenants: map[string]config.Tenant{
		"same": {ClientSecret: text("a")}, "secret": {ClientSecret: text("b")}, "new": {}, "moved": {URL: "https://elsewhere.example"},
	}}
	added, removed, changed := compareTenants(before, after)
	if !slices.Equal(added, []string{"new"}) || !slices.Equal(removed, []string{"gone"}) || !slices.Equal(changed, []string{"moved", "secret"}) {
		t.Errorf("added %v, removed %v, changed %v", added, removed, changed)
	}
	after.Server.URL = "https://example.org/{tenant}"
	if _, _, changed := compareTenants(before, after); !slices.Contains(changed, "same") {
		t.Errorf("changed %v; all have another URL now", changed)
	}
}

func TestKeepFixed(t *testing.T) {
	served := &config.Config{
		Server: config.Server{Listen: ":1", URL: "https://a.example/{tenant}"}, Store: config.NewSecret("bolt:///a"),
		Keys: []config.Secret{config.NewSecret("k1")}, Plugins: config.Plugins{Dir: "/p"},
	}
	read := *served
	read.CacheTTL = time.Second
	read.Server.Listen, read.Server.URL, read.Keys = ":2", "https://b.example/{tenant}", []config.Secret{config.NewSecret("k2")}
	differ := config.KeepFixed(served, &read)
	if want := "server/listen cache_ttl keys"; strings.Join(differ, " ") != want {
		t.Errorf("differ %v, want %s", differ, want)
	}
	if read.Server.Listen != ":1" || read.CacheTTL != 0 || read.Keys[0].Reveal() != "k1" {
		t.Error("what cannot change did")
	}
	if read.Server.URL != "https://b.example/{tenant}" {
		t.Error("the tenants' URL is theirs and may change")
	}
}

// What a reload does not apply is checked all the same, so that the next start
// does not fail where the reload said nothing.
func TestReloadChecksWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	valid := config.Config{
		Keys: []config.Secret{config.NewSecret(seal.NewKey().Reveal())}, Store: config.NewSecret("bolt:///var/lib/sallyport/state.db"),
		Audit: "stdout", Plugins: config.Plugins{Dir: t.TempDir()},
	}
	if err := checkFixed(&valid); err != nil {
		t.Errorf("valid: %v", err)
	}
	for want, change := range map[string]func(*config.Config){
		"keys/0":              func(c *config.Config) { c.Keys = []config.Secret{config.NewSecret("short")} },
		"store: ":             func(c *config.Config) { c.Store = config.NewSecret("redis://host:6379/0?prefx=a") },
		"is not a regular":    func(c *config.Config) { c.Store = config.NewSecret("bolt://" + c.Plugins.Dir) },
		"audit: ":             func(c *config.Config) { c.Audit = filepath.Join(c.Plugins.Dir, "missing", "audit.jsonl") },
		"plugins/dir: ":       func(c *config.Config) { c.Plugins.Dir = filepath.Join(c.Plugins.Dir, "missing") },
		"server/trusted_prox": func(c *config.Config) { c.Server.TrustedProxies = []string{"10.0.0.0"} },
	} {
		c := valid
		change(&c)
		if err := checkFixed(&c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestConcerns: neither the database beside the file nor a touched file make
// the server read its configuration.
func TestConcerns(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "real", "sallyport.yaml"), filepath.Join(dir, "sallyport.yaml")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Plugins: config.Plugins{Dir: "/plugins/"}}
	for name, tt := range map[string]struct {
		event  fsnotify.Event
		failed bool
		want   bool
	}{
		"the file":                     {fsnotify.Event{Name: link, Op: fsnotify.Create}, false, true},
		"what it links to":             {fsnotify.Event{Name: file, Op: fsnotify.Write}, false, true},
		"its mode":                     {fsnotify.Event{Name: link, Op: fsnotify.Chmod}, false, false},
		"its neighbour":                {fsnotify.Event{Name: filepath.Join(dir, "state.db"), Op: fsnotify.Write}, false, false},
		"Kubernetes":                   {fsnotify.Event{Name: filepath.Join(dir, "..data"), Op: fsnotify.Create}, false, true},
		"a plugin":                     {fsnotify.Event{Name: "/plugins/a.wasm", Op: fsnotify.Create}, false, false},
		"a plugin that may be missing": {fsnotify.Event{Name: "/plugins/a.wasm", Op: fsnotify.Create}, true, true},
	} {
		r := &reloader{cfg: cfg, failed: tt.failed}
		if got := r.concerns(tt.event, spellings([]string{link})); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
