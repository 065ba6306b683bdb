package plugins

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// BuildOptions say what to build.
type BuildOptions struct {
	Dir string    // the provider's package folder
	Out string    // the plugin file to write
	Log io.Writer // what the compiler prints; nil: nowhere
	Go  string    // the go command; empty: go, from the path
}

// Build compiles a provider to a plugin: the stock toolchain, then describe,
// whose answer becomes the manifest section. The file appears whole or not at
// all.
func Build(ctx context.Context, o BuildOptions) (Info, error) {
	tmp, err := os.MkdirTemp(filepath.Dir(o.Out), ".build-*")
	if err != nil {
		return Info{}, fmt.Errorf("plugins: build: %w", err)
	}
	defer os.RemoveAll(tmp)
	wasm, err := o.compile(ctx, filepath.Join(tmp, "module.wasm"))
	if err != nil {
		return Info{}, fmt.Errorf("plugins: build %s: %w", o.Dir, err)
	}
	manifest, text, err := describe(ctx, Config{}.withDefaults(), wasm)
	if err != nil {
		return Info{}, fmt.Errorf("plugins: build %s: %w", o.Dir, err)
	}
	wasm = AppendManifest(wasm, text)
	whole := filepath.Join(tmp, "plugin.wasm")
	if err := os.WriteFile(whole, wasm, 0o644); err != nil {
		return Info{}, fmt.Errorf("plugins: build: %w", err)
	}
	if err := os.Rename(whole, o.Out); err != nil {
		return Info{}, fmt.Errorf("plugins: build: %w", err)
	}
	return Info{o.Out, Digest(wasm), len(wasm), manifest}, nil
}

// compile runs the go command; the flags leave paths and versions out, so that
// the same sources give the same digest.
func (o BuildOptions) compile(ctx context.Context, out string) ([]byte, error) {
	if isRust(o.Dir) {
		return compileRust(ctx, o.Dir, o.Log)
	}
	out, err := filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, cmp.Or(o.Go, "go"), "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = o.Dir
	cmd.Env = append(cmd.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = o.Log, o.Log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("the go command failed: %w", err)
	}
	return os.ReadFile(out)
}
