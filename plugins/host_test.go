package plugins

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/sdk/abi"
)

func TestBadFilesAreRefusedOneByOne(t *testing.T) {
	good := probeBytes(t)
	bare := withoutSection(good, abi.ManifestSection)
	other := strings.Replace(`{"abi":"1.0","name":"probe","version":"9.9.9","display_name":"x","hosts":["a.example"]}`, "x", "Probe", 1)
	bad := map[string]struct {
		wasm []byte
		want string
	}{
		"empty":     {nil, "no core WebAssembly module"},
		"text":      {[]byte("hello"), "no core WebAssembly module"},
		"component": {[]byte("\x00asm\x0d\x00\x01\x00"), "no core WebAssembly module"},
		"truncated": {good[:len(good)/2], "cut off or damaged"},
		"nosection": {bare, "0 custom sections"},
		"twice":     {append(append([]byte(nil), good...), good[len(bare):]...), "2 custom sections"},
		"otherjson": {AppendManifest(bare, []byte(other)), "is not what describe returns"},
		"badjson":   {AppendManifest(bare, []byte("{")), "not the JSON"},
		"badname":   {AppendManifest(bare, []byte(`{"abi":"2.0","name":"Probe!","version":"x","hosts":["https://a"]}`)), "use 1 to 63 lower-case letters"},
		"marker":    {AppendManifest(tiny("sallyport_provider_v9", 1), []byte(tinyManifest)), "speaks another version of the boundary (sallyport_provider_v9)"},
		"nomarker":  {AppendManifest(tiny("other", 1), []byte(tinyManifest)), "does not export the function sallyport_provider_v1"},
		"signature": {AppendManifest(tiny(abi.ExportMarker, 0), []byte(tinyManifest)), "sallyport_alloc has another signature"},
		"import":    {AppendManifest(importing(), []byte(tinyManifest)), "imports env.open_socket"},
		"mute":      {AppendManifest(tiny(abi.ExportMarker, 1), []byte(tinyManifest)), "output is shorter"},
		"garbage":   {AppendManifest([]byte(wasmHeader+sec(3, "\xff\xff")), []byte(tinyManifest)), "malformed"},
		"large":     {make([]byte, MaxModule+1), "larger than 16 MiB"},
	}
	dir := t.TempDir()
	for name, b := range bad {
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), b.wasm, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, cfg := newUpstream(t)
	cfg.Dirs = []string{probeDir(t), dir}
	host, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close(context.Background())
	if _, err := host.Lookup("probe"); err != nil {
		t.Errorf("the good one: %v", err)
	}
	got := map[string]string{}
	for _, f := range host.Faults() {
		got[strings.TrimSuffix(filepath.Base(f.Path), ".wasm")] = f.Err.Error()
	}
	for name, b := range bad {
		if !strings.Contains(got[name], b.want) || !strings.Contains(got[name], name+".wasm") {
			t.Errorf("%s: got %q, want it to name the file and %q", name, got[name], b.want)
		}
	}
	if len(got) != len(bad) {
		t.Errorf("%d faults of %d", len(got), len(bad))
	}
}

func TestLookupByNameAndPin(t *testing.T) {
	a := probeBytes(t)
	b := append(append([]byte(nil), a...), sec(0, str("note")+"another build")...)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "a.wasm"), a, 0o600)
	os.WriteFile(filepath.Join(dir, "copy.wasm"), a, 0o600)
	os.WriteFile(filepath.Join(dir, "b.wasm"), b, 0o600)
	r := newLoadedRig(t, func(c *Config) { c.Dirs = []string{dir} })
	if n := len(r.host.Modules()); n != 2 {
		t.Fatalf("%d modules, want 2", n)
	}
	for _, wasm := range [][]byte{a, b} {
		m, err := r.host.Lookup("probe@" + Digest(wasm))
		if err != nil || m.Digest() != Digest(wasm) {
			t.Errorf("pin: %v", err)
		}
	}
	m, err := r.host.Lookup("probe")
	if err != nil || m.Digest() != min(Digest(a), Digest(b)) {
		t.Errorf("plain name: %v", err)
	}
	if _, err := r.host.Lookup("probe@sha256:00"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown digest: %v", err)
	}
	if _, err := r.host.Lookup("nope"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "probe@sha256:") {
		t.Errorf("unknown name: %v", err)
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	order := []string{"0.9", "1.0.0-alpha", "1.0.0-beta", "1.0.0", "1.2.0", "1.10.0", "2"}
	for i, a := range order {
		for j, b := range order {
			if got := compareVersions(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
}

func TestDamagedCacheCostsOneRecompile(t *testing.T) {
	h := handmade{}
	for range 300 { // enough to be damaged in the middle of code
		h.functions = append(h.functions, function{code: growByOne})
	}
	dir, cache := t.TempDir(), filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(filepath.Join(dir, "tiny.wasm"), h.plugin(manifestOf("tiny", "1.0.0", anySettings)), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() string {
		r, cfg := newUpstream(t)
		cfg.Dirs, cfg.CacheDir = []string{dir}, cache
		host, err := New(t.Context(), cfg)
		if err != nil || len(host.Faults()) > 0 {
			t.Fatal(err, host.Faults())
		}
		defer host.Close(context.Background())
		if _, err := host.Bind(t.Context(), "tiny", Binding{}); err != nil {
			t.Error(err)
		}
		return r.log.String()
	}
	start()
	if info, err := os.Stat(cache); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("cache folder: %v, %v", info.Mode(), err)
	}
	damaged := 0
	filepath.WalkDir(cache, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, _ := os.ReadFile(path)
		if len(b) > 1000 {
			b[len(b)/2] ^= 0xff
			damaged++
		}
		return os.WriteFile(path, b, 0o600)
	})
	if damaged == 0 {
		t.Fatal("nothing was cached")
	}
	if log := start(); !strings.Contains(log, "compiling anew") {
		t.Errorf("no word of it in the log: %s", log)
	}
	if log := start(); strings.Contains(log, "compiling anew") {
		t.Error("the damage outlived one recompile")
	}
}

func TestOldCompiledCodeIsDeleted(t *testing.T) {
	cache := t.TempDir()
	used, old, other := filepath.Join(cache, codeName([]byte("a"))), filepath.Join(cache, codeName([]byte("b"))), filepath.Join(cache, "mine")
	now := startTime()
	for dir, age := range map[string]time.Duration{used: cacheAge / 2, old: cacheAge + time.Hour, other: 2 * cacheAge} {
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chtimes(dir, now.Add(-age), now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	host, err := New(t.Context(), Config{CacheDir: cache, Now: startTime})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close(context.Background())
	for dir, there := range map[string]bool{used: true, old: false, other: true} {
		if _, err := os.Stat(dir); (err == nil) != there {
			t.Errorf("%s: %v", filepath.Base(dir), err)
		}
	}
}

func TestInspectAndDescribeBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.wasm")
	os.WriteFile(path, probeBytes(t), 0o600)
	info, err := Inspect(path)
	if err != nil || info.Manifest.Name != "probe" || info.Digest != Digest(probeBytes(t)) {
		t.Errorf("%+v, %v", info, err)
	}
	r := newRig(t)
	m, err := r.host.DescribeBytes(t.Context(), withoutSection(probeBytes(t), abi.ManifestSection))
	if err != nil || m.Name != "probe" {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestSettings(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		settings map[string]any
		want     []string
	}{
		{map[string]any{}, []string{"settings.base: missing"}},
		{map[string]any{"base": 1, "moode": "x"}, []string{"settings.base: this is of type number; use string", "settings.moode: unknown; known are: base, mode, n"}},
		{map[string]any{"base": "https://a.example", "n": 3}, []string{"settings.n: use one of [1 2]"}},
		{map[string]any{"base": "https://a.example", "n": 1.5}, []string{"settings.n: this is of type number; use integer"}},
		{map[string]any{"base": "ftp://a.example"}, []string{"settings.base: use an https URL"}},
		{map[string]any{"base": "https://a.example", "mode": "check-refuses"}, []string{"refuses its settings", "mode is wrong"}},
		{map[string]any{"base": "https://a.example", "n": 2}, nil},
	}
	for _, tt := range tests {
		_, err := r.host.Bind(t.Context(), "probe", Binding{Tenant: "octo", Settings: tt.settings})
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%v: %v", tt.settings, err)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) || !strings.Contains(err.Error(), "octo") {
				t.Errorf("%v: got %v, want %q", tt.settings, err, w)
			}
		}
	}
}
