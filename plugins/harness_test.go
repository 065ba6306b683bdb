package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

// scratch holds what the tests share: the built guest and the compiled code.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "plugins-test-*")
	if err != nil {
		log.Fatal(err)
	}
	scratch = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// probe builds the test guest once.
var probe = sync.OnceValues(func() ([]byte, error) {
	out := filepath.Join(scratch, "probe.wasm")
	_, err := Build(context.Background(), BuildOptions{Dir: "testdata/guests/probe", Out: out, Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(out)
})

// sharedModule opens the probe once.
var sharedModule = sync.OnceValues(func() (*Module, error) {
	wasm, err := probe()
	if err != nil {
		return nil, err
	}
	m, err := openModule(context.Background(), Config{CacheDir: cacheFolder(), Now: (&rig{now: startTime()}).clock}.withDefaults(), wasm)
	if err != nil {
		return nil, err
	}
	manifest, err := ReadManifest(wasm)
	return m, errors.Join(err, m.adopt(manifest))
})

// cacheFolder is where all tests keep compiled code.
func cacheFolder() string { return filepath.Join(scratch, "cache") }

func probeBytes(t testing.TB) []byte {
	t.Helper()
	wasm, err := probe()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// output is a log that several goroutines may write and a test reads.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// rig is a host with the probe and an upstream, a test double of ours.
type rig struct {
	host     *Host
	module   *Module
	upstream *httptest.Server
	log      *output

	mu    sync.Mutex
	now   time.Time
	asked []string // METHOD path body
	auth  []string
	fail  map[string]int // path → so many connections to break off
	say   map[string]int // path → status to answer once
	cache string         // the header Cache-Control of /discovery
}

const secret = "s3cr3t/with:odd chars"

// newRig takes the module that all tests share, with a configuration of its
// own: opening one takes seconds under the race detector.
func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r, cfg := newUpstream(t)
	for _, f := range change {
		f(&cfg)
	}
	shared, err := sharedModule()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.withDefaults()
	m := &Module{
		cfg: cfg, manifest: shared.manifest, settings: shared.settings, digest: shared.digest,
		engine: shared.engine, globals: shared.globals, idle: make(chan struct{}),
	}
	m.pool = newPool(cfg.Limits, m.instantiate)
	t.Cleanup(func() { m.pool.close(context.Background()) })
	r.module = m
	r.host = &Host{cfg: cfg, files: map[string]*file{}, modules: []*Module{m}, current: map[string]*Module{"probe": m}}
	return r
}

// newLoadedRig loads the module from its file.
func newLoadedRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r, cfg := newUpstream(t)
	cfg.Dirs = []string{probeDir(t)}
	for _, f := range change {
		f(&cfg)
	}
	host, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Close(context.Background()) })
	for _, f := range host.Faults() {
		t.Fatal(f.Err)
	}
	r.host = host
	if r.module, err = host.Lookup("probe"); err != nil {
		t.Fatal(err)
	}
	return r
}

// probeDir is a plugin folder with the probe.
func probeDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "probe.wasm"), probeBytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func newUpstream(t testing.TB) (*rig, Config) {
	r := &rig{log: &output{}, now: startTime(), fail: map[string]int{}, say: map[string]int{}}
	r.upstream = httptest.NewServer(r)
	t.Cleanup(r.upstream.Close)
	client := fetch.New(fetch.Config{PrivateHosts: []string{r.hostport()}})
	t.Cleanup(client.Close)
	return r, Config{
		CacheDir: cacheFolder(),
		Fetch:    client,
		Logger:   hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: r.log}),
		Now:      r.clock,
	}
}

// startTime is in the past: compiled code that is being written must not look old
// by it, or another host of these tests deletes it.
func startTime() time.Time { return time.Unix(1_700_000_000, 0) }

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) hostport() string { return r.upstream.Listener.Addr().String() }

func (r *rig) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, fmt.Sprintf("%s %s %s", req.Method, req.URL.Path, body))
	r.auth = append(r.auth, req.Header.Get("Authorization"))
	if r.fail[req.URL.Path] > 0 {
		r.fail[req.URL.Path]--
		panic(http.ErrAbortHandler)
	}
	if status := r.say[req.URL.Path]; status != 0 {
		delete(r.say, req.URL.Path)
		w.WriteHeader(status)
		return
	}
	switch req.URL.Path {
	case "/token":
		fmt.Fprintf(w, `{"access_token":"at-%d-abcdefgh","refresh_token":"rt-%d-abcdefgh","token_type":"bearer"}`, len(r.asked), len(r.asked))
	case "/user":
		io.WriteString(w, `{"id":"42","name":"Ada"}`)
	case "/discovery":
		w.Header().Set("Cache-Control", r.cache)
		io.WriteString(w, `{}`)
	case "/redirect":
		http.Redirect(w, req, "/token", http.StatusFound)
	case "/large":
		io.WriteString(w, strings.Repeat("x", 257<<10))
	}
}

func (r *rig) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.asked...)
}

func (r *rig) bind(t testing.TB, mode string) upstream.Provider {
	t.Helper()
	p, err := r.host.Bind(t.Context(), "probe", r.binding(mode))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (r *rig) binding(mode string) Binding {
	return Binding{
		Tenant: "octo", ClientID: "client one", ClientSecret: seal.NewSecret(secret), RedirectURI: "https://octo.example/callback",
		Settings: map[string]any{"mode": mode, "base": r.upstream.URL},
	}
}

func exchange(t testing.TB, p upstream.Provider) (*upstream.Credential, error) {
	t.Helper()
	return p.Exchange(t.Context(), upstream.ExchangeRequest{
		Query: map[string][]string{"code": {"the-code-123"}}, CodeVerifier: seal.NewSecret("the-verifier-123"), Scopes: []string{"read"},
	})
}
