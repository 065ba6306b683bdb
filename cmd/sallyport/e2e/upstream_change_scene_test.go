package e2e

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// changeScene is a tenant's configuration before and after a change, and what
// arrives at all that it names.
type changeScene struct {
	old, new tenant
	from     *musicService // the upstream that the users log in at first
	backend  *recorder     // of the MCP server of the old configuration
	// arrived is recorded at every upstream and backend of both configurations.
	arrived []*recorder
	// untouched are those of arrived that only the new configuration names.
	untouched []*recorder
	// foreign are texts that only the new configuration holds, where it leads to
	// the same server.
	foreign []string
	// waits: the new configuration leads to another upstream.
	waits bool
	// newUpstreamLogsIn: users can log in at the new upstream here.
	newUpstreamLogsIn bool
	transport         http.RoundTripper // of browsers; nil: one of its own
	environ           []string          // of the server
}

// musicService is a double of an upstream, with its bytes recorded.
type musicService struct {
	*demo.Upstream
	recorder
	secrets *secrets
	handler http.Handler
	url     string
}

// newMusicService starts the double for the apps of a site.
func newMusicService(t *testing.T, name string, at site, apps map[string]string) *musicService {
	t.Helper()
	s := &musicService{recorder: recorder{name: name}, secrets: newSecrets()}
	var registered []demo.App
	for id, secret := range apps {
		registered = append(registered, demo.App{ID: id, Secret: secret, Name: "Sallyport", RedirectURI: at.callback(octo)})
	}
	s.Upstream = demo.NewUpstream(demo.UpstreamConfig{TokenLifetime: time.Hour, Apps: registered})
	s.handler = s.secrets.of(s.Upstream)
	s.url = startRecorded(t, &s.recorder, s.handler)
	return s
}

// tenant is one whose upstream it is, by settings alone.
func (s *musicService) tenant(app, secretOfApp, backend string) tenant {
	return tenant{
		Name: octo, Provider: "oauth2", App: app, Secret: secretOfApp, Scopes: "[profile]", Upstream: s.url, Backend: backend,
		Settings: fmt.Sprintf(`{ authorize_url: "%[1]s%[2]s", token_url: "%[1]s%[3]s", userinfo_url: "%[1]s%[4]s", revoke_url: "%[1]s%[5]s" }`,
			s.url, demo.AuthorizePath, demo.TokenPath, demo.UserinfoPath, demo.RevokePath),
	}
}

// user looks up the user of one of its access tokens, without a byte on any
// connection.
func (s *musicService) user(ctx context.Context, authorization string) (who demo.Profile, err error) {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, demo.MePath, nil)
	r.Header.Set("Authorization", authorization)
	answer := httptest.NewRecorder()
	s.ServeHTTP(answer, r)
	if answer.Code != http.StatusOK {
		return who, fmt.Errorf("the upstream answered %d", answer.Code)
	}
	return who, json.Unmarshal(answer.Body.Bytes(), &who)
}

// recordedBackend is an MCP server with the tool whoami. It keeps no sessions, so
// that any backend goes on where another was, and answers 401 to a token that
// none of its upstreams knows.
type recordedBackend struct {
	recorder
	url string
}

func newRecordedBackend(t *testing.T, name string, upstreams ...*musicService) *recordedBackend {
	t.Helper()
	find := func(ctx context.Context, authorization string) (who demo.Profile, err error) {
		err = errors.New("there is no upstream")
		for _, u := range upstreams {
			if who, err = u.user(ctx, authorization); err == nil {
				break
			}
		}
		return who, err
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "e2e", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: demo.ToolWhoami, Description: "Says whose account this is."},
		func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, demo.Profile, error) {
			who, err := find(ctx, req.Extra.Header.Get("Authorization"))
			return nil, who, err
		})
	serve := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, &mcp.StreamableHTTPOptions{Stateless: true})
	b := &recordedBackend{recorder: recorder{name: name}}
	b.url = startRecorded(t, &b.recorder, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if authorization := r.Header.Get("Authorization"); authorization != "" {
			if _, err := find(r.Context(), authorization); err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
		}
		serve.ServeHTTP(w, r)
	}))
	return b
}

// Apps at the doubles, by client id.
const (
	oldApp, newApp       = "octo-app", "octo-app-2"
	oldSecret, newSecret = "secret-of-the-old-app", "secret-of-the-new-app"
)

// changedSettings leads to another host with the same client id.
func changedSettings(t *testing.T, _ *world, at site) changeScene {
	from, to := newMusicService(t, "the old upstream", at, map[string]string{oldApp: oldSecret}), newMusicService(t, "the new upstream", at, map[string]string{oldApp: newSecret})
	backend := newRecordedBackend(t, "the backend", from, to)
	return changeScene{
		old: from.tenant(oldApp, oldSecret, backend.url), new: to.tenant(oldApp, newSecret, backend.url), from: from, backend: &backend.recorder, waits: true, newUpstreamLogsIn: true,
		arrived: []*recorder{&from.recorder, &to.recorder, &backend.recorder}, untouched: []*recorder{&to.recorder},
	}
}

// changedClientID leads to another app at the same upstream.
func changedClientID(t *testing.T, _ *world, at site) changeScene {
	from := newMusicService(t, "the old upstream", at, map[string]string{oldApp: oldSecret, newApp: newSecret})
	backend := newRecordedBackend(t, "the backend", from)
	return changeScene{
		old: from.tenant(oldApp, oldSecret, backend.url), new: from.tenant(newApp, newSecret, backend.url), from: from, backend: &backend.recorder, waits: true, newUpstreamLogsIn: true,
		arrived: []*recorder{&from.recorder, &backend.recorder}, foreign: []string{newApp, newSecret},
	}
}

// changedProvider leads to emulate's GitHub with the same client id.
func changedProvider(t *testing.T, w *world, at site) changeScene {
	from := newMusicService(t, "the old upstream", at, map[string]string{oldApp: oldSecret})
	backend, gitHub := newRecordedBackend(t, "the backend", from), &recorder{name: "the new upstream"}
	api := startRecordingProxy(t, gitHub, w.upstream)
	return changeScene{
		old: from.tenant(oldApp, oldSecret, backend.url), from: from, backend: &backend.recorder, waits: true,
		new: tenant{
			Name: octo, Provider: "github", App: oldApp, Secret: newSecret, Scopes: `["read:user"]`, Upstream: api, Backend: backend.url,
			Settings: fmt.Sprintf(`{ base_url: "%[1]s", api_url: "%[1]s" }`, api),
		},
		arrived: []*recorder{&from.recorder, &backend.recorder, gitHub}, untouched: []*recorder{gitHub},
	}
}

// changedPreset leads from gitlab.com to discord.com by one word. Both are
// doubles behind an HTTPS proxy that ends TLS and records what is in it.
func changedPreset(t *testing.T, _ *world, at site) changeScene {
	from, to := newMusicService(t, "the old upstream", at, map[string]string{oldApp: oldSecret}), newMusicService(t, "the new upstream", at, map[string]string{oldApp: newSecret})
	backend := newRecordedBackend(t, "the backend", from, to)
	proxy := startTLSProxy(t, map[string]*musicService{"gitlab.com": from, "discord.com": to})
	preset := func(s *musicService, name, secretOfApp string) tenant {
		is := s.tenant(oldApp, secretOfApp, backend.url)
		is.Settings = fmt.Sprintf(`{ preset: %s, account_id: /sub }`, name)
		return is
	}
	return changeScene{
		old: preset(from, "gitlab", oldSecret), new: preset(to, "discord", newSecret), from: from, backend: &backend.recorder, waits: true, newUpstreamLogsIn: true,
		arrived: []*recorder{&from.recorder, &to.recorder, &backend.recorder}, untouched: []*recorder{&to.recorder},
		transport: proxy.transport, environ: []string{"HTTPS_PROXY=" + proxy.url, "SSL_CERT_FILE=" + proxy.certificate},
	}
}

// changedBackend leads to another MCP server that works on the same upstream.
func changedBackend(t *testing.T, _ *world, at site) changeScene {
	from := newMusicService(t, "the old upstream", at, map[string]string{oldApp: oldSecret})
	before, after := newRecordedBackend(t, "the old backend", from), newRecordedBackend(t, "the new backend", from)
	return changeScene{
		old: from.tenant(oldApp, oldSecret, before.url), new: from.tenant(oldApp, oldSecret, after.url), from: from, backend: &before.recorder,
		arrived: []*recorder{&after.recorder}, untouched: []*recorder{&after.recorder},
	}
}

// changedAll leads to another provider, app and MCP server at once, as the
// configuration of another deployment does.
func changedAll(t *testing.T, w *world, at site) changeScene {
	s := changedProvider(t, w, at)
	after := newRecordedBackend(t, "the new backend", s.from)
	s.new.App, s.new.Backend = newApp, after.url
	s.arrived, s.untouched = append(s.arrived, &after.recorder), append(s.untouched, &after.recorder)
	return s
}

// tlsProxy is a proxy for HTTPS that answers for hosts itself.
type tlsProxy struct {
	url         string
	certificate string // file, for SSL_CERT_FILE
	transport   http.RoundTripper
}

// presetPaths leads from the paths of the presets gitlab and discord to those of
// the double.
var presetPaths = map[string]string{
	"/api/v4/user": demo.UserinfoPath, "/api/users/@me": demo.UserinfoPath,
	"/oauth2/authorize": demo.AuthorizePath, "/api/oauth2/token": demo.TokenPath, "/api/oauth2/token/revoke": demo.RevokePath,
}

func startTLSProxy(t *testing.T, services map[string]*musicService) *tlsProxy {
	t.Helper()
	pair, file := certificateFor(t, services)
	inside := make(chan net.Conn)
	tunnel := &tunnels{conns: inside, done: make(chan struct{})}
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, ok := presetPaths[r.URL.Path]; ok {
			r.URL.Path = path
		}
		services[r.Host].handler.ServeHTTP(w, r)
	})}
	go func() { _ = server.Serve(tunnel) }()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		service := services[host]
		if r.Method != http.MethodConnect || service == nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\n")
		secure := tls.Server(bufferedConn{conn, buffered.Reader}, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
		select {
		case inside <- service.conn(secure):
		case <-tunnel.done:
			_ = conn.Close()
		}
	}))
	t.Cleanup(func() { _ = server.Close(); proxy.Close() })
	address, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(pair.Leaf)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Scheme == "https" {
			return address, nil
		}
		return nil, nil
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &tlsProxy{url: proxy.URL, certificate: file, transport: transport}
}

// certificateFor makes a certificate for the names of services, and the file that
// has it trusted.
func certificateFor(t *testing.T, services map[string]*musicService) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for host := range services {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "trusted.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, file
}

// tunnels is a listener on the connections inside a proxy's tunnels.
type tunnels struct {
	conns <-chan net.Conn
	done  chan struct{}
}

// Accept implements net.Listener.
func (l *tunnels) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *tunnels) Close() error {
	close(l.done)
	return nil
}

// Addr implements net.Listener.
func (l *tunnels) Addr() net.Addr { return &net.TCPAddr{} }

// bufferedConn is a connection of which some bytes were read ahead.
type bufferedConn struct {
	net.Conn
	ahead *bufio.Reader
}

// Read implements net.Conn.
func (c bufferedConn) Read(p []byte) (int, error) { return c.ahead.Read(p) }
