package core_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// revokeMusic ends the logins at the tenant music that began until now.
func revokeMusic(t *testing.T, s *coretest.Server) {
	t.Helper()
	s.Advance(2 * time.Second)
	if err := s.Core.Grants().RevokeBefore(t.Context(), grant.Scope{Tenant: s.Core.Tenants().Get("music")}, s.Now()); err != nil {
		t.Fatal(err)
	}
	s.Advance(2 * time.Second)
}

func TestLoginsRevokedByTimeAreRefusedOverHTTP(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, withServers)
	tokens, aside := s.Login(t, s.Browser(), "ada"), s.LoginAt(t, s.Browser(), "octo", "ada")
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Fatalf("a call before: %d %s", a.Status, a.Body)
	}
	revokeMusic(t, s)

	a := s.Call(t, "music", tokens.Access)
	if challenge := a.Header.Get("Www-Authenticate"); a.Status != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_token"`) {
		t.Errorf("a call: %d %q %s", a.Status, challenge, a.Body)
	}
	if a := refresh(t, s, tokens); a.Status != http.StatusBadRequest || a.JSON(t)["error"] != "invalid_grant" {
		t.Errorf("a refresh: %d %s", a.Status, a.Body)
	}
	wantInactive(t, "introspection", introspect(t, s, tokens.Access))
	if a := exchange(t, s, tokens.Access, nil); a.Status != http.StatusBadRequest {
		t.Errorf("an exchange: %d %s", a.Status, a.Body)
	}
	if a := s.Call(t, "octo", aside.Access); a.Status != http.StatusOK {
		t.Errorf("a call at another tenant: %d %s", a.Status, a.Body)
	}
	later := s.Login(t, s.Browser(), "ada")
	if a := s.Call(t, "music", later.Access); a.Status != http.StatusOK {
		t.Errorf("a call of a later login: %d %s", a.Status, a.Body)
	}
	if !strings.Contains(s.Audit(), `"reason":"not_before"`) {
		t.Errorf("the audit log does not say why: %s", s.Audit())
	}
}

// blindTo is a driver that cannot read some records while it is broken.
type blindTo struct {
	store.Driver
	prefix string
	broken atomic.Bool
}

func (b *blindTo) Get(ctx context.Context, key string) ([]byte, error) {
	if b.broken.Load() && strings.HasPrefix(key, b.prefix) {
		return nil, errors.New("the store does not answer")
	}
	return b.Driver.Get(ctx, key)
}

// TestUnknownRevocationTimesAre503: whether a login was revoked is not known, so
// it is neither used nor lost.
func TestUnknownRevocationTimesAre503(t *testing.T) {
	t.Parallel()
	driver := &blindTo{prefix: "not-before/"}
	s := coretest.New(t, withServers, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		driver.Driver, c.Store = c.Store, driver
	})
	tokens := s.Login(t, s.Browser(), "ada")
	s.Forget()
	driver.broken.Store(true)
	for what, ask := range map[string]func() coretest.Answer{
		"a call":        func() coretest.Answer { return s.Call(t, "music", tokens.Access) },
		"a refresh":     func() coretest.Answer { return refresh(t, s, tokens) },
		"introspection": func() coretest.Answer { return introspect(t, s, tokens.Access) },
	} {
		if a := ask(); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q, %s", what, a.Status, a.Header.Get("Retry-After"), a.Body)
		}
	}
	if !strings.Contains(s.Log(), "the store does not answer") {
		t.Errorf("the log does not say why: %s", s.Log())
	}
	driver.broken.Store(false)
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("a call afterwards: %d %s", a.Status, a.Body)
	}
	if a := refresh(t, s, tokens); a.Status != http.StatusOK {
		t.Errorf("a refresh afterwards: %d %s", a.Status, a.Body)
	}
}
