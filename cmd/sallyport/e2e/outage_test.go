package e2e

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport/core/store/storetest"
)

// outage takes Redis away. What cannot be verified is answered 503, which a
// client waits out; 401 or invalid_grant would make it throw its tokens away.
func outage(ctx context.Context, t *testing.T, w *world, s site) {
	// Everything acknowledged is on disk: the server dies without warning.
	redis := storetest.StartRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	g := newGateway(ctx, t, w, s, "redis://"+redis.Addr, w.octo(s))
	client := connect(ctx, t, g.mcpURL(octo), w.signIn)
	got, err := client.Whoami(ctx)
	w.wantUser(t, got, err)
	before, err := client.Token()
	if err != nil {
		t.Fatal(err)
	}

	redis.Stop()
	var call *http.Response
	until(ctx, nil, func() bool { // for a few seconds the grant is remembered
		call = whoami(ctx, t, g.mcpURL(octo), before.AccessToken)
		return call.StatusCode != http.StatusOK
	})
	wantUnavailable(t, "a call", call)
	_, err = client.Refresh(ctx)
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); !ok {
		t.Errorf("a refresh without a store: expected a refusal, got %v", err)
	} else {
		wantUnavailable(t, "a refresh", refused.Response)
	}
	// A forged token is known without the store.
	if resp := whoami(ctx, t, g.mcpURL(octo), "forged"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a call with a forged token: expected 401, got %s", resp.Status)
	}
	if got := status(ctx, g.readyz()); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: expected 503, got %d", got)
	}
	wantDiscovery(ctx, t, g.site, octo)

	redis.Start()
	if !until(ctx, nil, func() bool { return status(ctx, g.readyz()) == http.StatusOK }) {
		t.Fatal("not ready again after Redis came back")
	}
	got, err = client.Whoami(ctx)
	w.wantUser(t, got, err)
	if now, err := client.Token(); err != nil || now != before {
		t.Errorf("expected the tokens of before the outage, got others (%v)", err)
	}
	if _, err := client.Refresh(ctx); err != nil {
		t.Error(err)
	}
	got, err = client.Whoami(ctx)
	w.wantUser(t, got, err)
}

// wantUnavailable fails unless the answer says "later", and not "no".
func wantUnavailable(t *testing.T, what string, resp *http.Response) {
	t.Helper()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%s without a store: expected 503, got %s", what, resp.Status)
	}
	if resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s without a store: the answer has no Retry-After", what)
	}
	if challenge := resp.Header.Get("WWW-Authenticate"); challenge != "" {
		t.Errorf("%s without a store: expected no challenge, got %s", what, challenge)
	}
}
