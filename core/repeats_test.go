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

// The third repeat of one refresh token, and one from another network than the
// rotation's, is a WARN that names the remedy, and is counted as suspect.
func TestThirdRepeatAndOneFromElsewhereAreWarnings(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		from     []string // the sender's addresses: of the rotation and of each repeat
		repeated int
		suspect  int
	}{
		"a rotation":                        {[]string{"192.0.2.1"}, 0, 0},
		"two repeats":                       {[]string{"192.0.2.1", "192.0.2.1", "192.0.2.7"}, 2, 0},
		"three repeats":                     {[]string{"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1"}, 3, 1},
		"one from elsewhere":                {[]string{"192.0.2.1", "198.51.100.1"}, 1, 1},
		"one from elsewhere, IPv6":          {[]string{"2001:db8:1::1", "2001:db8:2::1"}, 1, 1},
		"one of the same /48, another /64s": {[]string{"2001:db8:1:1::1", "2001:db8:1:2::1"}, 1, 0},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			suspects := 0
			s := coretest.New(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
				c.RefreshRepeated = func(_ string, what tokens.RepeatOutcome) {
					if what == tokens.RepeatSuspect {
						suspects++
					}
				}
			})
			login := s.Login(t, s.Browser(), "ada")
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {login.Refresh}, "client_id": {login.ClientID}}.Encode()
			for _, from := range c.from {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/music/token", strings.NewReader(form))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("X-Forwarded-For", from)
				if a := s.Do(t, nil, r); a.Status != http.StatusOK {
					t.Fatalf("from %s: %d %s", from, a.Status, a.Body)
				}
			}
			if n := strings.Count(s.Audit(), `"reason":"repeated: `); n != c.repeated {
				t.Errorf("%d repeats in the audit log, want %d:\n%s", n, c.repeated, s.Audit())
			}
			if n := strings.Count(s.Log(), "[WARN]  a refresh token came again"); n != c.suspect || suspects != c.suspect ||
				n > 0 && !strings.Contains(s.Log(), "sallyport grant revoke") {
				t.Errorf("%d warnings, %d counted, want %d:\n%s", n, suspects, c.suspect, s.Log())
			}
		})
	}
}
