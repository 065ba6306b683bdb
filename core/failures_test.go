package core_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/limit"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// fewFailures lets an address fail three times an hour.
func fewFailures(c *core.Config, tenants []*tenant.Tenant, fake *upstreamtest.Fake) {
	c.Limits.Failures = limit.Rate{Events: 3, Per: time.Hour}
	withServers(c, tenants, fake)
}

// statuses makes n requests and returns their statuses.
func statuses(n int, ask func() coretest.Answer) (got []int) {
	for range n {
		got = append(got, ask().Status)
	}
	return got
}

func TestWrongTokensAreLimitedAndRightOnesGoOn(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, fewFailures)
	tokens := s.Login(t, s.Browser(), "ada")
	for name, c := range map[string]struct {
		ask func() coretest.Answer
		no  int
	}{
		"calls":     {func() coretest.Answer { return s.Call(t, "music", "sp_at_made-up") }, http.StatusUnauthorized},
		"refreshes": {func() coretest.Answer { return refreshWith(t, s, tokens.ClientID, "sp_rt_made-up") }, http.StatusBadRequest},
	} {
		s.Advance(time.Hour)
		got := statuses(5, c.ask)
		if got[0] != c.no || got[2] != c.no || got[3] != http.StatusTooManyRequests || got[4] != http.StatusTooManyRequests {
			t.Errorf("%s: %v", name, got)
		}
		if a := c.ask(); a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After: %v", name, a.Header)
		}
	}
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("a good token from the same address: %d %s", a.Status, a.Body)
	}
	if a := refreshWith(t, s, tokens.ClientID, tokens.Refresh); a.Status != http.StatusOK {
		t.Errorf("a good refresh token from the same address: %d %s", a.Status, a.Body)
	}
}

func refreshWith(t *testing.T, s *coretest.Server, clientID, token string) coretest.Answer {
	t.Helper()
	return s.PostForm(t, nil, "/music/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {clientID},
	})
}

func TestWrongSecretsAreLimitedBySenderAndID(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, fewFailures)
	token := url.Values{"token": {"sp_at_made-up"}}
	if got := statuses(5, func() coretest.Answer { return introspect(t, s, "sp_at_made-up") }); got[4] != http.StatusOK {
		t.Errorf("a resource server that asks about made-up tokens: %v", got)
	}
	got := statuses(5, func() coretest.Answer { return ask(t, s, "/music/introspect", "api", "guess", token) })
	if got[2] != http.StatusUnauthorized || got[3] != http.StatusTooManyRequests {
		t.Errorf("wrong secrets: %v", got)
	}
	if a := ask(t, s, "/music/introspect", "api", serverSecret, token); a.Status != http.StatusTooManyRequests {
		t.Errorf("the right secret after the wrong ones, from the same address: %d", a.Status)
	}
	if a := ask(t, s, "/music/introspect", "first", "first-secret", token); a.Status != http.StatusOK {
		t.Errorf("another resource server at that address: %d", a.Status)
	}
	s.Advance(time.Hour)
	if a := introspect(t, s, "sp_at_made-up"); a.Status != http.StatusOK {
		t.Errorf("an hour later: %d", a.Status)
	}
}

// fullDisk is an audit file that fails on demand.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) Write(b []byte) (int, error) {
	if d.full.Load() {
		return 0, errors.New("no space left on device")
	}
	return io.Discard.Write(b)
}

// fillable starts a server whose audit lines cannot be written from then on that
// the returned disk is full.
func fillable(t *testing.T, required bool) (*coretest.Server, *fullDisk) {
	t.Helper()
	disk := &fullDisk{}
	s := coretest.New(t, func(c *core.Config, tenants []*tenant.Tenant, fake *upstreamtest.Fake) {
		c.Audit = audit.New(audit.Config{Out: disk, Required: required})
		withServers(c, tenants, fake)
	})
	return s, disk
}

// readyz waits until the operator's page says text.
func readyz(t *testing.T, s *coretest.Server, text string) (status int) {
	t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
		rec := httptest.NewRecorder()
		s.Core.Operator().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if strings.Contains(rec.Body.String(), text) {
			return rec.Code
		}
	}
	t.Fatalf("/readyz does not say %q", text)
	return 0
}

func TestAuditThatFailsIsSaidAndStopsNoRequest(t *testing.T) {
	t.Parallel()
	s, disk := fillable(t, false)
	tokens := s.Login(t, s.Browser(), "ada")
	disk.full.Store(true)
	if a := refreshWith(t, s, tokens.ClientID, tokens.Refresh); a.Status != http.StatusOK {
		t.Errorf("a refresh without audit: %d %s", a.Status, a.Body)
	}
	if status := readyz(t, s, "no space left"); status != http.StatusOK {
		t.Errorf("/readyz: %d", status)
	}
}

func TestRequiredAuditThatFailsStopsIssuance(t *testing.T) {
	t.Parallel()
	s, disk := fillable(t, true)
	tokens := s.Login(t, s.Browser(), "ada")
	disk.full.Store(true)
	s.Call(t, "music", "sp_at_made-up") // leaves the line that fails
	if status := readyz(t, s, "no space left"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", status)
	}
	if a := refreshWith(t, s, tokens.ClientID, tokens.Refresh); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("a refresh: %d %s", a.Status, a.Body)
	}
	exchange := url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {tokens.Access},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
	}
	if a := ask(t, s, "/music/token", "api", serverSecret, exchange); a.Status != http.StatusServiceUnavailable {
		t.Errorf("a token exchange: %d %s", a.Status, a.Body)
	}
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("a call, which leaves no line: %d", a.Status)
	}
	disk.full.Store(false)
	readyz(t, s, `"ready"`)
	if a := refreshWith(t, s, tokens.ClientID, tokens.Refresh); a.Status != http.StatusOK {
		t.Errorf("a refresh once lines are written again: %d %s", a.Status, a.Body)
	}
}

// With a required audit log that fails no login begins, and none that is under way
// ends with a code or leaves a grant.
func TestRequiredAuditThatFailsStopsLogins(t *testing.T) {
	t.Parallel()
	s, disk := fillable(t, true)
	late := s.Browser()
	state := s.Consent(t, late, "music", s.AuthorizeQuery("music", s.Register(t, "music")), "approve").Query().Get("state")
	user := s.Browser()
	page := s.Get(t, user, "/music/authorize?"+s.AuthorizeQuery("music", s.Register(t, "music")).Encode())
	disk.full.Store(true)
	s.Call(t, "music", "sp_at_made-up") // leaves the line that fails
	readyz(t, s, "no space left")

	a := s.PostForm(t, user, "/music/consent", url.Values{"request": {s.Form(t, page)}, "decision": {"approve"}})
	if a.Status != http.StatusServiceUnavailable || strings.Contains(a.Body, "/upstream-login") {
		t.Errorf("the consent: %d %s", a.Status, a.Body)
	}
	back := s.Get(t, late, "/music/callback?code=ada&state="+url.QueryEscape(state))
	if _, answer := back.Location(t); answer.Get("error") != "temporarily_unavailable" || answer.Get("code") != "" {
		t.Errorf("the callback: %v", answer)
	}
	if _, err := s.Core.Grants().Each(t.Context(), s.Core.Tenants().Get("music"), func(e grant.Entry) error {
		t.Errorf("a grant is stored: %+v", e)
		return nil
	}); err != nil {
		t.Error(err)
	}
	disk.full.Store(false)
	readyz(t, s, `"ready"`)
	if tokens := s.Login(t, s.Browser(), "ada"); tokens.Access == "" {
		t.Error("no login once lines are written again")
	}
}
