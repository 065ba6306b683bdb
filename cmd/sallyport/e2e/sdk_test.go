package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/audit"
)

// typeScriptV2Client loses its grant with the store. Its registration is in its
// client id, so it has to log in again, but not to register.
func typeScriptV2Client(ctx context.Context, t *testing.T, w *world, s site) {
	store := boltStore(t)
	g := newGateway(ctx, t, w, s, store, w.octo(s))
	client := &tsClient{
		process: startNode(ctx, t, "client-v2.mjs", g.mcpURL(octo), demo.CallbackURL),
		browser: demo.NewBrowser(w.signIn, nil),
		tenant:  g.tenantURL(octo),
	}
	second := loginAndRefresh(ctx, t, w, client)
	registrations := func() int { return strings.Count(g.out.String(), string(audit.Registered)) }
	if got := registrations(); got != 1 {
		t.Errorf("expected one registration, got %d", got)
	}

	g.stop()
	if err := os.Remove(strings.TrimPrefix(store, "bolt://")); err != nil {
		t.Fatal(err)
	}
	if err := g.start(ctx); err != nil {
		t.Fatal(err)
	}
	// 401 for the access token, invalid_grant for the refresh token, a login.
	third, err := client.do(ctx, "call")
	w.wantUser(t, third.Whoami, err)
	if third.AccessToken == second.AccessToken || client.logins != 2 {
		t.Errorf("expected a second login and its tokens, got %d logins", client.logins)
	}
	if registrations() > 1 {
		t.Error("the client registered again")
	}
}

func pythonClient(ctx context.Context, t *testing.T, w *world, s site) {
	g := newGateway(ctx, t, w, s, boltStore(t), w.octo(s))
	client := &tsClient{
		process: startPython(ctx, t, "client.py", g.mcpURL(octo), demo.CallbackURL),
		browser: demo.NewBrowser(w.signIn, nil),
		tenant:  g.tenantURL(octo),
	}
	second := loginAndRefresh(ctx, t, w, client)
	third, err := client.do(ctx, "call")
	w.wantUser(t, third.Whoami, err)
	if third.AccessToken != second.AccessToken || client.logins != 1 {
		t.Errorf("expected the refreshed tokens to last, and one login; got %d logins", client.logins)
	}
}

// loginAndRefresh has a new client log in, call and refresh, and returns what
// it said after the refresh.
func loginAndRefresh(ctx context.Context, t *testing.T, w *world, client *tsClient) tsAnswer {
	t.Helper()
	first, err := client.do(ctx, "call")
	w.wantUser(t, first.Whoami, err)
	second, err := client.do(ctx, "refresh")
	w.wantUser(t, second.Whoami, err)
	if second.AccessToken == first.AccessToken || second.RefreshToken == first.RefreshToken {
		t.Error("expected new tokens of a refresh, got the old")
	}
	if client.logins != 1 {
		t.Errorf("expected one login, got %d", client.logins)
	}
	return second
}

// startPython runs a script of the folder python until ctx ends or the test is
// over, whichever comes first.
func startPython(ctx context.Context, t *testing.T, script string, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(ctx, installed(t, "python/.venv/bin/python"), append([]string{script}, args...)...)
	cmd.Dir = "python"
	return start(t, script, cmd)
}
