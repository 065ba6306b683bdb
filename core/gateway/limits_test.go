package gateway_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

func limited(calls limit.Rate) coretest.Option {
	return func(c *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		c.Limits.Calls = calls
		tenants[0].Anonymous = []string{"ping"}
	}
}

func TestCallsOfALoginAreLimited(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, limited(limit.Rate{Events: 3, Per: time.Minute}))
	ada, bob := s.Login(t, s.Browser(), "ada").Access, s.Login(t, s.Browser(), "bob").Access
	for range 3 {
		if a := send(t, s, ada, message("tools/call")); a.Status != http.StatusOK {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	for range 3 {
		a := send(t, s, ada, message("tools/call"))
		wantRPC(t, "the fourth", a, http.StatusTooManyRequests, -32000, "temporarily_unavailable")
		if wait, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || wait < 1 || wait > 20 {
			t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
		}
	}
	if a := send(t, s, bob, message("tools/call")); a.Status != http.StatusOK {
		t.Errorf("another login: %d", a.Status)
	}
	if n := strings.Count(s.Audit(), `"action":"rate_limited"`); n != 1 || !strings.Contains(s.Audit(), `"sub":"ada"`) {
		t.Errorf("%d lines in\n%s", n, s.Audit())
	}
	s.Advance(21 * time.Second)
	if a := send(t, s, ada, message("tools/call")); a.Status != http.StatusOK {
		t.Errorf("after a while: %d", a.Status)
	}
}

func TestCallsWithoutATokenAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, limited(limit.Rate{Events: 2, Per: time.Minute}))
	call := func(from string) int { return send(t, s, "", message("ping"), "X-Forwarded-For", from).Status }
	if got := []int{call("192.0.2.1"), call("192.0.2.1"), call("192.0.2.1"), call("192.0.2.2")}; got[0] != 200 || got[1] != 200 || got[2] != 429 || got[3] != 200 {
		t.Errorf("%v", got)
	}
	if !strings.Contains(s.Audit(), `"address":"192.0.2.1"`) {
		t.Errorf("audit:\n%s", s.Audit())
	}
}

func TestATenantBearsAHundredLogins(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, limited(limit.Rate{Events: 1, Per: time.Hour}))
	for i := range 100 {
		if a := send(t, s, "", message("ping"), "X-Forwarded-For", "192.0.2."+strconv.Itoa(i)); a.Status != http.StatusOK {
			t.Fatalf("%d: %d", i, a.Status)
		}
	}
	a := send(t, s, "", message("ping"), "X-Forwarded-For", "192.0.2.200")
	wantRPC(t, "the tenant's last", a, http.StatusTooManyRequests, -32000, "temporarily_unavailable")
}

func TestStreamsOfALoginAreLimited(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, limited(limit.Rate{Events: 1000, Per: time.Second}))
	ada, bob := s.Login(t, s.Browser(), "ada").Access, s.Login(t, s.Browser(), "bob").Access
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, ":\n\n")
		_ = http.NewResponseController(w).Flush()
		if r.Method == http.MethodGet {
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
		}
	})
	client := s.Browser()
	var streams []*http.Response
	for range 256 {
		res, err := client.Do(request(t, s, ada, http.MethodGet, "/music/mcp", nil))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("stream %d: %v, %v", len(streams), res, err)
		}
		streams = append(streams, res)
	}
	wantRPC(t, "one more", s.Do(t, client, request(t, s, ada, http.MethodGet, "/music/mcp", nil)), http.StatusTooManyRequests, -32000, "temporarily_unavailable")
	if a := s.Do(t, client, request(t, s, bob, http.MethodPost, "/music/mcp", nil)); a.Status != http.StatusOK {
		t.Errorf("another login: %d", a.Status)
	}
	for _, res := range streams {
		_ = res.Body.Close()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		a := s.Do(t, client, request(t, s, ada, http.MethodPost, "/music/mcp", nil))
		if a.Status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after they ended: %d", a.Status)
		}
	}
}

// TestLargeMessagesThatWaitAreBounded: bodies are kept while the backend has not
// answered. Where policy needs them, one too many is refused; elsewhere it
// streams through.
func TestLargeMessagesThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy)
	ada, bob := s.Login(t, s.Browser(), "ada").Access, s.Login(t, s.Browser(), "bob").Access
	const calls = 20 // a MiB each, more than a login may have kept
	release := make(chan struct{})
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("X-Wait") != "" {
			<-release
		}
	})
	large := `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"x":"` + strings.Repeat("x", 1<<20-1000) + `"}}`
	statuses := make(chan int, calls)
	for range calls {
		go func() { statuses <- send(t, s, ada, large, "X-Wait", "yes").Status }()
	}
	refused := <-statuses // the others wait for the backend
	if refused != http.StatusTooManyRequests {
		t.Errorf("one too many: %d", refused)
	}
	if a := send(t, s, bob, large); a.Status != http.StatusOK {
		t.Errorf("another login: %d %s", a.Status, a.Body)
	}
	if a := send(t, s, ada, message("tools/list")); a.Status != http.StatusOK && a.Status != http.StatusTooManyRequests {
		t.Errorf("a small message: %d %s", a.Status, a.Body)
	}
	close(release)
	passed := 0
	for range calls - 1 {
		if status := <-statuses; status == http.StatusOK {
			passed++
		} else if status != http.StatusTooManyRequests {
			t.Errorf("%d", status)
		}
	}
	if passed < 8 || passed > 16 {
		t.Errorf("%d of %d calls passed", passed, calls)
	}
	if a := send(t, s, ada, large); a.Status != http.StatusOK {
		t.Errorf("after all of them: %d %s", a.Status, a.Body)
	}
}
