package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/audit"
)

// strict is an upstream that takes a code or a refresh token sent twice for
// theft. Its access tokens live for strictLife.
type strict struct {
	*process

	tenant      tenant // without the upstream's URL
	killsFamily bool   // a code sent twice ends the login that it was for
	endsAccess  bool   // a refresh ends the access token of before
}

const (
	right = "right" // tenant
	wrong = "wrong" // tenant with a wrong client secret

	calls = 3 // one after the other

	// strictLife is how long the upstreams' access tokens live, as
	// fosite/main.go and node/oidc.mjs have it.
	strictLife = 2 * time.Second
)

// outlive waits until an access token that the upstream issued before has ended,
// by the upstream's clock, so that the next call needs a refresh.
func outlive(ctx context.Context) {
	select {
	case <-time.After(strictLife + 200*time.Millisecond):
	case <-ctx.Done():
	}
}

// oidcProvider logs in to oidc-provider through oidc.wasm.
func oidcProvider(ctx context.Context, t *testing.T, w *world, s site) {
	up := startNode(ctx, t, "oidc.mjs", s.app, secret, s.callback(right), s.callback(wrong))
	issuer := up.url(t)
	strictUpstream(ctx, t, w, s, strict{process: up, tenant: tenant{
		Provider: "oidc", Upstream: issuer, Backend: startBackend(t, subject(issuer)),
		// Without asking for consent it gives no refresh token.
		Settings: fmt.Sprintf(`{ issuer: "%s", authorize_params: { prompt: consent } }`, issuer),
		Scopes:   "[openid, offline_access]",
	}})
}

// fosite logs in to fosite through oauth2.wasm, by settings alone.
func fosite(ctx context.Context, t *testing.T, w *world, s site) {
	up := start(t, "fosite", exec.CommandContext(ctx, w.fosite, s.app, secret, s.callback(right), s.callback(wrong)))
	address := up.url(t)
	strictUpstream(ctx, t, w, s, strict{process: up, killsFamily: true, endsAccess: true, tenant: tenant{
		Provider: "oauth2", Upstream: address, Backend: startBackend(t, subject(address)),
		Settings: fmt.Sprintf(`{ authorize_url: "%[1]s/authorize", token_url: "%[1]s/token", userinfo_url: "%[1]s/me",
      client_auth: basic, refresh_policy: strict }`, address),
		Scopes: "[offline, profile]",
	}})
}

// strictUpstream logs in and calls, one after the other and at the same time,
// then tries what has to be refused. At the end the upstream has seen every
// refresh token once.
func strictUpstream(ctx context.Context, t *testing.T, w *world, s site, up strict) {
	good := up.tenant
	good.Name, good.App, good.Secret = right, s.app, secret
	bad := good
	bad.Name, bad.Secret = wrong, "not the secret"
	g := newGateway(ctx, t, w, s, boltStore(t), good, bad)

	// Whoever reloads the page must not send the code again.
	visit := &tamperer{reload: true}
	client := connectWith(ctx, t, g.mcpURL(right), demo.NewBrowser(logIn("hopper"), visit))
	for range calls {
		outlive(ctx)
		wantHopper(ctx, t, client)
	}
	if visit.reloaded < 400 || visit.reloaded > 499 {
		t.Errorf("the callback loaded again: expected a refusal, got %d", visit.reloaded)
	}
	wantSubject(t, g, right, "hopper")
	for range calls {
		outlive(ctx)
		var parallel sync.WaitGroup
		for range 8 {
			parallel.Go(func() {
				if up.endsAccess && until(ctx, nil, func() bool { return isHopper(ctx, client) == nil }) {
					return // a call that was on its way when another one's refresh ended its token is the tool's to lose
				}
				wantHopper(ctx, t, client)
			})
		}
		parallel.Wait()
	}

	g.wantRefused(ctx, "a wrong secret", wrong, "misconfigured", demo.NewBrowser(logIn("hopper"), nil))
	g.wantRefused(ctx, "a code used before", right, "invalid_grant", demo.NewBrowser(logIn("eve"), &tamperer{inject: visit.code}))
	if up.killsFamily {
		// The login that the code was for: the upstream has ended it, and so do we.
		token, err := client.Token()
		if err != nil {
			t.Fatal(err)
		}
		outlive(ctx)
		if resp := whoami(ctx, t, g.mcpURL(right), token.AccessToken); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("a call after the upstream ended the login: expected 401, got %s", resp.Status)
		}
	} else {
		wantHopper(ctx, t, client)
	}
	wantOnce(t, up.refreshes(t), len(g.audited(audit.Renewed, right)), up.killsFamily)
}

// refresh is a refresh token that an upstream was sent.
type refresh struct {
	Token  string // a hash of it
	Status int    // of the answer
}

// refreshes stops the upstream and returns what it printed.
func (s strict) refreshes(t *testing.T) []refresh {
	t.Helper()
	_ = s.in.Close()
	var all []refresh
	for dec := json.NewDecoder(s.out); ; {
		var r refresh
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

// wantOnce fails unless each token was sent once and taken, as many times as
// renewals were audited and at least for each call that waited for the one
// before. The upstream may refuse the last, if it has ended the login.
func wantOnce(t *testing.T, sent []refresh, renewed int, dead bool) {
	t.Helper()
	taken, again, refused := 0, 0, 0
	seen := map[string]bool{}
	for i, r := range sent {
		if seen[r.Token] {
			again++
		}
		seen[r.Token] = true
		switch {
		case r.Status == http.StatusOK:
			taken++
		case !dead || i != len(sent)-1:
			refused++
		}
	}
	if again > 0 || refused > 0 {
		t.Errorf("of %d refreshes, %d sent a token of before and %d were refused", len(sent), again, refused)
	}
	if taken != renewed || taken < 2*calls {
		t.Errorf("expected %d refreshes, as in the audit log, and at least %d; the upstream took %d", renewed, 2*calls, taken)
	}
	if dead && taken == len(sent) {
		t.Error("the upstream has not ended the login")
	}
}

// logIn approves on Sallyport's consent page, logs in by name wherever there
// is a field for it, and confirms the rest.
func logIn(name string) demo.Fill {
	return func(f *demo.Form) error {
		if f.Has("decision") {
			return f.Press("decision", "approve")
		}
		for field := range f.Values {
			if field == "login" || field == "password" {
				f.Values.Set(field, name)
			}
		}
		return nil
	}
}

// subject looks up who a token is for. It has no name here.
func subject(api string) lookup {
	return func(ctx context.Context, authorization string) (demo.Profile, error) {
		var who demo.Profile
		err := ask(ctx, http.MethodGet, api+"/me", authorization, &who)
		return who, err
	}
}

// wantHopper fails unless the tool said that hopper is calling.
func wantHopper(ctx context.Context, t *testing.T, client *demo.Client) {
	t.Helper()
	if err := isHopper(ctx, client); err != nil {
		t.Error(err)
	}
}

func isHopper(ctx context.Context, client *demo.Client) error {
	who, err := client.Whoami(ctx)
	if want := (demo.Profile{Sub: "hopper"}); err != nil || who != want {
		return fmt.Errorf("whoami: expected %+v, got %+v (%w)", want, who, err)
	}
	return nil
}
