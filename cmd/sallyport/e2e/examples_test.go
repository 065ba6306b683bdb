package e2e

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// examples is the folder with what a reader can run.
const examples = "../../../config/examples/"

// exampleServer tells the story of an example MCP server behind the gateway:
// it knows nothing of OAuth, and its tool answers for whoever logged in.
func exampleServer(command func(context.Context, *testing.T) *exec.Cmd) func(context.Context, *testing.T, *world, site) {
	return func(ctx context.Context, t *testing.T, w *world, s site) {
		cmd := command(ctx, t)
		cmd.Args = append(cmd.Args, "0", w.upstream+"/user")
		server := start(t, "the server", cmd)
		backend := server.url(t)
		go func() { _, _ = io.Copy(io.Discard, server.out) }()
		// It serves until it is told to stop.
		t.Cleanup(func() { _ = cmd.Process.Kill() })

		octo := w.octo(s)
		octo.Backend = strings.TrimSuffix(backend, "/mcp")
		g := newGateway(ctx, t, w, s, boltStore(t), octo)
		client := connect(ctx, t, g.mcpURL(octo.Name), w.signIn)
		got, err := client.Whoami(ctx)
		// GitHub's API has a login and a number where Profile has sub.
		if want := (demo.Profile{Name: "Grace Hopper", Email: w.user.Email}); err != nil || got != want {
			t.Errorf("whoami: expected %+v, got %+v (%v)", want, got, err)
		}
		if resp := whoami(ctx, t, g.mcpURL(octo.Name), "made-up"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("a made-up token: %s", resp.Status)
		}
	}
}

// typeScriptExample runs a copy, beside the modules that its package.json would
// have npm install.
func typeScriptExample(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"server.ts", "package.json"} {
		copyFile(t, examples+"servers/typescript/"+name, filepath.Join(dir, name))
	}
	modules, err := filepath.Abs("node/node_modules")
	if err == nil {
		err = os.Symlink(modules, filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(ctx, installed(t, "node/node_modules/.bin/node"), filepath.Join(dir, "server.ts"))
}

func pythonExample(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(ctx, installed(t, "python/.venv/bin/python"), examples+"servers/python/server.py")
}

func goExample(ctx context.Context, t *testing.T) *exec.Cmd {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "server")
	run(t, "go", "build", "-o", bin, examples+"servers/go")
	return exec.CommandContext(ctx, bin)
}
