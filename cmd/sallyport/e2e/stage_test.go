package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
)

// stage is a Sallyport with one tenant, beside an address for a proxy.
type stage struct {
	g         *gateway
	server    *toolsServer
	proxy     string // host:port
	cert, key string // files for the proxy
	client    *http.Client
}

// newStage starts a Sallyport. place says where the tenant is, empty for below
// its front, and where its MCP server is.
func newStage(ctx context.Context, t *testing.T, w *world, place func(*stage) (tenantURL string, what tenant)) *stage {
	t.Helper()
	s := &stage{proxy: loopback.Free(t)}
	s.makeTLS(t)
	upstream := httptest.NewUnstartedServer(nil)
	api := "http://" + upstream.Listener.Addr().String()
	s.server = startTools(t, api)

	at := site{front: loopback.Free(t), operator: loopback.Free(t), app: tools}
	url, what := place(s)
	redirect := at.callback(tools)
	if url != "" {
		redirect = url + "/callback"
	}
	upstream.Config.Handler = demo.NewUpstream(demo.UpstreamConfig{TokenLifetime: time.Hour, Apps: []demo.App{
		{ID: at.app, Secret: secret, Name: "Sallyport", RedirectURI: redirect},
	}})
	upstream.Start()
	t.Cleanup(upstream.Close)

	what.Name, what.Provider, what.App, what.Secret, what.Scopes, what.Upstream = tools, "oauth2", at.app, secret, "[profile, playlists]", api
	what.Settings = fmt.Sprintf(`{ authorize_url: "%[1]s%[2]s", token_url: "%[1]s%[3]s", userinfo_url: "%[1]s%[4]s" }`,
		api, demo.AuthorizePath, demo.TokenPath, demo.UserinfoPath)
	s.g = prepareGateway(t, w, at, boltStore(t), seal.NewKey(), what)
	if url != "" {
		s.g.url = strings.TrimSuffix(url, tools) + "{tenant}"
	}
	if err := s.g.start(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// makeTLS writes a certificate for loopback addresses, and a client that trusts
// it.
func (s *stage) makeTLS(t *testing.T) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s.cert, s.key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		s.cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, s.key: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust := x509.NewCertPool()
	trust.AddCert(server.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
}

// logIn logs in with the Go SDK, calls a tool and returns an access token.
func (s *stage) logIn(ctx context.Context, t *testing.T, mcpURL string) string {
	t.Helper()
	client, err := demo.Connect(ctx, mcpURL, demo.NewBrowser(demo.SignIn("ada"), s.client.Transport), demo.Options{Transport: s.client.Transport})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if who, err := client.Whoami(ctx); err != nil || who.Name != "Ada" {
		t.Fatalf("whoami: %+v, %v", who, err)
	}
	tokens, err := client.Token()
	if err != nil {
		t.Fatal(err)
	}
	return tokens.AccessToken
}

// works logs in and checks what a proxy can get wrong: streams, and headers that
// a client sends. It returns an access token.
func (s *stage) works(ctx context.Context, t *testing.T, mcpURL string) string {
	t.Helper()
	token := s.logIn(ctx, t, mcpURL)
	s.streams(ctx, t, mcpURL, token)

	sent := []string{"Cookie", "a=b", "X-Sallyport-Assertion", "forged", "Proxy-Authorization", "Basic Zm9yZ2Vk"}
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-User", "Forwarded", "X-Real-Ip", "Remote-User", "X-Remote-User", "X-Auth-Request-User", "Client-Cert",
		"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "Proxy",
	} {
		sent = append(sent, name, "forged")
	}
	for _, c := range separators {
		sent = append(sent, strings.ReplaceAll("X-Sallyport-Assertion", "-", string(c)), "forged", "X-Sallyport"+string(c)+"Assertion", "forged")
	}
	post(ctx, t, s.client, mcpURL, token, sent...)
	got := s.server.got.Load()
	if got == nil {
		t.Fatal("the call did not arrive")
	}
	authorization, assertion := got.Values("Authorization"), got.Values("X-Sallyport-Assertion")
	if len(authorization) != 1 || !strings.HasPrefix(authorization[0], "Bearer ") || strings.Contains(authorization[0], token) ||
		len(assertion) != 1 || strings.Count(assertion[0], ".") != 2 || strings.Contains(fmt.Sprint(*got), "forged") || got.Get("Cookie") != "" || got.Get("Proxy-Authorization") != "" {
		t.Errorf("the MCP server was sent %v", *got)
	}
	return token
}

// streams fails unless an event arrives before the server has sent the next.
func (s *stage) streams(ctx context.Context, t *testing.T, mcpURL, token string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, mcpURL+"?events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "text/event-stream")
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	reader := bufio.NewReader(res.Body)
	if line, err := reader.ReadString('\n'); line != "data: first\n" {
		t.Fatalf("%s %q, %v", res.Status, line, err)
	}
	close(s.server.seen)
	if rest, err := io.ReadAll(reader); err != nil || !strings.Contains(string(rest), "data: last") {
		t.Errorf("the rest: %q, %v", rest, err)
	}
}

// toolsServer is the demo's MCP server, and notes what it is sent.
type toolsServer struct {
	*httptest.Server
	got  atomic.Pointer[http.Header]
	seen chan struct{} // closed when the first event has arrived
}

func startTools(t *testing.T, api string) *toolsServer {
	t.Helper()
	s := &toolsServer{seen: make(chan struct{})}
	mcp := demo.NewBackend(api, nil)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.got.Store(&r.Header)
		if !r.URL.Query().Has("events") {
			mcp.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-s.seen:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "data: last\n\n")
	}))
	t.Cleanup(s.Close)
	return s
}

// post sends a tool call, with headers name, value, name, value, and returns the
// answer without its body.
func post(ctx context.Context, t *testing.T, client *http.Client, address, token string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(whoamiCall))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res
}

// example reads an example and puts a test's addresses and files in the place of
// those in it, which all have to be there.
func example(t *testing.T, name string, with map[string]string) string {
	t.Helper()
	raw, err := os.ReadFile(examples + "proxies/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for old, replacement := range with {
		if !strings.Contains(string(raw), old) {
			t.Fatalf("%s has no %q", name, old)
		}
		pairs = append(pairs, old, replacement)
	}
	return strings.NewReplacer(pairs...).Replace(string(raw))
}

// startNginx runs nginx on what stands in its http block.
func startNginx(ctx context.Context, t *testing.T, address, config string) {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("pid %[1]s/pid; error_log stderr; daemon off; worker_processes auto; events { worker_connections 1024; }\n"+
		"http {\naccess_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;\n"+
		"fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s\n}\n", dir, config)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxy(ctx, t, address, exec.Command("nginx", "-p", dir, "-c", file))
}

// startProxy runs a proxy until the test is over and waits until it listens.
func startProxy(ctx context.Context, t *testing.T, address string, cmd *exec.Cmd) {
	t.Helper()
	said := startServer(t, cmd)
	if !until(ctx, nil, listens(address)) {
		t.Fatalf("%s does not listen:\n%s", filepath.Base(cmd.Path), said.tail())
	}
}

// startServer runs a program until the test is over. It is asked to stop and not
// killed, or nginx's workers would live on.
func startServer(t *testing.T, cmd *exec.Cmd) output {
	t.Helper()
	said := newOutput(t)
	cmd.Stdout, cmd.Stderr = said.File, said.File
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s, which make test installs: %v", cmd.Path, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), said.tail())
		}
	})
	return said
}
