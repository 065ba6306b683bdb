package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

func demoCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole loop on this computer: an upstream, an MCP server, two tenants",
		Long: "Demo starts an upstream with a login page, a sample MCP server that uses its API,\n" +
			"and Sallyport in front with two tenants, all on loopback, and prints what to\n" +
			"paste into an MCP client. With --check it is the client itself, walks the whole\n" +
			"loop and stops.",
		Example: "  sallyport demo\n  sallyport demo --check\n  sallyport demo --backend http://127.0.0.1:9000/mcp",
		Args:    cobra.NoArgs,
	}
	check := cmd.Flags().Bool("check", false, "drive the loop as a client would, print each step and stop")
	listenAt := cmd.Flags().String("listen", "127.0.0.1:8080", "loopback `address` of the front door; another port is taken if it is in use")
	pluginsDir := cmd.Flags().String("plugins-dir", "plugins/dist", "`folder` with oauth2.wasm (make plugins)")
	backend := cmd.Flags().String("backend", "", "`URL` of an MCP server of your own, behind the tenants in place of the sample")
	cmd.MarkFlagsMutuallyExclusive("check", "backend") // what it checks is the sample's answers
	data := cmd.Flags().String("data", "", "`folder` for the store, the key and the config; default: a temporary one, removed at the end")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		d := &demoRun{sys: sys, out: cmd.OutOrStdout(), check: *check, listen: *listenAt, plugins: *pluginsDir, data: *data, backend: *backend}
		return d.run(cmd.Context())
	})
	return cmd
}

// demoRun is one run of the demo.
type demoRun struct {
	sys           system
	out           io.Writer
	check         bool
	listen        string
	plugins, data string
	backend       string // URL; empty: the sample
}

// apps are the two tenants' registrations at the demo upstream.
var demoTenants = [2]string{"music", "listening"}

func (d *demoRun) run(ctx context.Context) (err error) {
	if d.plugins, err = filepath.Abs(d.plugins); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.plugins, "oauth2.wasm")); err != nil {
		return fmt.Errorf("there is no oauth2.wasm in %s; build it with: make plugins", d.plugins)
	}
	if d.data == "" {
		if d.data, err = os.MkdirTemp("", "sallyport-demo-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.data)) }()
	} else if d.data, err = filepath.Abs(d.data); err != nil {
		return err
	}
	front, err := d.frontAddress()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	up, upURL, err := d.startUpstream(ctx, front)
	if err != nil {
		return err
	}
	if d.backend == "" {
		sample, err := background(ctx, demo.NewBackend(upURL, nil))
		if err != nil {
			return err
		}
		d.backend = sample + "/mcp"
	}
	file, err := d.writeConfig(front, upURL)
	if err != nil {
		return err
	}
	return d.runGateway(ctx, stop, file, up, upURL)
}

// runGateway runs Sallyport on the written config, as serve would.
func (d *demoRun) runGateway(ctx context.Context, stop func(), file string, up *demo.Upstream, upURL string) error {
	cfg, err := config.Load(config.Options{Files: []string{file}})
	if err != nil {
		return err
	}
	dep, err := assemble(ctx, cfg, d.sys)
	if err != nil {
		return err
	}
	checked := make(chan error, 1)
	ready := func(net.Addr) {
		if !d.check {
			d.welcome(cfg, file, upURL)
			return
		}
		go func() {
			checked <- d.drive(ctx, cfg, up, upURL)
			stop()
		}()
	}
	err = dep.serve(ctx, ready)
	if d.check && err == nil {
		err = <-checked
	}
	return errors.Join(err, dep.close())
}

// frontAddress is a free loopback address, the wished one if possible.
func (d *demoRun) frontAddress() (string, error) {
	host, _, err := net.SplitHostPort(d.listen)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("--listen %s: the demo listens on a loopback address and port only, such as 127.0.0.1:8080", d.listen)
	}
	wished := d.listen
	if d.check {
		wished = net.JoinHostPort(host, "0")
	}
	l, err := net.Listen("tcp", wished)
	if err != nil {
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", err
		}
	}
	return l.Addr().String(), l.Close()
}

// startUpstream serves the demo upstream with an app for each tenant.
func (d *demoRun) startUpstream(ctx context.Context, front string) (*demo.Upstream, string, error) {
	cfg := demo.UpstreamConfig{Users: demo.Users(), TokenLifetime: 5 * time.Minute}
	for _, name := range demoTenants {
		cfg.Apps = append(cfg.Apps, demo.App{
			ID: name + "-app", Secret: name + "-secret", Name: "Sallyport " + name,
			RedirectURI: "http://" + front + "/" + name + tenant.CallbackPath,
		})
	}
	up := demo.NewUpstream(cfg)
	address, err := background(ctx, up)
	return up, address, err
}

// background serves h on a free loopback port until ctx ends.
func background(ctx context.Context, h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.Serve(l) }()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return "http://" + l.Addr().String(), nil
}

// demoConfig is what an operator would write by hand.
var demoConfig = template.Must(template.New("").Parse(`# written by: sallyport demo
server:
  listen: "{{.Front}}"
  operator_listen: "off"
  drain_delay: 0s
  url: "http://{{.Front}}/{tenant}"
log: { level: {{.LogLevel}} }
audit: "{{.Data}}/audit.jsonl"
store: "bolt://{{.Data}}/state.db"
keys: ["${file:{{.Data}}/key}"]
plugins:
  dir: "{{.Plugins}}"
  private_hosts: ["{{.UpstreamHost}}"]   # http and loopback, for this upstream only
tenants:
{{- range .Tenants}}
  {{.}}:
    name: "Demo {{.}}"
    provider: oauth2
    settings:
      display_name: "Demo Music"
      authorize_url: "{{$.Upstream}}/oauth/authorize"
      token_url: "{{$.Upstream}}/oauth/token"
      revoke_url: "{{$.Upstream}}/oauth/revoke"
      userinfo_url: "{{$.Upstream}}/userinfo"
    client_id: {{.}}-app
    client_secret: {{.}}-secret
    scopes: [profile, playlists]
    backend: "{{$.Backend}}"
{{- end}}
`))

// writeConfig writes the key and the config to the data folder.
func (d *demoRun) writeConfig(front, upURL string) (string, error) {
	if err := os.MkdirAll(d.data, 0o700); err != nil {
		return "", err
	}
	keyFile := filepath.Join(d.data, "key")
	if _, err := os.Stat(keyFile); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(keyFile, []byte(seal.NewKey().Reveal()+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	level := "warn"
	if !d.check {
		level = "info"
	}
	var text strings.Builder
	err := demoConfig.Execute(&text, map[string]any{
		"Front": front, "Data": d.data, "Plugins": d.plugins, "Upstream": upURL,
		"UpstreamHost": strings.TrimPrefix(upURL, "http://"), "Backend": d.backend, "Tenants": demoTenants, "LogLevel": level,
	})
	if err != nil {
		return "", err
	}
	file := filepath.Join(d.data, "sallyport.yaml")
	return file, os.WriteFile(file, []byte(text.String()), 0o600)
}

// welcome says what to do next.
func (d *demoRun) welcome(cfg *config.Config, file, upURL string) {
	first := cfg.TenantURL(demoTenants[0]) + "/mcp"
	fmt.Fprintf(d.out, `
Sallyport is running with two tenants:

  %s
  %s/mcp

Paste one into an MCP client, or:

  claude mcp add --transport http demo-music %s

Expect: the client opens a browser, Sallyport asks for your consent, the demo
upstream asks who you are (ada, grace or alan; no password), and the client
then has the tools of the MCP server at %s,
which answer for that user.

The config it runs: %s
The audit log:      %s
The upstream's API: %s
Stop with Ctrl-C.

`, first, cfg.TenantURL(demoTenants[1]), first, d.backend, file, cfg.Audit, upURL+demo.UserinfoPath)
}

// drive is the client of --check.
func (d *demoRun) drive(ctx context.Context, cfg *config.Config, up *demo.Upstream, upURL string) error {
	c := &demo.Check{
		Out: d.out, Upstream: up, UpstreamURL: upURL,
		Tenants: [2]demo.CheckTenant{
			{Name: demoTenants[0], URL: cfg.TenantURL(demoTenants[0]) + "/mcp", Login: "ada"},
			{Name: demoTenants[1], URL: cfg.TenantURL(demoTenants[1]) + "/mcp", Login: "grace", ProtocolVersion: "2025-11-25"},
		},
	}
	return c.Run(ctx)
}
