package core_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/tokens"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// TestRepeatedRefreshTokensAreCountedByOutcome: every refresh token that comes
// again is counted by its tenant and what became of it, and is in the audit log.
func TestRepeatedRefreshTokensAreCountedByOutcome(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	counted := map[string]int{}
	s := coretest.New(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		c.RefreshRepeated = func(tenantName string, what tokens.RepeatOutcome) {
			mu.Lock()
			defer mu.Unlock()
			counted[tenantName+" "+string(what)]++
		}
	})
	first := s.Login(t, s.Browser(), "ada")
	refresh := func(token string, status int) coretest.Answer {
		t.Helper()
		a := s.PostForm(t, nil, "/music/token", url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {first.ClientID},
		})
		if a.Status != status {
			t.Fatalf("refresh: %d %s", a.Status, a.Body)
		}
		return a
	}
	refresh(first.Refresh, http.StatusOK)
	var second string
	for range 3 {
		second = refresh(first.Refresh, http.StatusOK).JSON(t)["refresh_token"].(string)
	}
	refresh(second, http.StatusOK)
	refresh(first.Refresh, http.StatusBadRequest)
	refresh(first.Refresh, http.StatusBadRequest) // the grant is gone: nothing is repeated any more

	want := map[string]int{"music answered": 2, "music suspect": 1, "music ended": 1}
	mu.Lock()
	defer mu.Unlock()
	if !maps.Equal(counted, want) {
		t.Errorf("counted %v, want %v", counted, want)
	}
	for line, n := range map[string]int{`"reason":"repeated: answered"`: 2, `"reason":"repeated: suspect"`: 1} {
		if got := strings.Count(s.Audit(), line); got != n {
			t.Errorf("%d audit lines with %s, want %d\n%s", got, line, n, s.Audit())
		}
	}
}
