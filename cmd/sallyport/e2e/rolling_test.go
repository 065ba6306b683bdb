package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// What a rolling restart goes on under.
const (
	rollingStreams = 50
	rollingRate    = 200 // calls a second
)

// TestRollingRestart restarts two replicas on one Redis, one after the other,
// while clients call and hold streams: no call fails, streams end as complete
// answers, and the SDKs' clients open them again. The proxies are nginx, which
// learns of a replica that is gone when it connects, and Envoy, which asks
// /readyz.
func TestRollingRestart(t *testing.T) {
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	run(t, "go", "build", "-o", w.bin, "..")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oauth2")
	for name, front := range map[string]func(context.Context, *testing.T, *rolling){
		"nginx, which finds out when it connects": rollingNginx,
		"Envoy, which asks for readyz":            rollingEnvoy,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			r := startRolling(ctx, t, w)
			front(ctx, t, r)
			r.roll(ctx, t)
		})
	}
}

// rolling is two replicas behind a proxy.
type rolling struct {
	replicas []*gateway
	proxy    string // host:port
	url      string // of the tenant
	backend  *notifier
	healthy  func(ctx context.Context, n int) bool // waits until the proxy uses n replicas
}

func startRolling(ctx context.Context, t *testing.T, w *world) *rolling {
	t.Helper()
	r := &rolling{proxy: loopback.Free(t), healthy: func(context.Context, int) bool { return true }}
	r.url = "http://" + r.proxy + "/" + tools
	up := httptest.NewServer(demo.NewUpstream(demo.UpstreamConfig{TokenLifetime: time.Hour, Apps: []demo.App{
		{ID: tools, Secret: secret, Name: "Sallyport", RedirectURI: r.url + "/callback"},
	}}))
	t.Cleanup(up.Close)
	r.backend = newNotifier(up.URL)
	backend := httptest.NewServer(r.backend)
	t.Cleanup(backend.Close)
	store, key := "redis://"+storetest.StartRedis(t).Addr, seal.NewKey()
	for range 2 {
		g := prepareGateway(t, w, site{front: loopback.Free(t), operator: loopback.Free(t)}, store, key, tenant{
			Name: tools, Provider: "oauth2", App: tools, Secret: secret, Scopes: "[profile]", Upstream: up.URL, Backend: backend.URL,
			Settings: fmt.Sprintf(`{ authorize_url: "%[1]s%[2]s", token_url: "%[1]s%[3]s", userinfo_url: "%[1]s%[4]s" }`,
				up.URL, demo.AuthorizePath, demo.TokenPath, demo.UserinfoPath),
		})
		g.url, g.drain, g.environ = "http://"+r.proxy+"/{tenant}", "2s", []string{"SALLYPORT_LIMITS__CALLS=off"}
		if err := g.start(ctx); err != nil {
			t.Fatal(err)
		}
		r.replicas = append(r.replicas, g)
	}
	return r
}

func rollingNginx(ctx context.Context, t *testing.T, r *rolling) {
	startNginx(ctx, t, r.proxy, example(t, "nginx-in-front.conf", map[string]string{
		"server 127.0.0.1:8080;": fmt.Sprintf("server %s max_fails=0; server %s max_fails=0;", r.replicas[0].front, r.replicas[1].front),
		"listen 443 ssl":         "listen " + r.proxy, "ssl_certificate ": "# ", "ssl_certificate_key ": "# ",
	}))
}

func rollingEnvoy(ctx context.Context, t *testing.T, r *rolling) {
	admin := loopback.Free(t)
	port := func(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }
	var endpoints strings.Builder
	for _, g := range r.replicas {
		fmt.Fprintf(&endpoints, `
            - endpoint:
                address: { socket_address: { address: 127.0.0.1, port_value: %s } }
                health_check_config: { address: { socket_address: { address: 127.0.0.1, port_value: %s } } }`, port(g.front), port(g.operator))
	}
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	text := fmt.Sprintf(envoyInFront, port(admin), port(r.proxy), endpoints.String())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxy(ctx, t, r.proxy, exec.Command(installed(t, "envoy/.venv/bin/envoy"),
		"-c", file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"))
	r.healthy = func(ctx context.Context, n int) bool {
		return until(ctx, nil, func() bool {
			res, err := direct.Get("http://" + admin + "/clusters")
			if err != nil {
				return false
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			return strings.Count(string(body), "health_flags::healthy") == n
		})
	}
}

// envoyInFront has the ports of the admin interface and of the listener, and the
// endpoints.
const envoyInFront = `
admin: { address: { socket_address: { address: 127.0.0.1, port_value: %s } } }
static_resources:
  listeners:
    - name: front
      address: { socket_address: { address: 127.0.0.1, port_value: %s } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                stream_idle_timeout: 3600s
                route_config:
                  virtual_hosts:
                    - { name: all, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: sallyport, timeout: 0s } }] }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
    - name: sallyport
      type: STATIC
      connect_timeout: 5s
      common_lb_config: { healthy_panic_threshold: { value: 0 } }
      health_checks:
        - { timeout: 2s, interval: 0.2s, no_traffic_interval: 0.2s, unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: /readyz } }
      load_assignment:
        cluster_name: sallyport
        endpoints:
        - lb_endpoints:%s
`

// roll restarts both replicas under load.
func (r *rolling) roll(ctx context.Context, t *testing.T) {
	t.Helper()
	if !r.healthy(ctx, len(r.replicas)) {
		t.Fatal("the proxy does not find the replicas")
	}
	token := r.token(ctx, t)
	streams := r.openStreams(ctx, t, token)
	script := &script{process: startNode(ctx, t, "client.mjs", r.url+"/mcp", demo.CallbackURL), name: "client.mjs",
		browser: demo.NewBrowser(demo.SignIn("ada"), nil), tenant: r.url}
	if _, err := script.do(ctx, "call"); err != nil {
		t.Fatal(err)
	}
	if !until(ctx, nil, func() bool { return r.backend.open.Load() == rollingStreams+1 }) {
		t.Fatalf("%d streams are open", r.backend.open.Load())
	}
	node := r.backend.node.Load()

	calls := r.startCalls(ctx, token)
	for _, g := range r.replicas {
		g.stop()
		if err := g.start(ctx); err != nil {
			t.Fatal(err)
		}
		if !r.healthy(ctx, len(r.replicas)) {
			t.Fatal("the proxy does not find the replica again")
		}
	}
	if !until(ctx, nil, func() bool { return r.backend.open.Load() == rollingStreams+1 && r.backend.node.Load() > node }) {
		t.Errorf("%d streams are open again, %d of the TypeScript SDK's were opened", r.backend.open.Load(), r.backend.node.Load())
	}
	calls.stop()

	r.backend.changeTools()
	if !until(ctx, nil, func() bool { return streams.notified() == rollingStreams }) {
		t.Errorf("%d of %d streams carry notifications again", streams.notified(), rollingStreams)
	}
	if clean, broken := streams.ends(); clean < rollingStreams || len(broken) > 0 {
		t.Errorf("%d streams ended as complete answers; broken: %d %.500q", clean, len(broken), broken)
	}
	if n, failed := calls.count(); n < rollingRate || len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %.1000q", len(failed), n, failed)
	} else {
		t.Logf("%d calls, %d streams", n, rollingStreams+1)
	}
}

// token logs in and returns an access token.
func (r *rolling) token(ctx context.Context, t *testing.T) string {
	t.Helper()
	id, err := registerAt(ctx, direct, r.url)
	if err != nil {
		t.Fatal(err)
	}
	code, err := codeFor(ctx, demo.NewBrowser(demo.SignIn("ada"), nil), r.url, id)
	if err != nil {
		t.Fatal(err)
	}
	c := &copyOf{url: r.url, clientID: id, client: direct}
	if status, err := c.redeem(ctx, code); err != nil || c.access == "" {
		t.Fatal(status, err)
	}
	return c.access
}

// notifier is an MCP server with sessions, whose tools change. A double of
// servers that send notifications; calls that carry the header X-Bare are
// answered without a session.
type notifier struct {
	server  *mcp.Server
	handler http.Handler
	open    atomic.Int64 // streams of GET
	node    atomic.Int64 // streams that Node opened so far
}

func newNotifier(api string) *notifier {
	n := &notifier{server: mcp.NewServer(&mcp.Implementation{Name: "e2e", Version: "1.0.0"}, nil)}
	mcp.AddTool(n.server, &mcp.Tool{Name: demo.ToolWhoami, Description: "Says whose account this is."},
		func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, demo.Profile, error) {
			var who demo.Profile
			err := ask(ctx, http.MethodGet, api+demo.UserinfoPath, req.Extra.Header.Get("Authorization"), &who)
			return nil, who, err
		})
	n.handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return n.server }, nil)
	return n
}

// ServeHTTP implements http.Handler.
func (n *notifier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Bare") != "" {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
		return
	}
	if r.Method == http.MethodGet {
		if r.Header.Get("User-Agent") == "node" {
			n.node.Add(1)
		}
		n.open.Add(1)
		defer n.open.Add(-1)
	}
	n.handler.ServeHTTP(w, r)
}

// changeTools sends notifications/tools/list_changed to every session.
func (n *notifier) changeTools() {
	mcp.AddTool(n.server, &mcp.Tool{Name: "new", Description: "A tool that came later."},
		func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return nil, nil, nil
		})
}

// streamClients are clients on the Go SDK, each with a stream.
type streamClients struct {
	token string
	next  http.RoundTripper
	over  atomic.Bool // what ends from now on was ended by the test

	mu     sync.Mutex
	clean  int      // streams that ended as complete answers
	broken []string // how others ended
	told   map[int]bool
}

func (r *rolling) openStreams(ctx context.Context, t *testing.T, token string) *streamClients {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * rollingStreams}
	s := &streamClients{token: token, next: transport, told: map[int]bool{}}
	for i := range rollingStreams {
		client := mcp.NewClient(&mcp.Implementation{Name: "e2e", Version: "1.0.0"}, &mcp.ClientOptions{
			ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.told[i] = true
			},
		})
		session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: r.url + "/mcp", HTTPClient: &http.Client{Transport: s}},
			&mcp.ClientSessionOptions{ProtocolVersion: "2025-11-25"}) // the revision whose streams are opened by GET
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.over.Store(true); _ = session.Close() })
	}
	return s
}

// RoundTrip adds the token and watches how streams end.
func (s *streamClients) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+s.token)
	res, err := s.next.RoundTrip(r)
	if err == nil && r.Method == http.MethodGet {
		res.Body = &watched{ReadCloser: res.Body, ended: s.ended}
	}
	return res, err
}

func (s *streamClients) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over.Load():
	case errors.Is(err, io.EOF):
		s.clean++
	default:
		s.broken = append(s.broken, err.Error())
	}
}

func (s *streamClients) notified() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.told)
}

func (s *streamClients) ends() (clean int, broken []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clean, slices.Clone(s.broken)
}

// watched is a body whose end is told.
type watched struct {
	io.ReadCloser
	ended func(error)
	once  sync.Once
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil {
		w.once.Do(func() { w.ended(err) })
	}
	return n, err
}

// callers send calls at an even rate, however long each takes.
type callers struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	n      int
	failed []string
}

func (r *rolling) startCalls(ctx context.Context, token string) *callers {
	ctx, cancel := context.WithCancel(ctx)
	c := &callers{cancel: cancel}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: rollingRate}}
	c.done.Go(func() {
		tick := time.NewTicker(time.Second / rollingRate)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.done.Go(func() { c.note(bareCall(client, r.url+"/mcp", token)) })
			case <-ctx.Done():
				return
			}
		}
	})
	return c
}

func bareCall(client *http.Client, address, token string) error {
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(whoamiCall))
	if err != nil {
		return err
	}
	req.GetBody = nil // or net/http itself sends it again when a connection breaks
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Bare", "1")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"result"`)) {
		err = fmt.Errorf("%s %.200s", res.Status, body)
	}
	return err
}

func (c *callers) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if err != nil {
		c.failed = append(c.failed, err.Error())
	}
}

// stop waits for the calls under way.
func (c *callers) stop() { c.cancel(); c.done.Wait() }

func (c *callers) count() (n int, failed []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n, c.failed
}
