package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
)

// TestStrangersURLsBehindTinyproxy runs the server with HTTPS_PROXY on a real
// tinyproxy. Whatever URL a stranger sends as its client id, the proxy is not
// asked for a name or for an address that is not public; what the operator named
// goes through it by name.
func TestStrangersURLsBehindTinyproxy(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	run(t, "go", "build", "-o", w.bin, "..")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oauth2")

	proxy := loopback.Free(t)
	logFile := startTinyproxy(ctx, t, proxy)
	settings := `{ authorize_url: "https://up.example/authorize", token_url: "https://up.example/token", userinfo_url: "https://up.example/me" }`
	open := tenant{Name: "open", Provider: "oauth2", Settings: settings, App: "app", Secret: secret, Scopes: "[x]", Upstream: "http://127.0.0.1:9", Backend: "http://127.0.0.1:9"}
	listed := open
	listed.Name, listed.More = "listed", []string{"cimd_hosts: [listed.example]"}
	at := site{front: loopback.Free(t), operator: loopback.Free(t)}
	g := prepareGateway(t, w, at, boltStore(t), seal.NewKey(), open, listed)
	g.environ = append(g.environ, "HTTPS_PROXY=http://"+proxy)
	if err := g.start(ctx); err != nil {
		t.Fatal(err)
	}

	ask := func(tenant, clientID string) {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {"x"}, "client_id": {clientID}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.front+"/"+tenant+"/token", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := direct.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if body, _ := io.ReadAll(res.Body); res.StatusCode/100 == 2 {
			t.Errorf("%s: %s %s", clientID, res.Status, body)
		}
	}
	for _, target := range []string{
		"https://vault.internal.corp:8200", "https://kubernetes.default.svc:443", "https://metadata.google.internal:443", "https://metadata.google.internal.:443",
		"https://localhost", "https://127.1:443", "https://127.0.1", "https://0x7f.1", "https://0x7f000001", "https://2130706433", "https://0177.0.0.1", "https://017700000001",
		"https://127.0.0.1", "https://10.0.0.1.", "https://169.254.169.254", "https://[::1]", "https://[::ffff:7f00:1]", "https://[fd00::1]", "https://[64:ff9b::7f00:1]",
	} {
		ask("open", target+"/client.json")
	}
	if got := connects(t, logFile); len(got) > 0 {
		t.Errorf("strangers had the proxy asked for %v", got)
	}
	ask("listed", "https://listed.example/client.json")
	ask("listed", "https://other.example/client.json")
	if got := connects(t, logFile); !slices.Equal(got, []string{"listed.example:443"}) {
		t.Errorf("with cimd_hosts the proxy was asked for %v, want listed.example:443: the proxy is used for what the operator named", got)
	}
}

// startTinyproxy starts tinyproxy and returns its log.
func startTinyproxy(ctx context.Context, t *testing.T, address string) (logFile string) {
	t.Helper()
	dir := t.TempDir()
	logFile = filepath.Join(dir, "log")
	host, port, _ := strings.Cut(address, ":")
	file := filepath.Join(dir, "tinyproxy.conf")
	text := fmt.Sprintf("Listen %s\nPort %s\nTimeout 30\nAllow 127.0.0.1\nMaxClients 50\nLogLevel Info\nLogFile \"%s\"\n", host, port, logFile)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxy(ctx, t, address, exec.Command("tinyproxy", "-d", "-c", file))
	return logFile
}

var connectLine = regexp.MustCompile(`: CONNECT (\S+)`)

// connects lists what tinyproxy was asked to connect to, in order.
func connects(t *testing.T, logFile string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(logFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range connectLine.FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(all, m[1]) {
			all = append(all, m[1])
		}
	}
	return all
}
