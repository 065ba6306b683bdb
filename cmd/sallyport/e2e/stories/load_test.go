package stories

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// acme starts a server with one tenant, and a client logged in there.
func acme(t *testing.T, prepare func(*sallyport, *upstream)) (*sallyport, *upstream, *backend, *client) {
	t.Helper()
	up, server, s := newUpstream(t), newBackend(t), newServer(t)
	s.use(module("oauth2"))
	s.private = []string{up.host()}
	s.tenants = up.tenant("acme", "app", server.URL, "")
	if prepare != nil {
		prepare(s, up)
	}
	s.mustStart()
	c := newClient(t, s.tenantURL("acme"))
	c.mustLogin("ada")
	return s, up, server, c
}

// flood makes n calls with bad tokens, some at a time, and counts the answers by
// status.
func flood(t *testing.T, c *client, n int) map[int]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	statuses := map[int]int{}
	for range 8 {
		wg.Go(func() {
			bad := &client{t: t, tenant: c.tenant, http: web(), access: "sp_at_made-up"}
			for range n / 8 {
				a, err := bad.tryCall(toolCall)
				mu.Lock()
				statuses[a.status]++
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return statuses
}

func floodOfRefusals(t *testing.T) {
	const calls = 20_000
	s, _, _, c := acme(t, nil)
	before := s.auditLines("\n")
	began := time.Now()
	statuses := flood(t, c, calls)
	t.Logf("%d calls in %v, answered %v, %d audit lines", calls, time.Since(began).Round(time.Millisecond), statuses, s.auditLines("\n")-before)
	if got := s.auditLines("\n") - before; got > calls/10 {
		t.Errorf("%d calls with bad tokens left %d audit lines", calls, got)
	}
	if statuses[http.StatusTooManyRequests] == 0 {
		t.Errorf("none of %d calls with bad tokens from one address was answered 429", calls)
	}
}

func auditStandsStill(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = read.Close(); _ = write.Close() })
	_, _, _, c := acme(t, func(s *sallyport, _ *upstream) { s.audit, s.stdout = "stdout", write })
	c.http.Timeout = patience / 2
	bad := &client{t: t, tenant: c.tenant, http: &http.Client{Timeout: patience / 6}, access: "sp_at_made-up"}
	for n := range 1500 { // 64 KiB of lines fill a pipe
		if _, err := bad.tryCall(toolCall); err != nil {
			t.Errorf("call %d: %v", n, err)
			break
		}
	}
	if a, err := c.tryCall(toolCall); err != nil || a.status != http.StatusOK {
		t.Errorf("a good call is answered %d, %v", a.status, err)
	}
	go func() { _, _ = io.Copy(io.Discard, read) }() // so that the process can end
}

func auditFull(t *testing.T) {
	s, _, _, c := acme(t, func(s *sallyport, _ *upstream) { s.audit = "/dev/full" })
	c.wantCall(http.StatusOK)
	told := s.until(s.done, func() bool {
		resp, err := web().Get("http://" + s.operator + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(text), "audit") && strings.Contains(s.logged(), "audit")
	})
	if !told {
		t.Error("neither the log nor /readyz says that audit lines are lost")
	}
}

// spinningTenant has a module spend its fuel at one tenant more often than a
// module may.
func spinningTenant(t *testing.T) {
	up, server, s := newUpstream(t), newBackend(t), newServer(t)
	s.use(guest("spin"))
	s.private = []string{up.host()}
	for _, name := range []string{"bad", "good"} {
		spin := "false"
		if name == "bad" {
			spin = "true"
		}
		s.tenants += "  " + name + `: { provider: spin, settings: { base: "` + up.URL + `", spin: ` + spin + ` }, client_id: app, scopes: [read], backend: "` + server.URL + `/mcp" }` + "\n"
	}
	s.mustStart()
	bad := newClient(t, s.tenantURL("bad"))
	for range 8 {
		if bad.login("ada") == nil {
			t.Fatal("the module that computes without end logged a user in")
		}
	}
	good := newClient(t, s.tenantURL("good"))
	if err := good.login("ada"); err != nil {
		t.Errorf("the other tenant of the module: %v", err)
	}
}

// streamsKeepNoBodies opens streams whose calls had large bodies and looks at
// the memory of the process meanwhile.
func streamsKeepNoBodies(t *testing.T) {
	const streams, size = 100, 1 << 20
	s, _, server, c := acme(t, nil)
	server.serve = func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, ": open\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{"text":"` + strings.Repeat("x", size-200) + `"}}}`
	open := func(n int) {
		for range n {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.tenant+"/mcp", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Accept", "text/event-stream")
			req.Header.Set("Authorization", "Bearer "+c.access)
			resp, err := c.http.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = resp.Body.Close() })
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("a stream is answered %s", resp.Status)
			}
		}
	}
	c.http.Timeout = 0
	open(10)
	before := s.memory()
	open(streams)
	grown := s.memory() - before
	t.Logf("%d open streams with bodies of 1 MiB: %.1f MiB more", streams, float64(grown)/(1<<20))
	if grown > streams*size/2 {
		t.Errorf("%d open streams hold %d MiB, as much as their requests' bodies", streams, grown>>20)
	}
}
