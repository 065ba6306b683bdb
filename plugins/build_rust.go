package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// rustTarget has no WASI: a provider in Rust imports nothing.
const rustTarget = "wasm32-unknown-unknown"

// debianCrates is where Debian's packages put the sources of crates.
const debianCrates = "/usr/share/cargo/registry"

var errNoRust = errors.New("a provider in Rust needs cargo and a rustc with the target " + rustTarget +
	"; on Debian: apt-get install rustc cargo libstd-rust-dev-wasm32 librust-serde-json-dev lld-14 (in the sources of Sallyport: make need-rust);" +
	" elsewhere: rustup target add " + rustTarget)

// isRust tells whether a provider's folder holds a Rust crate.
func isRust(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "Cargo.toml"))
	return err == nil
}

// compileRust runs cargo on the crate in dir and returns the module. Like
// every cargo build it leaves its work in the crate's target folder, so that
// the next one takes a second.
func compileRust(ctx context.Context, dir string, log io.Writer) ([]byte, error) {
	var messages bytes.Buffer
	cmd, err := cargo(ctx, dir, "build", "--release", "--target", rustTarget, "--message-format=json-render-diagnostics")
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = &messages, log
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("cargo failed: %w", err)
	}
	module, err := artifact(&messages)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(module)
}

// artifact finds the module among the messages of cargo: the last file of a
// crate of type cdylib, as the crate in dir comes after what it depends on.
func artifact(messages io.Reader) (string, error) {
	module := ""
	for decoder := json.NewDecoder(messages); ; {
		var m struct {
			Target struct {
				CrateTypes []string `json:"crate_types"`
			} `json:"target"`
			Filenames []string `json:"filenames"`
		}
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("cargo's messages: %w", err)
		}
		for _, name := range m.Filenames {
			if slices.Contains(m.Target.CrateTypes, "cdylib") && strings.HasSuffix(name, ".wasm") {
				module = name
			}
		}
	}
	if module == "" {
		return "", errors.New(`cargo built no module; the provider's Cargo.toml needs: [lib] crate-type = ["cdylib"]`)
	}
	return module, nil
}

// rust is a toolchain.
type rust struct {
	cargo, rustc string
	needs        []string // files besides, as patterns
	args         []string // for cargo, before the subcommand
	env          []string
}

// cargo returns the command in dir, with the first toolchain that can build a
// module: the one that the environment names, as cargo itself reads it, or
// Debian's, or the one on the path. Debian's takes crates from Debian's
// packages and no network; the others take them from where they are
// configured to.
func cargo(ctx context.Context, dir string, args ...string) (*exec.Cmd, error) {
	environ := (&exec.Cmd{}).Environ()
	named := rust{cargo: "cargo", rustc: "rustc"}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "CARGO" && value != "":
			named.cargo = value
		case name == "RUSTC" && value != "":
			named.rustc = value
		}
	}
	fromPath := rust{cargo: "cargo", rustc: "rustc"}
	candidates := []rust{named, debianRust(), fromPath}
	if named.cargo == fromPath.cargo && named.rustc == fromPath.rustc {
		candidates = candidates[1:]
	}
	for _, r := range candidates {
		if r.works(ctx) {
			cmd := exec.CommandContext(ctx, r.cargo, append(r.args, args...)...)
			cmd.Dir = dir
			// Debian's cargo would otherwise run the rustc on the path.
			cmd.Env = append(append(environ, "RUSTC="+r.rustc), r.env...)
			return cmd, nil
		}
	}
	return nil, errNoRust
}

func debianRust() rust {
	return rust{
		cargo: "/usr/bin/cargo", rustc: "/usr/bin/rustc",
		needs: []string{"/usr/bin/rust-lld", debianCrates + "/serde_json-1.*"},
		env:   []string{"RUSTDOC=/usr/bin/rustdoc"},
		args: []string{"--offline",
			"--config", `source.crates-io.replace-with="debian"`,
			"--config", `source.debian.directory="` + debianCrates + `"`},
	}
}

// works tells whether the toolchain is complete. A rustc without the target's
// library still knows where it would be.
func (r rust) works(ctx context.Context) bool {
	if _, err := exec.LookPath(r.cargo); err != nil {
		return false
	}
	libraries, err := exec.CommandContext(ctx, r.rustc, "--print", "target-libdir", "--target", rustTarget).Output()
	if err != nil {
		return false
	}
	for _, file := range append([]string{strings.TrimSpace(string(libraries))}, r.needs...) {
		if !exists(file) {
			return false
		}
	}
	return true
}

// exists tells whether pattern names a file; a link to nothing is none.
func exists(pattern string) bool {
	files, _ := filepath.Glob(pattern)
	return slices.ContainsFunc(files, func(file string) bool {
		_, err := os.Stat(file)
		return err == nil
	})
}
