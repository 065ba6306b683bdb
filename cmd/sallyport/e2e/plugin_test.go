package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// dropIn puts a second plugin into the folder of a running Sallyport and a
// tenant that names it into the config. After a restart the tenant is there,
// and nobody at the first one has noticed.
func dropIn(ctx context.Context, t *testing.T, w *world, s site) {
	const name = "music"
	g := newGateway(ctx, t, w, s, boltStore(t), w.octo(s))
	first := connect(ctx, t, g.mcpURL(octo), w.signIn)
	got, err := first.Whoami(ctx)
	w.wantUser(t, got, err)
	if got := status(ctx, authServerMetadata(s, name)); got != http.StatusNotFound {
		t.Fatalf("metadata of a tenant that is not there: expected 404, got %d", got)
	}

	user := demo.Users()[1]
	upstream := httptest.NewServer(demo.NewUpstream(demo.UpstreamConfig{Apps: []demo.App{
		{ID: name, Secret: secret, Name: "Sallyport", RedirectURI: s.callback(name)},
	}}))
	t.Cleanup(upstream.Close)
	backend := httptest.NewServer(demo.NewBackend(upstream.URL, nil))
	t.Cleanup(backend.Close)
	g.add(tenant{
		Name: name, Provider: "oauth2", App: name, Secret: secret, Scopes: "[profile, playlists]",
		Settings: fmt.Sprintf(`{ authorize_url: "%[1]s%[2]s", token_url: "%[1]s%[3]s", userinfo_url: "%[1]s%[4]s" }`,
			upstream.URL, demo.AuthorizePath, demo.TokenPath, demo.UserinfoPath),
		Upstream: upstream.URL, Backend: backend.URL,
	})
	if err := g.restart(ctx); err != nil {
		t.Fatal(err)
	}

	wantDiscovery(ctx, t, s, name)
	second := connect(ctx, t, s.mcpURL(name), demo.SignIn(user.Login))
	who, err := second.Whoami(ctx)
	if want := (demo.Profile{Sub: user.Sub, Name: user.Name, Email: user.Email}); err != nil || who != want {
		t.Errorf("whoami at the new tenant: expected %+v, got %+v (%v)", want, who, err)
	}
	got, err = first.Whoami(ctx)
	w.wantUser(t, got, err)
}
