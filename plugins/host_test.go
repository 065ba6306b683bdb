package plugins

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk/abi"
)

// Hand-made modules.
const (
	memorySection = "\x05\x03\x01\x00\x01"
	// types: ()→(), (i32)→i32, (i32)→i64
	typeSection = "\x01\x0e\x03\x60\x00\x00\x60\x01\x7f\x01\x7f\x60\x01\x7f\x01\x7e"
)

func vec(items ...string) string {
	return string(rune(len(items))) + strings.Join(items, "")
}

func sec(id byte, body string) string { return string(appendSized([]byte{id}, []byte(body))) }

func str(s string) string { return string(appendSized(nil, []byte(s))) }

// tiny is a module with the three functions; marker names the first one, and
// alloc's type is chosen.
func tiny(marker string, allocType byte) []byte {
	exports := vec(
		str("memory")+"\x02\x00", str(marker)+"\x00\x00", str(abi.ExportAlloc)+"\x00\x01", str(abi.ExportCall)+"\x00\x02")
	body := map[byte]string{0: "\x00\x0b", 1: "\x00\x41\x10\x0b", 2: "\x00\x42\x00\x0b"}
	return []byte(wasmHeader + typeSection +
		sec(3, vec("\x00", string(allocType), "\x02")) + memorySection + sec(7, exports) +
		sec(10, vec(str(body[0]), str(body[allocType]), str(body[2]))))
}

// importing is a module that wants env.open_socket.
func importing() []byte {
	return []byte(wasmHeader + typeSection + sec(2, vec(str("env")+str("open_socket")+"\x00\x00")) + memorySection)
}

const tinyManifest = `{"abi":"1.0","name":"tiny","version":"1.0.0","display_name":"Tiny","hosts":[],"capabilities":{},"refresh":{}}`

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
		"badname":   {AppendManifest(bare, []byte(`{"abi":"2.0","name":"Probe!","version":"x","hosts":["https://a"]}`)), "use lower-case letters"},
		"marker":    {AppendManifest(tiny("sallyport_provider_v9", 1), []byte(tinyManifest)), "speaks another version of the boundary (sallyport_provider_v9)"},
		"nomarker":  {AppendManifest(tiny("other", 1), []byte(tinyManifest)), "does not export the function sallyport_provider_v1"},
		"signature": {AppendManifest(tiny(abi.ExportMarker, 0), []byte(tinyManifest)), "sallyport_alloc has another signature"},
		"import":    {AppendManifest(importing(), []byte(tinyManifest)), "imports env.open_socket"},
		"mute":      {AppendManifest(tiny(abi.ExportMarker, 1), []byte(tinyManifest)), "output is shorter"},
		"garbage":   {AppendManifest([]byte(wasmHeader+sec(3, "\xff\xff")), []byte(tinyManifest)), "cannot be compiled"},
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
	cache := filepath.Join(t.TempDir(), "cache")
	set := func(c *Config) { c.CacheDir = cache }
	newLoadedRig(t, set)
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
	r := newLoadedRig(t, set)
	if !strings.Contains(r.log.String(), "compiling anew") {
		t.Error("no word of it in the log")
	}
	if _, err := exchange(t, r.bind(t, "happy")); err != nil {
		t.Error(err)
	}
	if r = newLoadedRig(t, set); strings.Contains(r.log.String(), "compiling anew") {
		t.Error("the damage outlived one recompile")
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
		{map[string]any{"base": 1, "moode": "x"}, []string{"settings.base: this is of type integer; use string", "settings.moode: unknown; known are: base, mode, n"}},
		{map[string]any{"base": "https://a.example", "n": 3}, []string{"settings.n: use one of [1 2]"}},
		{map[string]any{"base": "https://a.example", "n": 1.5}, []string{"settings.n: this is of type number; use integer"}},
		{map[string]any{"base": "ftp://a.example"}, []string{"settings.base: use an https URL"}},
		{map[string]any{"base": "https://a.example", "mode": "check-refuses"}, []string{"refuses its settings", "mode is wrong"}},
		{map[string]any{"base": "https://a.example", "n": 2}, nil},
	}
	for _, tt := range tests {
		_, err := r.module.Bind(t.Context(), Binding{Tenant: "octo", Settings: tt.settings})
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
