package coretest

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// Bubble is the real server without a network and without a file, so that a
// bubble of testing/synctest can hold it and own its time. Its one tenant is
// music, at http://localhost/music, and somebody is logged in.
type Bubble struct {
	Core   *core.Server
	Tenant *tenant.Tenant
	Store  *memory.Driver
	Token  string // access token of the one grant
}

// NewBubble returns a Bubble whose backend is reached through backend. change,
// which may be nil, sees the tenant before the server does.
func NewBubble(t testing.TB, backend http.RoundTripper, change func(*tenant.Tenant)) *Bubble {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	b := &Bubble{Store: &memory.Driver{}, Tenant: &tenant.Tenant{
		Name: "music", Issuer: "http://localhost/music", Provider: upstreamtest.Provider{Fake: &upstreamtest.Fake{}},
		Backend: &url.URL{Scheme: "http", Host: "backend", Path: "/mcp"}, Redirects: oauth.DefaultRedirects(), Lifetimes: tenant.DefaultLifetimes(),
	}}
	if change != nil {
		change(b.Tenant)
	}
	set, err := tenant.NewSet(b.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	if b.Core, err = core.New(core.Config{Tenants: set, Store: b.Store, Keys: keys, BackendTransport: backend}); err != nil {
		t.Fatal(err)
	}
	code, err := b.Core.Grants().Create(t.Context(), b.Tenant, grant.New{
		ClientID: "c", Challenge: oauth.ChallengeOf(Verifier), Resource: b.Tenant.Resource(),
		Credential: &upstream.Credential{AccessToken: seal.NewSecret("x"), Account: upstream.Account{ID: "42"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := b.Core.Grants().Redeem(t.Context(), b.Tenant, code, grant.Presented{ClientID: "c", Verifier: Verifier})
	if err != nil {
		t.Fatal(err)
	}
	b.Token = tokens.Access
	return b
}

// Serve serves h without a network until the test ends, with the timeouts of
// production.
func Serve(t testing.TB, h http.Handler) *Listener {
	t.Helper()
	l := Listen()
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return l
}
