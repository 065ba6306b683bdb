package e2e

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/resource"
	"github.com/sallyport/sallyport/core/seal"
)

// tools is the tenant of the examples of proxies.
const tools = "tools"

var traefik = flag.String("traefik", "", "the Traefik for TestProxies, which no package that tests may install has; empty: its example is not run")

// TestProxies runs the very files of config/examples/proxies in the programs
// that they are for, on addresses of this test: proxies in front of Sallyport,
// behind it, and beside it, asking by forward auth.
func TestProxies(t *testing.T) {
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	run(t, "go", "build", "-o", w.bin, "..")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oauth2")
	stories := map[string]func(context.Context, *testing.T, *world){
		"nginx in front":             nginxInFront,
		"nginx behind":               nginxBehind,
		"nginx asks by auth_request": nginxAsks,
		"Envoy asks by ext_authz":    envoyAsks,
		"a server asks with curl":    serverAsks,
		"a Go server has the gate":   serverWithGate,
	}
	if *traefik != "" {
		stories["Traefik asks by ForwardAuth"] = traefikAsks
	}
	for name, tell := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			tell(ctx, t, w)
		})
	}
}

func nginxInFront(ctx context.Context, t *testing.T, w *world) {
	s := newStage(ctx, t, w, func(s *stage) (string, tenant) {
		return "https://" + s.proxy + "/" + tools, tenant{Backend: s.server.URL}
	})
	startNginx(ctx, t, s.proxy, example(t, "nginx-in-front.conf", map[string]string{
		"127.0.0.1:8080": s.g.front, "listen 443 ssl": "listen " + s.proxy + " ssl",
		"/etc/nginx/tls/mcp.example.com.pem": s.cert, "/etc/nginx/tls/mcp.example.com.key": s.key,
	}))
	s.works(ctx, t, "https://"+s.proxy+"/"+tools+"/mcp")
}

func nginxBehind(ctx context.Context, t *testing.T, w *world) {
	s := newStage(ctx, t, w, func(s *stage) (string, tenant) { return "", tenant{Backend: "http://" + s.proxy} })
	startNginx(ctx, t, s.proxy, example(t, "nginx-behind.conf", map[string]string{
		"127.0.0.1:9001": s.server.Listener.Addr().String(), "listen 10.0.0.9:9000": "listen " + s.proxy, "allow 10.0.0.8": "allow 127.0.0.1",
	}))
	s.works(ctx, t, s.g.mcpURL(tools))
}

func nginxAsks(ctx context.Context, t *testing.T, w *world) {
	asks(ctx, t, w, func(s *stage) {
		file := filepath.Join(t.TempDir(), "edge.conf")
		if err := os.WriteFile(file, []byte(`proxy_set_header Proxy-Authorization "`+proof()+`";`), 0o600); err != nil {
			t.Fatal(err)
		}
		startNginx(ctx, t, s.proxy, example(t, "nginx-auth-request.conf", map[string]string{
			"127.0.0.1:8080": s.g.front, "127.0.0.1:9090": s.g.operator, "127.0.0.1:9000": s.server.Listener.Addr().String(), "mcp.example.com;": s.g.front + ";",
			"listen 443 ssl": "listen " + s.proxy + " ssl", "/etc/nginx/sallyport-edge.conf": file,
			"/etc/nginx/tls/tools.example.com.pem": s.cert, "/etc/nginx/tls/tools.example.com.key": s.key,
		}))
	})
}

func envoyAsks(ctx context.Context, t *testing.T, w *world) {
	asks(ctx, t, w, func(s *stage) {
		port := func(address string) string {
			return "address: 127.0.0.1, port_value: " + address[strings.LastIndexByte(address, ':')+1:]
		}
		file := filepath.Join(t.TempDir(), "envoy.yaml")
		text := example(t, "envoy.yaml", map[string]string{
			"address: 127.0.0.1, port_value: 8080": port(s.g.front), "address: 127.0.0.1, port_value: 9090": port(s.g.operator),
			"address: 127.0.0.1, port_value: 9000": port(s.server.Listener.Addr().String()), `"127.0.0.1:9000"`: `"` + s.server.Listener.Addr().String() + `"`, "address: 0.0.0.0, port_value: 443": port(s.proxy),
			"http://127.0.0.1:9090": "http://" + s.g.operator, "host_rewrite_literal: mcp.example.com": `host_rewrite_literal: "` + s.g.front + `"`,
			"/etc/envoy/tools.example.com.pem": s.cert, "/etc/envoy/tools.example.com.key": s.key,
			"Basic ZWRnZTpzZWNyZXQ=": proof(),
		})
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		startProxy(ctx, t, s.proxy, exec.Command(installed(t, "envoy/.venv/bin/envoy"),
			"-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"))
	})
}

func traefikAsks(ctx context.Context, t *testing.T, w *world) {
	asks(ctx, t, w, func(s *stage) {
		file := filepath.Join(t.TempDir(), "traefik.yaml")
		text := example(t, "traefik.yaml", map[string]string{
			"http://127.0.0.1:8080": "http://" + s.g.front, "http://127.0.0.1:9090": "http://" + s.g.operator, "http://127.0.0.1:9000": s.server.URL,
			"Host(`tools.example.com`)": "Host(`127.0.0.1`)", "Host: mcp.example.com": `Host: "` + s.g.front + `"`, "Basic ZWRnZTpzZWNyZXQ=": proof(),
		}) + fmt.Sprintf("\ntls: { stores: { default: { defaultCertificate: { certFile: %q, keyFile: %q } } } }\n", s.cert, s.key)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		startProxy(ctx, t, s.proxy, exec.Command(*traefik, "--entrypoints.websecure.address="+s.proxy,
			"--entrypoints.websecure.http.aliasheadersstrategy=delete", "--providers.file.filename="+file,
			"--global.sendanonymoususage=false", "--global.checknewversion=false", "--log.level=WARN"))
		// It listens before it has read the file.
		serves := func() bool {
			res, err := s.client.Get("https://" + s.proxy + "/mcp")
			if err == nil {
				_ = res.Body.Close()
			}
			return err == nil && res.StatusCode == http.StatusUnauthorized
		}
		if !until(ctx, nil, serves) {
			t.Fatal("Traefik takes no route from the example")
		}
	})
}

// serverAsks runs the commands of the examples' README. Nobody is at the
// resource's address: they are what a server there would do.
func serverAsks(ctx context.Context, t *testing.T, w *world) {
	s := newStage(ctx, t, w, func(s *stage) (string, tenant) { return "", tenant{Resource: "https://" + s.proxy + "/mcp"} })
	said := map[string]string{}
	for command := range strings.SplitSeq(example(t, "../README.md", map[string]string{"https://mcp.example.com": "http://" + s.g.front}), "```sh\n") {
		command, _, _ = strings.Cut(command, "```")
		if !strings.HasPrefix(command, "curl") {
			continue
		}
		cmd := exec.CommandContext(ctx, "sh", "-euc", command)
		cmd.Env = append(os.Environ(), "EDGE_SECRET="+secret, "TOKEN="+narrowToken(ctx, t, s.g))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s%v\n%s", command, err, out)
		}
		said[strings.Fields(command)[len(strings.Fields(command))-1]] = string(out)
	}
	for last, want := range map[string]string{
		`"token=$TOKEN"`:         `"aud":"https://` + s.proxy + `/mcp"`,
		`"subject_token=$TOKEN"`: `"access_token":"demo_at_`,
		"http://" + s.g.front + "/.well-known/oauth-protected-resource/tools/mcp": `"resource":"https://` + s.proxy + `/mcp"`,
	} {
		if !strings.Contains(said[last], want) {
			t.Errorf("%s: %s", last, said[last])
		}
	}
}

// serverWithGate logs in at an MCP server that is nowhere near the gateway.
func serverWithGate(ctx context.Context, t *testing.T, w *world) {
	var own string
	s := newStage(ctx, t, w, func(s *stage) (string, tenant) {
		own = "http://" + s.proxy + "/mcp"
		return "", tenant{Resource: own}
	})
	ask := fetch.New(fetch.Config{PrivateHosts: []string{s.g.front}})
	t.Cleanup(ask.Close)
	gate, err := resource.New(resource.Config{Issuer: s.g.tenantURL(tools), Resource: own, ID: "edge", Secret: seal.NewSecret(secret), Fetch: ask})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/mcp", gate.Middleware(s.server.Config.Handler))
	mux.Handle(gate.MetadataPath(), gate.Metadata())
	listener, err := net.Listen("tcp", s.proxy)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })

	token := s.logIn(ctx, t, own)
	s.streams(ctx, t, own, token)
	if res := post(ctx, t, direct, own, "made-up"); res.StatusCode != http.StatusUnauthorized || !strings.Contains(res.Header.Get("WWW-Authenticate"), gate.MetadataURL()) {
		t.Errorf("a made-up token: %s %v", res.Status, res.Header)
	}
	s.g.stop()
	if res := post(ctx, t, direct, own, "another"); res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("without Sallyport: %s", res.Status)
	}
}

// proof is the Proxy-Authorization of a proxy that asks.
func proof() string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("edge:"+secret)) }

// asks tells the story that is the same with every proxy that asks.
func asks(ctx context.Context, t *testing.T, w *world, start func(*stage)) {
	t.Helper()
	var resource string
	s := newStage(ctx, t, w, func(s *stage) (string, tenant) {
		resource = "https://" + s.proxy + "/mcp"
		return "", tenant{Resource: resource, Tools: []string{"playlists"}, More: []string{`mcp_revision: "2026-07-28"`}}
	})
	start(s)
	token := s.works(ctx, t, resource) // the challenge and the metadata lead the SDK to the login

	metadata := `Bearer resource_metadata="https://` + s.proxy + `/.well-known/oauth-protected-resource/mcp", scope="profile playlists"`
	less := narrowToken(ctx, t, s.g)
	// A lie, about a call: it gets past the gate, and no further than the server.
	lie := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/list"}
	for what, c := range map[string]struct {
		token     string
		headers   []string
		status    int
		challenge string // its beginning; empty: there is none
	}{
		"no token":                       {"", nil, 401, metadata},
		"a made-up token":                {"made-up", nil, 401, metadata + `, error="invalid_token"`},
		"too little scope":               {less, nil, 403, metadata + `, error="insufficient_scope"`},
		"a list, as the headers say":     {less, lie, 400, ""},
		"a script of a strange origin":   {token, []string{"Origin", "https://evil.example"}, 403, ""},
		"a proof that a client brings":   {"", []string{"Proxy-Authorization", proof()}, 401, metadata},
		"an assertion of a client's own": {"", []string{"X-Sallyport-Assertion", "forged"}, 401, metadata},
	} {
		s.server.got.Store(nil)
		res := post(ctx, t, s.client, resource, c.token, c.headers...)
		challenges := res.Header.Values("WWW-Authenticate")
		if res.StatusCode != c.status || len(challenges) > 1 || (len(challenges) == 1) != (c.challenge != "") || !strings.HasPrefix(strings.Join(challenges, ""), c.challenge) {
			t.Errorf("%s: %s %q", what, res.Status, challenges)
		}
		if passed := s.server.got.Load() != nil; passed != (c.challenge == "" && c.status != 403) {
			t.Errorf("%s: reached the MCP server: %v", what, passed)
		}
	}
	// The client itself, with a token that counts: at the proxy and at Sallyport.
	for _, address := range []string{"https://" + s.proxy + "/sallyport", "https://" + s.proxy + "/forward-auth/tools", s.g.tenantURL(tools) + "/forward-auth"} {
		if res := post(ctx, t, s.client, address, token); res.StatusCode < 400 || res.Header.Get("Authorization") != "" {
			t.Errorf("%s: %s %v", address, res.Status, res.Header)
		}
	}
	if res := post(ctx, t, direct, "http://"+s.g.operator+"/forward-auth/tools", token); res.StatusCode != http.StatusProxyAuthRequired || res.Header.Get("Authorization") != "" {
		t.Errorf("on the operator's listener: %s %v", res.Status, res.Header)
	}

	post(ctx, t, s.client, resource, "made-up", "X-Forwarded-For", "203.0.113.99")

	s.g.stop()
	if strings.Contains(s.g.out.String(), "203.0.113.99") {
		t.Error("a client's own X-Forwarded-For names the sender in Sallyport's audit log")
	}
	if res := post(ctx, t, s.client, resource, token); res.StatusCode < 500 || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("without Sallyport: %s", res.Status)
	}
}

// narrowToken is an access token for less than is offered.
func narrowToken(ctx context.Context, t *testing.T, g *gateway) string {
	t.Helper()
	id, err := registerAt(ctx, direct, g.tenantURL(tools))
	if err != nil {
		t.Fatal(err)
	}
	code, err := codeFor(ctx, demo.NewBrowser(demo.SignIn("grace"), nil), g.tenantURL(tools), id, "profile")
	if err != nil {
		t.Fatal(err)
	}
	c := &copyOf{url: g.tenantURL(tools), clientID: id, client: direct}
	if status, err := c.redeem(ctx, code); err != nil || c.access == "" {
		t.Fatal(status, err)
	}
	return c.access
}
