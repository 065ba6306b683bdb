package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/sallyport/sallyport/core/seal"
)

// octo is the tenant of most stories: GitHub, through github.wasm.
const octo = "octo"

// tenant is one in the config of a Sallyport here.
type tenant struct {
	Name, Provider string
	Settings       string   // YAML
	App            string   // client id
	Secret         string   // of the app
	Scopes         string   // YAML
	Tools          []string // scopes that whoami needs
	Upstream       string   // URL; its host becomes a private host
	Backend        string   // URL without the path; empty: the server is elsewhere
	Resource       string   // URL of a server elsewhere, whose resource server is edge
	More           []string // keys of the tenant's beyond these, a line of YAML each
}

// gateway is a running `sallyport serve` on files of its own.
type gateway struct {
	site

	t       *testing.T
	world   *world
	store   string   // URL
	url     string   // of all tenants, if not below front
	environ []string // of the process; nothing from outside
	drain   string   // server/drain_delay; empty: not in the config
	dir     string   // holds the config, the key and the plugins
	private []string // hosts of the upstreams
	tenants []tenant

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	out  output
	busy sync.Mutex // held while a chaos kills it or changes its configuration
}

// newGateway starts a Sallyport with these tenants that ends with the test.
func newGateway(ctx context.Context, t *testing.T, w *world, s site, store string, tenants ...tenant) *gateway {
	t.Helper()
	g := prepareGateway(t, w, s, store, seal.NewKey(), tenants...)
	if err := g.start(ctx); err != nil {
		t.Fatal(err)
	}
	return g
}

// prepareGateway lays the files of a Sallyport, for start to start it.
func prepareGateway(t *testing.T, w *world, s site, store string, key seal.Key, tenants ...tenant) *gateway {
	t.Helper()
	g := &gateway{site: s, t: t, world: w, store: store, dir: t.TempDir(), out: newOutput(t), drain: "0s"}
	if err := os.MkdirAll(g.pluginDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range tenants {
		g.add(tenant)
	}
	if err := os.WriteFile(filepath.Join(g.dir, "key"), []byte(key.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			t.Logf("sallyport said:\n%s", g.out.tail())
		}
	})
	return g
}

func (g *gateway) pluginDir() string { return filepath.Join(g.dir, "plugins") }
func (g *gateway) readyz() string    { return "http://" + g.operator + "/readyz" }

// add drops in a tenant's plugin; the tenant itself is there after a start.
func (g *gateway) add(t tenant) {
	g.t.Helper()
	file := t.Provider + ".wasm"
	copyFile(g.t, filepath.Join(g.world.plugins, file), filepath.Join(g.pluginDir(), file))
	if host := strings.TrimPrefix(t.Upstream, "http://"); !slices.Contains(g.private, host) {
		g.private = append(g.private, host)
	}
	g.tenants = append(g.tenants, t)
}

var configFile = template.Must(template.New("").Parse(`
server:
  listen: "{{.Front}}"
  operator_listen: "{{.Operator}}"
  url: "{{.URL}}"
{{- if .Drain}}
  drain_delay: {{.Drain}}
{{- end}}
audit: stderr
store: "{{.Store}}"
keys: ["${file:{{.Dir}}/key}"]
plugins:
  dir: "{{.Dir}}/plugins"
  cache_dir: "{{.Cache}}"
  private_hosts: [{{range .Private}}"{{.}}", {{end}}]
tenants:
{{range .Tenants}}  {{.Name}}:
    provider: {{.Provider}}
    settings: {{.Settings}}
    client_id: "{{.App}}"
    client_secret: "{{.Secret}}"
    scopes: {{.Scopes}}
    tools: { {{if .Tools}}whoami: [{{range .Tools}}{{.}}, {{end}}]{{end}} }
{{- if .Resource}}
    resource: "{{.Resource}}"
    resource_servers: [{ id: edge, secret: "{{.Secret}}" }]
{{- else}}
    backend: "{{.Backend}}/mcp"
{{- end}}
{{- range .More}}
    {{.}}
{{- end}}
{{end}}`))

// writeConfig writes the config and returns its path.
func (g *gateway) writeConfig() (string, error) {
	var text bytes.Buffer
	err := configFile.Execute(&text, map[string]any{
		"URL": cmp.Or(g.url, "http://"+g.front+"/{tenant}"), "Front": g.front, "Operator": g.operator, "Store": g.store, "Dir": g.dir, "Cache": g.world.cache, "Drain": g.drain,
		"Private": g.private, "Tenants": g.tenants,
	})
	file := filepath.Join(g.dir, "sallyport.yaml")
	if err == nil {
		err = os.WriteFile(file, text.Bytes(), 0o600)
	}
	return file, err
}

// start starts the process on the config as it is now and waits until it says
// that it is ready.
func (g *gateway) start(ctx context.Context) error {
	file, err := g.writeConfig()
	if err != nil {
		return err
	}
	return g.run(ctx, file)
}

// run starts the process on a config and waits until it says that it is ready.
func (g *gateway) run(ctx context.Context, file string) error {
	g.cmd = exec.Command(g.world.bin, "serve", "-c", file)
	g.cmd.Env = append([]string{}, g.environ...) // not nil, which is the environment outside
	g.cmd.Stdout, g.cmd.Stderr = g.out.File, g.out.File
	if err := g.cmd.Start(); err != nil {
		g.cmd = nil
		return err
	}
	g.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // stop looks at the exit code
		close(done)
	}(g.cmd, g.done)
	if until(ctx, g.done, func() bool { return status(ctx, g.readyz()) == http.StatusOK }) {
		return nil
	}
	if ctx.Err() == nil {
		g.cmd = nil // it has ended
	}
	return errors.New("sallyport does not start")
}

// stop ends the process as an init system would, which it has to survive with
// exit code 0. Stopping a stopped one does nothing.
func (g *gateway) stop() {
	g.t.Helper()
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended by itself
	select {
	case <-g.done:
	case <-time.After(patience):
		_ = g.cmd.Process.Kill()
		<-g.done
	}
	if code := g.cmd.ProcessState.ExitCode(); code != 0 {
		g.t.Errorf("sallyport ended with %v after SIGTERM", g.cmd.ProcessState)
	}
	g.cmd = nil
}

// restart is a stop and a start: a new process on the same ports and data.
func (g *gateway) restart(ctx context.Context) error {
	g.t.Helper()
	g.stop()
	return g.start(ctx)
}

// until asks again and again and tells whether it was told yes before done or
// the end of ctx.
func until(ctx context.Context, done <-chan struct{}, yes func() bool) bool {
	for !yes() {
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}

// listens asks whether somebody takes connections there.
func listens(address string) func() bool {
	return func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
}

// output is the file that processes print to. What one prints before it answers
// can be read as soon as the answer is here; through a pipe it could be late.
type output struct{ *os.File }

func newOutput(t *testing.T) output {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return output{file}
}

func (o output) String() string {
	text, err := os.ReadFile(o.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// size is how many bytes were printed.
func (o output) size() int64 {
	info, err := o.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// since is what was printed after the first so many bytes.
func (o output) since(size int64) string {
	text := make([]byte, max(0, o.size()-size))
	n, err := o.ReadAt(text, size)
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return string(text[:n])
}

// tail is what fits on a few screens.
func (o output) tail() string {
	s := o.String()
	return s[max(0, len(s)-16<<10):]
}
