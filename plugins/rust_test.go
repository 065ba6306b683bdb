package plugins

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

const discordDir = "../providers/discord"

// discord builds the provider in Rust once. Without a toolchain the error
// names the packages.
var discord = sync.OnceValues(func() ([]byte, error) {
	if err := readSources(); err != nil {
		return nil, err
	}
	return compileRust(context.Background(), discordDir, os.Stderr)
})

// readSources shows go test, which caches results, what they depend on: it
// sees the files that a test reads, not those that cargo does.
func readSources() error {
	for _, pattern := range []string{"../sdk/ABI.md", "../sdk/rust/*.*", "../sdk/rust/*/*.rs", discordDir + "/*.toml", discordDir + "/src/*.rs"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no sources at %s: %w", pattern, err)
		}
		for _, file := range files {
			if _, err := os.ReadFile(file); err != nil {
				return err
			}
		}
	}
	return nil
}

func discordBytes(t testing.TB) []byte {
	t.Helper()
	wasm, err := discord()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// bare is a runtime without WASI or any other import: what runs in it needs
// nothing but the byte contract.
type bare struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
}

func newBare(t testing.TB, wasm []byte) *bare {
	t.Helper()
	b := &bare{runtime: wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2&^(api.CoreFeatureReferenceTypes|api.CoreFeatureSIMD)).
		WithMemoryLimitPages(16<<20/(64<<10)))}
	t.Cleanup(func() { b.runtime.Close(context.Background()) })
	var err error
	if b.code, err = b.runtime.CompileModule(t.Context(), wasm); err != nil {
		t.Fatal(err)
	}
	return b
}

// call is one call in a fresh instance, as sdk/ABI.md says.
func (b *bare) call(ctx context.Context, doc []byte) ([]byte, error) {
	mod, err := b.runtime.InstantiateModule(ctx, b.code, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	defer mod.Close(ctx)
	in, err := mod.ExportedFunction(abi.ExportAlloc).Call(ctx, uint64(len(doc)))
	if err != nil {
		return nil, err
	}
	if in[0] == 0 || !mod.Memory().Write(uint32(in[0]), doc) {
		return nil, fmt.Errorf("no room for %d bytes", len(doc))
	}
	packed, err := mod.ExportedFunction(abi.ExportCall).Call(ctx, uint64(len(doc)))
	if err != nil {
		return nil, err
	}
	view, ok := mod.Memory().Read(uint32(packed[0]>>32), uint32(packed[0]))
	if !ok {
		return nil, errors.New("a pointer outside the memory")
	}
	return slices.Clone(view), nil
}

// TestRustModule holds a module that no line of Go went into to the contract:
// its imports and exports.
func TestRustModule(t *testing.T) {
	wasm := discordBytes(t)
	code := newBare(t, wasm).code
	if n := len(code.ImportedFunctions()) + len(code.ImportedMemories()); n != 0 {
		t.Errorf("%d imports", n)
	}
	names := slices.Sorted(maps.Keys(code.ExportedFunctions()))
	if want := []string{abi.ExportAlloc, abi.ExportCall, abi.ExportMarker}; !slices.Equal(names, want) {
		t.Errorf("exports %q, want %q", names, want)
	}
	if _, ok := code.ExportedMemories()[abi.ExportMemory]; !ok {
		t.Error("the memory is not exported")
	}
	if len(wasm) > 250<<10 {
		t.Errorf("the module has %d bytes", len(wasm))
	}
}

// TestRustTranscripts replays the provider's transcripts in the sandbox: a
// provider in Rust has no other place where a Go test can run it.
func TestRustTranscripts(t *testing.T) {
	b := newBare(t, discordBytes(t))
	files, _ := filepath.Glob(filepath.Join(discordDir, "testdata", "*.txtar"))
	if len(files) == 0 {
		t.Fatal("no transcripts")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sdktest.Replay(func(doc []byte) ([]byte, error) { return b.call(t.Context(), doc) }, string(data))
			switch {
			case err != nil:
				t.Fatal(err)
			case got == string(data):
			case os.Getenv("SDKTEST_UPDATE") != "": // as package sdktest has it
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			default:
				t.Fatalf("%s (- expected, + said):\n%s", file, sdktest.Diff(string(data), got))
			}
		})
	}
}

// TestRustDocuments: whatever is wrong with an input comes back as an error,
// and no trap; the longest document allowed has room.
func TestRustDocuments(t *testing.T) {
	b := newBare(t, discordBytes(t))
	head := func(text string) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
	}
	for name, doc := range map[string][]byte{
		"short":      {1},
		"cut off":    {255, 255, 255, 255, '{'},
		"no JSON":    head("{"),
		"no UTF-8":   head("{\"op\":\"\xff\"}"),
		"deep":       head(strings.Repeat("[", 100_000)),
		"other type": head(`{"op":1,"now":"x","steps":{},"client":[],"settings":7,"input":null}`),
		"body":       head(`{"op":"describe","steps":[{"body_len":18446744073709551615}]}`),
	} {
		out, err := b.call(t.Context(), doc)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer, _, err := sdktest.DecodeOutput(out); err != nil || answer.Error == nil || answer.Error.Kind != abi.KindBug {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	large := append(head(`{"op":"describe","steps":[{"status":200,"body_len":4000000}]}`), make([]byte, 4_000_000)...)
	if out, err := b.call(t.Context(), large); err != nil || !strings.Contains(string(out), `"name":"discord"`) {
		t.Errorf("4 MB: %.200q, %v", out, err)
	}
	if _, err := b.call(t.Context(), make([]byte, 4<<20+1)); err == nil {
		t.Error("more than 4 MiB has room")
	}
}

// rustHost is a host with the module in its folder, as an operator has it.
func rustHost(t testing.TB) *Host {
	t.Helper()
	wasm := discordBytes(t)
	out, err := newBare(t, wasm).call(t.Context(), []byte("\x11\x00\x00\x00{\"op\":\"describe\"}"))
	if err != nil {
		t.Fatal(err)
	}
	answer, _, err := sdktest.DecodeOutput(out)
	if err != nil || answer.Error != nil {
		t.Fatalf("%s, %v", out, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "discord.wasm"), AppendManifest(wasm, answer.Result), 0o600); err != nil {
		t.Fatal(err)
	}
	host, err := New(t.Context(), Config{Dirs: []string{dir}, CacheDir: filepath.Join(scratch, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close(context.Background()) })
	for _, f := range host.Faults() {
		t.Fatal(f.Err)
	}
	return host
}

var rustBinding = Binding{Tenant: "guild", ClientID: "1234567890", RedirectURI: "https://guild.example/callback"}

// TestRustPlugin loads the module and asks it, as a tenant does.
func TestRustPlugin(t *testing.T) {
	host := rustHost(t)
	m, err := host.Lookup("discord")
	if err != nil {
		t.Fatal(err)
	}
	if manifest := m.Manifest(); manifest.DisplayName != "Discord" || !slices.Equal(manifest.Hosts, []string{"discord.com"}) || !manifest.Refresh.Rotates {
		t.Errorf("manifest %+v", manifest)
	}
	p, err := host.Bind(t.Context(), "discord", rustBinding)
	if err != nil {
		t.Fatal(err)
	}
	where, err := p.Authorize(t.Context(), upstream.AuthorizeRequest{State: "st", Scopes: []string{"identify"}, CodeChallenge: "ch"})
	if err != nil || !strings.HasPrefix(where, "https://discord.com/oauth2/authorize?") || !strings.Contains(where, "&state=st&code_challenge=ch") {
		t.Errorf("%s, %v", where, err)
	}
}

// TestRustSDK runs the crate's own tests, natively.
func TestRustSDK(t *testing.T) {
	if err := readSources(); err != nil {
		t.Fatal(err)
	}
	cmd, err := cargo(t.Context(), "../sdk/rust", "test", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestRustMissing: without a toolchain the error says what to install.
func TestRustMissing(t *testing.T) {
	if (rust{cargo: "cargo-that-is-nowhere", rustc: "rustc"}).works(t.Context()) || (rust{cargo: "true", rustc: "rustc-that-is-nowhere"}).works(t.Context()) ||
		(rust{cargo: "true", rustc: "true"}).works(t.Context()) {
		t.Error("a toolchain without a part works")
	}
	for _, name := range []string{"libstd-rust-dev-wasm32", "librust-serde-json-dev", "lld-14", "make need-rust"} {
		if !strings.Contains(errNoRust.Error(), name) {
			t.Errorf("the error does not name %s", name)
		}
	}
}

// BenchmarkRustAuthorize is one run through the host; BenchmarkStep is the same
// for a guest in Go.
func BenchmarkRustAuthorize(b *testing.B) {
	p, err := rustHost(b).Bind(b.Context(), "discord", rustBinding)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Authorize(b.Context(), upstream.AuthorizeRequest{State: "s", CodeChallenge: "c"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRustStep is one call of the module in Rust, pooled with fuel and
// reset as the host runs it, and in a fresh instance of a bare runtime: the
// document with the upstream's answers so far.
func BenchmarkRustStep(b *testing.B) {
	guest := newBare(b, discordBytes(b))
	transcript, err := os.ReadFile(filepath.Join(discordDir, "testdata", "exchange.txtar"))
	if err != nil {
		b.Fatal(err)
	}
	var docs [][]byte // describe and each step, twice each: see sdktest.Replay
	_, err = sdktest.Replay(func(doc []byte) ([]byte, error) {
		docs = append(docs, slices.Clone(doc))
		return guest.call(b.Context(), doc)
	}, string(transcript))
	if err != nil {
		b.Fatal(err)
	}
	module, err := rustHost(b).Lookup("discord")
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(docs); i += 2 {
		b.Run(fmt.Sprintf("pooled/%d", i/2), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := module.run(b.Context(), docs[i], system()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("fresh/%d", i/2), func(b *testing.B) {
			for b.Loop() {
				if _, err := guest.call(b.Context(), docs[i]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
