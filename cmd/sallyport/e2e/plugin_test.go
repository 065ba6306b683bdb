package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/callback"
)

// dropIn puts a second plugin into the folder of a running Sallyport and a
// tenant that names it into the config. After a restart the tenant is there,
// and nobody at the first one has noticed.
func dropIn(ctx context.Context, t *testing.T, w *world, s site) {
	const name = "music"
	g := newGateway(ctx, t, w, s, boltStore(t))
	first := connect(ctx, t, g.mcpURL(), w.signIn)
	got, err := first.Whoami(ctx)
	w.wantUser(t, got, err)
	if got := status(ctx, authServerMetadata(s, name)); got != http.StatusNotFound {
		t.Fatalf("metadata of a tenant that is not there: expected 404, got %d", got)
	}

	user := demo.Users()[1]
	upstream := httptest.NewServer(demo.NewUpstream(demo.UpstreamConfig{Apps: []demo.App{
		{ID: name, Secret: secret, Name: "Sallyport", RedirectURI: s.tenantURL(name) + callback.Path},
	}}))
	t.Cleanup(upstream.Close)
	backend := httptest.NewServer(demo.NewBackend(upstream.URL, nil))
	t.Cleanup(backend.Close)
	copyFile(t, filepath.Join(w.plugins, "oauth2.wasm"), filepath.Join(g.pluginDir(), "oauth2.wasm"))
	g.private = append(g.private, strings.TrimPrefix(upstream.URL, "http://"))
	g.tenants = fmt.Sprintf(`
  %s:
    provider: oauth2
    settings: { authorize_url: "%[2]s%[3]s", token_url: "%[2]s%[4]s", userinfo_url: "%[2]s%[5]s" }
    client_id: %[1]s
    client_secret: "%[6]s"
    scopes: [profile, playlists]
    backend: "%[7]s/mcp"
`, name, upstream.URL, demo.AuthorizePath, demo.TokenPath, demo.UserinfoPath, secret, backend.URL)
	if err := g.restart(ctx); err != nil {
		t.Fatal(err)
	}

	wantDiscovery(ctx, t, s, name)
	second := connect(ctx, t, s.tenantURL(name)+"/mcp", demo.SignIn(user.Login))
	who, err := second.Whoami(ctx)
	if want := (demo.Profile{Sub: user.Sub, Name: user.Name, Email: user.Email}); err != nil || who != want {
		t.Errorf("whoami at the new tenant: expected %+v, got %+v (%v)", want, who, err)
	}
	got, err = first.Whoami(ctx)
	w.wantUser(t, got, err)
}
