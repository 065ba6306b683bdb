package e2e

import (
	"context"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/storetest"
)

var loadTime = flag.Duration("load", 200*time.Millisecond, "how long TestLoad sends to each address, twice a round; from 1s on three rounds, else one")

// TestLoad sends the same calls to a backend, to proxies of others before it,
// and to Sallyport before it, by turns with one driver (wrk), and prints what
// each takes, the median of the rounds: calls a second over 32 connections, and
// latencies over one. No figure is asserted: the machine is not ours alone. That
// all calls are answered 200 is.
//
// Longer, as `make bench` does it: go test ./cmd/sallyport/e2e -run '^TestLoad$' -v -load 5s
func TestLoad(t *testing.T) {
	rounds := 1
	if *loadTime >= time.Second {
		rounds = 3
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50**loadTime+3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	tool := filepath.Join(dir, "load")
	run(t, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", w.bin, "..")
	run(t, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", tool, "./load")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oauth2")
	backend := startLoad(ctx, t, tool, "backend")

	all := []*measured{
		{name: "backend alone", url: "http://" + backend + "/mcp", token: "x"},
		{name: "httputil.ReverseProxy", url: "http://" + startLoad(ctx, t, tool, "proxy", "http://"+backend) + "/mcp", token: "x"},
		{name: "nginx proxy_pass", url: "http://" + startNginxProxy(ctx, t, backend) + "/mcp", token: "x"},
	}
	for _, c := range []struct{ name, store, ttl string }{
		{"Sallyport, bolt, cached", "bolt", "5s"},
		{"Sallyport, bolt, not cached", "bolt", "0s"},
		{"Sallyport, Redis, cached", "redis", "5s"},
		{"Sallyport, Redis, not cached", "redis", "0s"},
	} {
		g, token := loadedGateway(ctx, t, w, c.store, c.ttl, backend)
		all = append(all, &measured{name: c.name, url: g.mcpURL("load"), token: token})
	}
	driver := &wrk{t: t, script: filepath.Join(dir, "call.lua")}
	for _, m := range all {
		driver.run(ctx, m, 8) // warm up
	}
	// By turns, so that a machine that is slower for a while is so for all.
	for range rounds {
		for _, m := range all {
			driver.measure(ctx, m)
		}
	}
	proxy := all[1]
	t.Logf("%-30s %10s %8s %8s %8s %8s", "", "calls/s", "of proxy", "p50", "added", "p99")
	for _, m := range all {
		p50 := median(m.p50)
		t.Logf("%-30s %10.0f %8.2f %8v %8v %8v", m.name, median(m.rate), median(m.rate)/median(proxy.rate), p50, p50-median(proxy.p50), median(m.p99))
	}
}

// median of an odd number of figures.
func median[T float64 | time.Duration](all []T) T {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// loadedGateway starts a Sallyport and logs somebody in.
func loadedGateway(ctx context.Context, t *testing.T, w *world, store, ttl, backend string) (*gateway, string) {
	t.Helper()
	s := site{front: loopback.Free(t), operator: loopback.Free(t)}
	const name = "load"
	up := httptest.NewServer(demo.NewUpstream(demo.UpstreamConfig{TokenLifetime: time.Hour, Apps: []demo.App{
		{ID: name, Secret: secret, Name: "Sallyport", RedirectURI: s.callback(name)},
	}}))
	t.Cleanup(up.Close)
	address := boltStore(t)
	if store == "redis" {
		address = "redis://" + storetest.StartRedis(t).Addr
	}
	g := prepareGateway(t, w, s, address, seal.NewKey(), tenant{
		Name: name, Provider: "oauth2", App: name, Secret: secret, Scopes: "[profile]",
		Settings: fmt.Sprintf(`{ authorize_url: "%[1]s%[2]s", token_url: "%[1]s%[3]s", userinfo_url: "%[1]s%[4]s" }`,
			up.URL, demo.AuthorizePath, demo.TokenPath, demo.UserinfoPath),
		Upstream: up.URL, Backend: "http://" + backend,
	})
	g.environ = []string{"SALLYPORT_CACHE_TTL=" + ttl, "SALLYPORT_LIMITS__CALLS=off"} // it is one user who calls
	if err := g.start(ctx); err != nil {
		t.Fatal(err)
	}
	id, err := registerAt(ctx, direct, g.tenantURL(name))
	if err != nil {
		t.Fatal(err)
	}
	code, err := codeFor(ctx, demo.NewBrowser(demo.SignIn("ada"), nil), g.tenantURL(name), id)
	if err != nil {
		t.Fatal(err)
	}
	c := &copyOf{url: g.tenantURL(name), clientID: id, client: direct}
	if status, err := c.redeem(ctx, code); err != nil || c.access == "" {
		t.Fatal(status, err)
	}
	return g, c.access
}

// startLoad starts one of the programs of folder load and returns its address.
func startLoad(ctx context.Context, t *testing.T, tool string, args ...string) string {
	t.Helper()
	return start(t, "load", exec.CommandContext(ctx, tool, args...)).url(t)
}

// startNginxProxy starts nginx before a backend and returns its address.
func startNginxProxy(ctx context.Context, t *testing.T, backend string) string {
	t.Helper()
	address := loopback.Free(t)
	startNginx(ctx, t, address, fmt.Sprintf(`
  upstream backend { server %s; keepalive 256; }
  server {
    listen %s; keepalive_requests 100000000;
    location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }`, backend, address))
	return address
}

// wrk is the load driver.
type wrk struct {
	t      *testing.T
	script string
}

// measured is an address and what it took, once a round.
type measured struct {
	name, url, token string
	rate             []float64 // calls a second over many connections
	p50, p99         []time.Duration
}

var (
	wrkRate    = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)
	wrkLatency = regexp.MustCompile(`(50|99)%\s+([0-9.]+(?:us|ms|s))`)
)

// measure sends the same call again and again.
func (d *wrk) measure(ctx context.Context, m *measured) {
	d.t.Helper()
	busy, alone := d.run(ctx, m, 32), d.run(ctx, m, 1)
	rate, err := strconv.ParseFloat(wrkRate.FindStringSubmatch(busy)[1], 64)
	if err != nil {
		d.t.Fatal(err)
	}
	m.rate = append(m.rate, rate)
	for _, found := range wrkLatency.FindAllStringSubmatch(alone, -1) {
		took, err := time.ParseDuration(found[2])
		if err != nil {
			d.t.Fatal(err)
		}
		if found[1] == "50" {
			m.p50 = append(m.p50, took)
		} else {
			m.p99 = append(m.p99, took)
		}
	}
}

// run sends for the time of the flag and returns what wrk prints.
func (d *wrk) run(ctx context.Context, m *measured, connections int) string {
	d.t.Helper()
	script := fmt.Sprintf("wrk.method = 'POST'\nwrk.body = '%s'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.headers['Accept'] = 'application/json, text/event-stream'\nwrk.headers['Authorization'] = 'Bearer %s'\n",
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hello","arguments":{}}}`, m.token)
	if err := os.WriteFile(d.script, []byte(script), 0o600); err != nil {
		d.t.Fatal(err)
	}
	seconds := max(1, int(loadTime.Seconds()))
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "-c", strconv.Itoa(connections), "-d", strconv.Itoa(seconds)+"s", "--latency", "-s", d.script, m.url).CombinedOutput()
	if err != nil {
		d.t.Fatalf("wrk, of the Debian package wrk: %v\n%s", err, out)
	}
	if slices.ContainsFunc([]string{"Non-2xx", "Socket errors"}, func(s string) bool { return strings.Contains(string(out), s) }) || !wrkRate.Match(out) {
		d.t.Fatalf("%s:\n%s", m.name, out)
	}
	return string(out)
}
