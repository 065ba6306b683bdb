package core_test

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// lineOf returns the one log line that begins so.
func lineOf(t *testing.T, s *coretest.Server, level, message string) string {
	t.Helper()
	var found []string
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, "["+level) && strings.Contains(line, message) {
			found = append(found, line)
		}
	}
	if len(found) != 1 {
		t.Errorf("%d lines %s %s in:\n%s", len(found), level, message, s.Log())
		return ""
	}
	return found[0]
}

// Every login that does not end well is one WARN with the request's id, the
// tenant and the remedy, without an audit log too; the user is given the id.
func TestFailedLoginIsOneWarning(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault error
		ask   func(t *testing.T, s *coretest.Server) coretest.Answer
		says  []string // beside tenant, remedy and request
		page  []string // what the user reads
	}{
		"consent step, misconfigured": {&upstream.Error{Kind: upstream.Misconfigured, Detail: "discovery: 404"}, func(t *testing.T, s *coretest.Server) coretest.Answer {
			user := s.Browser()
			page := s.Get(t, user, "/music/authorize?"+s.AuthorizeQuery("music", s.Register(t, "music")).Encode())
			form := formToken.FindStringSubmatch(page.Body)
			return s.PostForm(t, user, "/music/consent", url.Values{"request": {form[1]}, "decision": {"approve"}})
		}, []string{"step=authorize", "discovery: 404", "client_secret"}, nil},
		"callback without state": {nil, func(t *testing.T, s *coretest.Server) coretest.Answer {
			return s.Get(t, nil, "/music/callback?error=invalid_scope&error_description=no+such%0ascope")
		}, []string{"step=/callback", `invalid_scope`, `no such\nscope`}, nil},
		"redirect URI": {nil, func(t *testing.T, s *coretest.Server) coretest.Answer {
			q := s.AuthorizeQuery("music", s.Register(t, "music"))
			q.Set("redirect_uri", "https://other.example/cb?\u202e")
			return s.Get(t, nil, "/music/authorize?"+q.Encode())
		}, []string{"step=/authorize", `https://other.example/cb?\u202e`, coretest.ClientCallback},
			[]string{`https://other.example/cb?\u202e`, coretest.ClientCallback}},
		"redirect URI of another path": {nil, func(t *testing.T, s *coretest.Server) coretest.Answer {
			q := s.AuthorizeQuery("music", s.Register(t, "music"))
			q.Set("redirect_uri", coretest.ClientCallback+"/other")
			return s.Get(t, nil, "/music/authorize?"+q.Encode())
		}, []string{"step=/authorize", coretest.ClientCallback + "/other", "registered " + coretest.ClientCallback},
			[]string{coretest.ClientCallback + "/other", "registered " + coretest.ClientCallback}},
		"sign-in for the connections page": {nil, func(t *testing.T, s *coretest.Server) coretest.Answer {
			s.Fake.Exchange = &upstream.Error{Kind: upstream.Misconfigured, Detail: "upstream says invalid_client"}
			user := s.Browser()
			return s.Get(t, user, signInCallback(t, s, user, url.Values{"code": {"ada"}}))
		}, []string{"step=sign_in", "invalid_client", "client_secret"}, nil},
		"unknown client": {nil, func(t *testing.T, s *coretest.Server) coretest.Answer {
			return s.Get(t, nil, "/music/authorize?client_id=sp_cl_AAAA")
		}, []string{"step=/authorize", "invalid_client"}, nil},
		"registration": {nil, func(t *testing.T, s *coretest.Server) coretest.Answer {
			return s.PostJSON(t, "/music/register", `{"redirect_uris":["javascript:x"]}`)
		}, []string{"step=/register"}, nil},
		"code": {nil, func(t *testing.T, s *coretest.Server) coretest.Answer {
			return s.PostForm(t, nil, "/music/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {s.Register(t, "music")}, "code": {"x"}})
		}, []string{"step=/token", "invalid_grant"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := coretest.New(t, func(cfg *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
				cfg.Audit, f.NoAuthorize = nil, c.fault
			})
			a := c.ask(t, s)
			line := lineOf(t, s, "WARN", "login failed")
			id := a.Header.Get("X-Request-Id")
			for _, part := range append(c.says, "tenant=music", "remedy=", "request="+id) {
				if !strings.Contains(strings.ReplaceAll(line, `\\`, `\`), part) {
					t.Errorf("the line does not say %q: %s", part, line)
				}
			}
			if strings.Contains(a.Header.Get("Content-Type"), "html") && !strings.Contains(a.Body, id) {
				t.Errorf("the page does not show the request's id %s: %s", id, a.Body)
			}
			for _, part := range c.page {
				if !strings.Contains(html.UnescapeString(a.Body), part) {
					t.Errorf("the page does not show %q: %s", part, a.Body)
				}
			}
		})
	}
}

// A store that takes nothing, as on a full disk, fails the login at the consent
// step: the operator is told that it is the store, and the client to come again.
func TestLoginThatCannotBeStoredIsOneWarning(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		driver.Now, c.Store, c.Audit = c.Now, driver, nil
	})
	user := s.Browser()
	page := s.Get(t, user, "/music/authorize?"+s.AuthorizeQuery("music", s.Register(t, "music")).Encode())
	form := formToken.FindStringSubmatch(page.Body)
	driver.Fail(func(string, string) error { return errors.New("no space left on device") })
	a := s.PostForm(t, user, "/music/consent", url.Values{"request": {form[1]}, "decision": {"approve"}})
	line := lineOf(t, s, "WARN", "login failed")
	for _, part := range []string{"tenant=music", "step=authorize", "no space left on device", "the store answers and has room", "request=" + a.Header.Get("X-Request-Id")} {
		if !strings.Contains(line, part) {
			t.Errorf("the line does not say %q: %s", part, line)
		}
	}
	if !strings.Contains(a.Body, "error=temporarily_unavailable") {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// An answer of the upstream without a state belongs to no tenant where several
// share the callback. What it says is logged all the same.
func TestAnswerAtASharedCallbackIsLogged(t *testing.T) {
	t.Parallel()
	s, callback := sharing(t, false)
	a := s.Get(t, nil, callback+"?error=invalid_scope&error_description=no+such%0ascope")
	line := lineOf(t, s, "WARN", "login failed")
	for _, part := range []string{"step=/callback", "invalid_scope", `no such\nscope`, "remedy=", "request=" + a.Header.Get("X-Request-Id")} {
		if !strings.Contains(strings.ReplaceAll(line, `\\`, `\`), part) {
			t.Errorf("the line does not say %q: %s", part, line)
		}
	}
	if a.Status != http.StatusBadRequest || strings.Contains(a.Body, "no such") || !strings.Contains(a.Body, a.Header.Get("X-Request-Id")) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// What a failed login says is said once, and with the request's id.
func TestFailedLoginIsOneSentence(t *testing.T) {
	t.Parallel()
	for kind, want := range map[upstream.Kind]struct{ level, told string }{
		upstream.AccessDenied:  {"INFO", "Access was not granted."},
		upstream.Misconfigured: {"WARN", "its operator has to mend it (request id "},
		upstream.Unavailable:   {"WARN", "try again shortly (request id "},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
				fault := &upstream.Error{Kind: kind, Detail: "upstream says so"}
				if kind == upstream.AccessDenied {
					fault.Message = "Access was not granted."
				}
				f.Exchange = fault
			})
			answer := s.Code(t, s.Browser(), "music", s.AuthorizeQuery("music", s.Register(t, "music")), "ada")
			if told := answer.Get("error_description"); !strings.Contains(told, want.told) {
				t.Errorf("told %q", told)
			}
			line := lineOf(t, s, want.level, "login failed: tenant=music step=login")
			if strings.Count(line, "upstream says so") != 1 || strings.Count(line, answer.Get("error")) > 2 || strings.Contains(line, "upstream: ") {
				t.Errorf("line %s", line)
			}
		})
	}
}

// A proxy that rewrites Host sends every user to no tenant: the operator is told
// which host came and which are configured.
func TestAddressOfNoTenantIsLogged(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	for range 30 {
		r := httptest.NewRequest(http.MethodGet, "http://10.0.0.7:8443/music/mcp", nil)
		rec := httptest.NewRecorder()
		s.Core.ServeHTTP(rec, r)
		if rec.Code != http.StatusNotFound || rec.Header().Get("X-Request-Id") == "" {
			t.Fatalf("%d %v", rec.Code, rec.Header())
		}
	}
	if n := strings.Count(s.Log(), "no tenant has this address"); n == 0 || n > 10 {
		t.Errorf("%d lines for 30 requests", n)
	}
	for _, part := range []string{"[WARN]", `10.0.0.7:8443`, "/music/mcp", s.URL + "/music", "remedy="} {
		if !strings.Contains(s.Log(), part) {
			t.Errorf("the log does not say %q:\n%s", part, s.Log())
		}
	}
}

func TestLoginWithoutARefreshTokenIsReportedOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		life time.Duration
		none bool
		want int
	}{"expected": {time.Hour, false, 1}, "said to be none": {time.Hour, true, 0}, "a token without an end": {0, false, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
				f.Life = c.life
				tenants[0].Provider = withoutRefreshToken{upstreamtest.Provider{Fake: f}, c.none}
			})
			for range 3 {
				s.Login(t, s.Browser(), "ada")
			}
			if n := strings.Count(s.Log(), "[WARN]  the upstream sent no refresh token"); n != c.want || c.want > 0 && !strings.Contains(s.Log(), "settings/refresh_policy") {
				t.Errorf("%d lines, want %d:\n%s", n, c.want, s.Log())
			}
		})
	}
}

// withoutRefreshToken is an upstream that issues none.
type withoutRefreshToken struct {
	upstreamtest.Provider
	none bool
}

func (p withoutRefreshToken) Describe() upstream.Description {
	d := p.Provider.Describe()
	d.Refresh.None = p.none
	return d
}

func (p withoutRefreshToken) Exchange(ctx context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	cred, err := p.Provider.Exchange(ctx, req)
	if err == nil {
		cred.RefreshToken = seal.Secret{}
	}
	return cred, err
}
