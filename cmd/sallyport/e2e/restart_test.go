package e2e

import (
	"context"
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// restarts ends the process and starts another wherever a login or its tokens
// wait for the next request.
func restarts(ctx context.Context, t *testing.T, w *world, s site, store string) {
	g := newGateway(ctx, t, w, s, store, w.octo(s))
	restarted := 0
	restart := func() {
		t.Helper()
		if err := g.restart(ctx); err != nil {
			t.Fatal(err)
		}
		restarted++
	}

	// After consent, while the person is on the upstream's login page: the
	// callback finds the authorization session again.
	client := connect(ctx, t, g.mcpURL(octo), func(f *demo.Form) error {
		if !f.Has("decision") {
			restarted++
			if err := g.restart(ctx); err != nil {
				return err // the SDK may have another goroutine here, so nothing fatal
			}
		}
		return w.signIn(f)
	})
	got, err := client.Whoami(ctx)
	w.wantUser(t, got, err)
	if restarted != 1 {
		t.Fatalf("expected one restart during one login, got %d", restarted)
	}

	restart() // between login and call
	got, err = client.Whoami(ctx)
	w.wantUser(t, got, err)

	for range 2 { // between a refresh and the next, and between refresh and call
		restart()
		if _, err := client.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	got, err = client.Whoami(ctx)
	w.wantUser(t, got, err)
	if restarted != 5 {
		t.Errorf("the client logged in again: %d restarts instead of 5", restarted)
	}

	g.stop()
	if got := status(ctx, g.readyz()); got == http.StatusOK {
		t.Error("a stopped Sallyport still says that it is ready: another process answered these tests")
	}
}
