package e2e

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// connect logs in with the Go SDK; fill answers the pages on the way. The
// client is closed at the end of the test.
func connect(ctx context.Context, t *testing.T, mcpURL string, fill demo.Fill) *demo.Client {
	t.Helper()
	return connectWith(ctx, t, mcpURL, demo.NewBrowser(fill, nil))
}

// connectWith is connect with a browser of one's own.
func connectWith(ctx context.Context, t *testing.T, mcpURL string, browser *demo.Browser) *demo.Client {
	t.Helper()
	client, err := demo.Connect(ctx, mcpURL, browser, demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // the server may be gone by then
	return client
}

func boltStore(t *testing.T) string { return "bolt://" + filepath.Join(t.TempDir(), "state.db") }

func goClient(ctx context.Context, t *testing.T, w *world, s site) {
	g := newGateway(ctx, t, w, s, boltStore(t), w.octo(s))
	client := connect(ctx, t, g.mcpURL(octo), w.signIn)
	got, err := client.Whoami(ctx)
	w.wantUser(t, got, err)
}

func typeScriptClient(ctx context.Context, t *testing.T, w *world, s site) {
	g := newGateway(ctx, t, w, s, boltStore(t), w.octo(s))
	client := &tsClient{
		process: startNode(ctx, t, "client.mjs", g.mcpURL(octo), demo.CallbackURL),
		browser: demo.NewBrowser(w.signIn, nil),
		tenant:  g.tenantURL(octo),
	}
	first, err := client.do(ctx, "call")
	w.wantUser(t, first.Whoami, err)
	if !slices.Equal(first.Tools, []string{demo.ToolWhoami}) {
		t.Errorf("expected the tool %s, got %v", demo.ToolWhoami, first.Tools)
	}
	// The bad access token is answered 401, and the SDK refreshes.
	second, err := client.do(ctx, "refresh")
	w.wantUser(t, second.Whoami, err)
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
		t.Error("expected new tokens of a refresh, got the old")
	}
	third, err := client.do(ctx, "call")
	w.wantUser(t, third.Whoami, err)
	if third.AccessToken != second.AccessToken || client.logins != 1 {
		t.Errorf("expected the refreshed tokens to last, and one login; got %d logins", client.logins)
	}
}
