package loader

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport/sallyport/plugins/wasi"
	"github.com/sallyport/sallyport/sdk/abi"
)

// scratch holds what the tests share: the built guest and the compiled code.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "loader-test-*")
	if err != nil {
		log.Fatal(err)
	}
	scratch = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// github builds the provider for GitHub once.
var github = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(scratch, "github.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = filepath.Join("..", "..", "providers", "github")
	cmd.Env = append(cmd.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
})

func githubBytes(t testing.TB) []byte {
	t.Helper()
	wasm, err := github()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func rewrite(t testing.TB, wasm []byte, limits Limits) ([]byte, Info) {
	t.Helper()
	out, info, err := Rewrite(wasm, limits)
	if err != nil {
		t.Fatal(err)
	}
	return out, info
}

const features = api.CoreFeaturesV2 &^ (api.CoreFeatureReferenceTypes | api.CoreFeatureSIMD)

// newRuntime is the engine as package plugins has it.
func newRuntime(t testing.TB) wazero.Runtime {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().
		WithCompilationCache(sharedCache()).
		WithCoreFeatures(features).
		WithMemoryLimitPages(256))
	if err := wasi.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(ctx) })
	return r
}

// sharedCache keeps what was compiled for as long as the tests run.
var sharedCache = sync.OnceValue(wazero.NewCompilationCache)

func guestContext(ctx context.Context) context.Context {
	return wasi.With(ctx, wasi.NewSystem(time.Unix(1_800_000_000, 0), [32]byte{7}, wasi.NewLog(8<<10)))
}

func compile(t testing.TB, r wazero.Runtime, wasm []byte) wazero.CompiledModule {
	t.Helper()
	c, err := r.CompileModule(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func instantiate(t testing.TB, r wazero.Runtime, c wazero.CompiledModule) api.Module {
	t.Helper()
	mod, err := r.InstantiateModule(guestContext(t.Context()), c,
		wazero.NewModuleConfig().WithName("").WithStartFunctions(abi.ExportInitialize))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mod.Close(context.Background()) })
	return mod
}

// describeDocument is the input of the describe operation.
func describeDocument() []byte {
	head, _ := json.Marshal(abi.Input{ABI: abi.Version, Op: abi.OpDescribe, Steps: []abi.Step{}, StepsLeft: 8})
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(head))), head...)
}

// callGuest gives a document to a guest and returns what it answers.
func callGuest(t testing.TB, mod api.Module, doc []byte) string {
	t.Helper()
	ctx := guestContext(t.Context())
	at, err := mod.ExportedFunction(abi.ExportAlloc).Call(ctx, uint64(len(doc)))
	if err != nil || !mod.Memory().Write(uint32(at[0]), doc) {
		t.Fatal("alloc failed: ", err)
	}
	packed, err := mod.ExportedFunction(abi.ExportCall).Call(ctx, uint64(len(doc)))
	if err != nil {
		t.Fatal(err)
	}
	view, ok := mod.Memory().Read(uint32(packed[0]>>32), uint32(packed[0]))
	if !ok {
		t.Fatal("the answer lies outside of the memory")
	}
	return string(view)
}

func exported(t testing.TB, mod api.Module, name string) api.MutableGlobal {
	t.Helper()
	g, ok := mod.ExportedGlobal(name).(api.MutableGlobal)
	if !ok {
		t.Fatalf("no mutable global %s", name)
	}
	return g
}

func setFuel(t testing.TB, mod api.Module, n int64) { exported(t, mod, FuelExport).Set(uint64(n)) }

func fuel(t testing.TB, mod api.Module) int64 { return int64(exported(t, mod, FuelExport).Get()) }

func depth(t testing.TB, mod api.Module) int64 { return int64(exported(t, mod, DepthExport).Get()) }
