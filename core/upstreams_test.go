package core_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/store/redis"
	"github.com/sallyport/sallyport/core/store/storetest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// app is a double of one app at one upstream, which counts what it is sent.
type app struct {
	upstreamtest.Provider
	name, iss string
	sent      atomic.Int32 // conversations that carry a code, a token or a secret
}

func (a *app) Describe() upstream.Description {
	d := a.Provider.Describe()
	d.Identity, d.Upstream, d.CallbackIssuer = upstream.NewIdentity("fake", "client", a.name), a.name, a.iss
	return d
}

func (a *app) Exchange(ctx context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	a.sent.Add(1)
	return a.Provider.Exchange(ctx, req)
}

func (a *app) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	a.sent.Add(1)
	return a.Provider.Refresh(ctx, req)
}

func (a *app) Revoke(ctx context.Context, cred *upstream.Credential) error {
	a.sent.Add(1)
	return a.Provider.Revoke(ctx, cred)
}

// TestCodeOfOneUpstreamReachesNoOther is the attack of RFC 9700 §4.4 with two
// browsers: the attacker began a login at the honest upstream and has the
// victim's code brought to the tenant of an upstream of the attacker's.
func TestCodeOfOneUpstreamReachesNoOther(t *testing.T) {
	t.Parallel()
	honest, evil := &app{name: "https://honest.example"}, &app{name: "https://evil.example"}
	var tenants []*tenant.Tenant
	share := func(_ *core.Config, all []*tenant.Tenant, f *upstreamtest.Fake) {
		tenants = all
		for i, a := range []*app{honest, evil} {
			a.Fake, all[i].Provider = f, a
		}
	}
	s := coretest.New(t, share)
	for _, each := range tenants {
		each.SharedCallback = s.URL + "/shared/callback"
	}
	if _, err := tenant.NewSet(tenants...); err == nil || !strings.Contains(err.Error(), "music and octo cannot share the callback") ||
		!strings.Contains(err.Error(), honest.name) || !strings.Contains(err.Error(), evil.name) {
		t.Fatalf("two upstreams share a callback: %v", err)
	}
	evil.iss = "https://evil.example"
	if _, err := tenant.NewSet(tenants...); err == nil {
		t.Fatal("two upstreams share a callback, and one demands no iss")
	}
	honest.iss = "https://honest.example"
	set, err := tenant.NewSet(tenants...)
	if err != nil {
		t.Fatalf("both demand iss: %v", err)
	}
	s.Core.SetTenants(set)

	attacker, victim := s.Browser(), s.Browser()
	s.Consent(t, attacker, "music", s.AuthorizeQuery("music", s.Register(t, "music")), "approve")
	state := s.Consent(t, victim, "octo", s.AuthorizeQuery("octo", s.Register(t, "octo")), "approve").Query().Get("state")
	for _, iss := range []string{"&iss=" + url.QueryEscape(honest.iss), "", "&iss=x&iss=" + url.QueryEscape(evil.iss)} {
		if iss != "" { // each answer ends the login
			state = s.Consent(t, victim, "octo", s.AuthorizeQuery("octo", s.Register(t, "octo")), "approve").Query().Get("state")
		}
		a := s.Get(t, victim, "/shared/callback?code=victims-code&state="+url.QueryEscape(state)+iss)
		if a = s.Get(t, victim, strings.TrimPrefix(a.Header.Get("Location"), s.URL)); strings.Contains(a.Header.Get("Location"), "code=") {
			t.Errorf("iss %q: the login ended with a code: %d %s", iss, a.Status, a.Header.Get("Location"))
		}
	}
	if evil.sent.Load() != 0 || honest.sent.Load() != 0 {
		t.Errorf("the victim's code was sent to an upstream: evil %d, honest %d", evil.sent.Load(), honest.sent.Load())
	}
}

// TestNothingOfOneUpstreamReachesAnother changes a tenant's upstream and backend
// under two users and a login that is under way, as a restart does, and undoes
// it.
func TestNothingOfOneUpstreamReachesAnother(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) coretest.Option{
		"bolt": func(*testing.T) coretest.Option { return func(*core.Config, []*tenant.Tenant, *upstreamtest.Fake) {} },
		"redis": func(t *testing.T) coretest.Option {
			d, err := redis.Open(t.Context(), "redis://"+storetest.StartRedis(t).Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			return func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) { c.Store = d }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := &app{name: "https://a.example"}
			s := coretest.New(t, open(t), func(_ *core.Config, all []*tenant.Tenant, f *upstreamtest.Fake) {
				first.Fake, all[0].Provider = f, first
				f.Life = 2 * time.Minute
			})
			ada, bob := s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "bob")
			late := s.Browser()
			state := s.Consent(t, late, "music", s.AuthorizeQuery("music", s.Register(t, "music")), "approve").Query().Get("state")

			before := s.Core.Tenants()
			var calls atomic.Int32
			backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
			t.Cleanup(backend.Close)
			second := &app{name: "https://b.example", Provider: first.Provider}
			changed := *before.Get("music")
			changed.Provider = second
			changed.Backend, _ = url.Parse(backend.URL)
			changed.Upstream.WaitUntil = s.Now().Add(15 * time.Minute)
			set, err := tenant.NewSet(&changed)
			if err != nil {
				t.Fatal(err)
			}
			s.Core.SetTenants(set)

			if a := s.Call(t, "music", ada.Access); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
				t.Errorf("a call: %d %s", a.Status, a.Body)
			}
			if a := refresh(t, s, ada); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
				t.Errorf("a refresh: %d %s", a.Status, a.Body)
			}
			if a := s.Get(t, late, "/music/callback?code=carol&state="+url.QueryEscape(state)); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "another upstream service") {
				t.Errorf("the login under way: %d %s", a.Status, a.Body)
			}
			s.Advance(16 * time.Minute)
			if a := s.Call(t, "music", bob.Access); a.Status != http.StatusUnauthorized || a.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("a call later: %d %s", a.Status, a.Body)
			}
			if a := refresh(t, s, bob); a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "invalid_grant") {
				t.Errorf("a refresh later: %d %s", a.Status, a.Body)
			}
			if second.sent.Load() != 0 || calls.Load() != 0 {
				t.Errorf("the other upstream was sent %d requests, its backend %d", second.sent.Load(), calls.Load())
			}
			if n := strings.Count(s.Log(), "formerly"); n == 0 || n > 2 || !strings.Contains(s.Log(), "tenant accept music") {
				t.Errorf("%d lines name the remedies:\n%s", n, s.Log())
			}
			if s.Login(t, s.Browser(), "dan"); second.sent.Load() != 1 || calls.Load() != 0 {
				t.Errorf("a new login: %d requests, %d calls", second.sent.Load(), calls.Load())
			}

			s.Core.SetTenants(before)
			for who, tokens := range map[string]coretest.Tokens{"ada": ada, "bob": bob} {
				if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
					t.Errorf("%s after the change was undone: %d %s", who, a.Status, a.Body)
				}
			}
		})
	}
}
