package gateway_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// sessionful has a backend that names the session s-1 in each answer without
// one, repeats the id of a request that has one, and says what it was sent.
func sessionful(s *coretest.Server) {
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("Mcp-Session-Id")
		if id == "" {
			id = "s-1"
		}
		w.Header().Set("Mcp-Session-Id", id)
		w.Header().Set("Mcp-Got", r.Header.Get("Mcp-Session-Id")+"|"+r.Header.Get("Last-Event-Id"))
	})
}

// inSession sends a request in a session, empty for none.
func inSession(t *testing.T, s *coretest.Server, token, path, method, id string, headers ...string) coretest.Answer {
	t.Helper()
	r := request(t, s, token, method, path, strings.NewReader(message("ping")))
	if method != http.MethodPost {
		r.Body, r.ContentLength = nil, 0
	}
	if token == "" {
		r.Header.Del("Authorization")
	}
	r.Header.Set("Content-Type", "application/json")
	if id != "" {
		r.Header.Set("Mcp-Session-Id", id)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return s.Do(t, nil, r)
}

func TestSessionIsItsUsers(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withPolicy, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		admin := *tenants[0].Backend
		tenants[0].Backends = map[string]*url.URL{"admin": &admin}
	})
	sessionful(s)
	ada, bob := s.Login(t, s.Browser(), "ada").Access, s.Login(t, s.Browser(), "bob").Access
	again := s.Login(t, s.Browser(), "ada").Access // another client of the same account
	id := inSession(t, s, ada, "/music/mcp", http.MethodPost, "").Header.Get("Mcp-Session-Id")
	if !strings.HasPrefix(id, "s-1.") || id == "s-1." {
		t.Fatalf("the client got %q", id)
	}
	for what, c := range map[string]struct {
		token, path, id string
		got             string // by the backend; empty: refused
	}{
		"its user":                   {ada, "/music/mcp", id, "s-1|"},
		"its user, by another login": {again, "/music/mcp", id, "s-1|"},
		"another user":               {bob, "/music/mcp", id, ""},
		"no user":                    {"", "/music/mcp", id, ""},
		"another backend":            {ada, "/music/mcp/admin", id, ""},
		"another tenant":             {ada, "/octo/mcp", id, ""},
		"the backend's own id":       {bob, "/music/mcp", "s-1", ""},
		"another id with that tag":   {ada, "/music/mcp", "s-2" + id[3:], ""},
		"a tag that was changed":     {ada, "/music/mcp", id[:len(id)-1] + "_", ""},
		"a tag and no id":            {ada, "/music/mcp", id[3:], ""},
		"a tag twice":                {ada, "/music/mcp", id + id[3:], ""},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			if c.token == "" && method != http.MethodPost {
				continue
			}
			a := inSession(t, s, c.token, c.path, method, c.id)
			if c.got != "" && (a.Status != http.StatusOK || a.Header.Get("Mcp-Got") != c.got || a.Header.Get("Mcp-Session-Id") != c.id) {
				t.Errorf("%s, %s: %d %v", what, method, a.Status, a.Header)
			}
			if refused := a.Status == http.StatusNotFound && a.Header.Get("Mcp-Got") == ""; c.got == "" && !refused && c.path != "/octo/mcp" || a.Header.Get("Mcp-Got") != c.got {
				t.Errorf("%s, %s: %d %v", what, method, a.Status, a.Header)
			}
		}
	}
	if !strings.Contains(s.Audit(), `"reason":"session"`) {
		t.Error("no audit line")
	}
	if a := inSession(t, s, ada, "/music/mcp", http.MethodPost, id, "Mcp-Session-Id", id); a.Status != http.StatusBadRequest {
		t.Errorf("two ids: %d", a.Status)
	}
}

// TestSessionBegunWithoutATokenIsTheFirstUsers: a client that logs in after
// initialize goes on with its session, and then no other user can, and no
// request without a token.
func TestSessionBegunWithoutATokenIsTheFirstUsers(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, withPolicy, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) { driver.Now, c.Store = c.Now, driver })
	sessionful(s)
	ada, bob := s.Login(t, s.Browser(), "ada").Access, s.Login(t, s.Browser(), "bob").Access
	id := inSession(t, s, "", "/music/mcp", http.MethodPost, "").Header.Get("Mcp-Session-Id")
	step := func(what, token string, status int) {
		t.Helper()
		a := inSession(t, s, token, "/music/mcp", http.MethodPost, id)
		if a.Status != status || (status == http.StatusOK) != (a.Header.Get("Mcp-Got") == "s-1|") || status == http.StatusOK && a.Header.Get("Mcp-Session-Id") != id {
			t.Errorf("%s: %d %v", what, a.Status, a.Header)
		}
	}
	step("without a token", "", http.StatusOK)
	driver.Fail(func(_, key string) error {
		if strings.HasPrefix(key, "mcp-session/") {
			return errors.New("down")
		}
		return nil
	})
	step("the store is down", ada, http.StatusServiceUnavailable)
	driver.Fail(nil)
	step("the first user", ada, http.StatusOK)
	step("the first user again", ada, http.StatusOK)
	step("another user", bob, http.StatusNotFound)
	step("without a token, after a user", "", http.StatusNotFound)
}

func TestStreamIsResumedInItsSessionOnly(t *testing.T) {
	t.Parallel()
	log := &buffer{}
	s := coretest.New(t, logged(log))
	sessionful(s)
	ada := s.Login(t, s.Browser(), "ada").Access
	id := inSession(t, s, ada, "/music/mcp", http.MethodPost, "").Header.Get("Mcp-Session-Id")
	if got := inSession(t, s, ada, "/music/mcp", http.MethodGet, id, "Last-Event-ID", "7").Header.Get("Mcp-Got"); got != "s-1|7" {
		t.Errorf("in its session the backend got %q", got)
	}
	for range 2 {
		if got := inSession(t, s, ada, "/music/mcp", http.MethodGet, "", "Last-Event-ID", "7").Header.Get("Mcp-Got"); got != "|" {
			t.Errorf("without a session the backend got %q", got)
		}
	}
	if n := strings.Count(log.String(), "session_binding: off"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log)
	}
}

func TestSessionsThatAreNotBound(t *testing.T) {
	t.Parallel()
	log := &buffer{}
	long := strings.Repeat("s", 1025)
	s := coretest.New(t, logged(log), func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[1].SessionsUnbound = true
	})
	ada, octo := s.Login(t, s.Browser(), "ada").Access, s.LoginAt(t, s.Browser(), "octo", "ada").Access
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Mcp-Session-Id", r.Header.Get("X-Name"))
		w.Header().Set("Mcp-Got", r.Header.Get("Mcp-Session-Id"))
	})
	for what, c := range map[string]struct{ token, path, id string }{
		"an id of more than 1 KiB": {ada, "/music/mcp", long},
		"session_binding: off":     {octo, "/octo/mcp", "plain"},
	} {
		a := inSession(t, s, c.token, c.path, http.MethodPost, c.id, "X-Name", c.id)
		if a.Status != http.StatusOK || a.Header.Get("Mcp-Session-Id") != c.id || a.Header.Get("Mcp-Got") != c.id {
			t.Errorf("%s: %d %v", what, a.Status, a.Header)
		}
	}
	if n := strings.Count(log.String(), "1 KiB"); n < 1 || n > 2 {
		t.Errorf("logged %d times:\n%s", n, log)
	}
	// One of just 1 KiB is longer with its tag, and bound all the same.
	id := inSession(t, s, ada, "/music/mcp", http.MethodPost, "", "X-Name", long[:1024]).Header.Get("Mcp-Session-Id")
	if a := inSession(t, s, ada, "/music/mcp", http.MethodPost, id); a.Header.Get("Mcp-Got") != long[:1024] {
		t.Errorf("%d %v", a.Status, a.Header)
	}
	if a := inSession(t, s, ada, "/music/mcp", http.MethodPost, long[:1024]); a.Status != http.StatusNotFound {
		t.Errorf("the backend's id of 1 KiB, without its tag: %d", a.Status)
	}
}

// TestQueryIsOnePartOfTheRequestLine sends what HTTP/2 takes in a path.
func TestQueryIsOnePartOfTheRequestLine(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	rec := record(s)
	for query, want := range map[string]string{
		"x=a b": "x=a%20b", "x=a HTTP/1.1\r\nX-Hidden: yes": "x=a%20HTTP/1.1%0D%0AX-Hidden:%20yes", "x=\xff\x7f#y": "x=%FF%7F%23y", "x=a%20b&y=%C3%A4+": "x=a%20b&y=%C3%A4+",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/music/mcp", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		r.URL.RawQuery = query
		s.Core.ServeHTTP(httptest.NewRecorder(), r)
		all := rec.take()
		if len(all) != 1 || all[0].line != "POST /mcp?"+want || all[0].header.Get("X-Hidden") != "" {
			t.Errorf("%q: the backend got %v", query, all)
		}
	}
}
