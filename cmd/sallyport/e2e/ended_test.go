package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/audit"
)

// provided is a running oidc-provider with an administrator.
type provided struct {
	*process
	issuer string
}

// act is one of the administrator's acts that oidc.mjs describes, with
// parameters name, value, name, value.
func (p *provided) act(ctx context.Context, t *testing.T, what string, params ...string) {
	t.Helper()
	query := url.Values{}
	for i := 0; i < len(params); i += 2 {
		query.Set(params[i], params[i+1])
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.issuer+"/admin/"+what+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("%s: %s", what, resp.Status)
	}
}

// caller is one user with a client on an official SDK.
type caller struct {
	client
	name, user string
	want       demo.Profile
	last       answer // of the last command that succeeded
	signedIn   int    // logins expected so far
}

// calls calls as the user, who has to log in that many times for it.
func (c *caller) calls(ctx context.Context, t *testing.T, command string, logins int) {
	t.Helper()
	c.signedIn += logins
	got, err := c.do(ctx, command)
	if err != nil || got.Whoami != c.want {
		t.Errorf("%s, %s: %+v, %v; want %+v", c.name, command, got.Whoami, err, c.want)
		return
	}
	c.last = got
	c.wantLogins(t)
}

func (c *caller) wantLogins(t *testing.T) {
	t.Helper()
	if n := c.logins(); n != c.signedIn {
		t.Errorf("%s: the user logged in %d times, want %d", c.name, n, c.signedIn)
	}
}

// usersOf logs three users in to a tenant, each with a client on another SDK.
func usersOf(ctx context.Context, t *testing.T, g *gateway, name string, want func(user string) demo.Profile, fill func(user string) demo.Fill) []*caller {
	t.Helper()
	list := []*caller{{name: "TypeScript SDK v1", user: "ada"}, {name: "TypeScript SDK v2", user: "grace"}, {name: "Go SDK", user: "hopper"}}
	for i, c := range list {
		c.want, c.signedIn = want(c.user), 1
		if c.user == "hopper" {
			own := &goClient{}
			own.Client = connect(ctx, t, g.mcpURL(name), counted(&own.asked, fill(c.user)))
			c.client = own
		} else {
			file := []string{"client.mjs", "client-v2.mjs"}[i]
			c.client = &script{
				process: startNode(ctx, t, file, g.mcpURL(name), demo.CallbackURL), name: file,
				browser: demo.NewBrowser(fill(c.user), nil), tenant: g.tenantURL(name),
			}
		}
		c.calls(ctx, t, "call", 0)
	}
	return list
}

// endedSessions ends what a real identity provider knows of its users, while
// clients on the official SDKs are at work: each logs in again by itself, once.
// What the operator has to mend logs no client out.
func endedSessions(_ context.Context, t *testing.T, w *world, s site) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience) // it waits eleven times for tokens to end
	defer cancel()
	up := &provided{process: startNode(ctx, t, "oidc.mjs", s.app, secret, s.callback(right))}
	up.issuer = up.url(t)
	g := newGateway(ctx, t, w, s, boltStore(t), tenant{
		Name: right, Provider: "oidc", App: s.app, Secret: secret, Upstream: up.issuer, Backend: startBackend(t, subject(up.issuer)),
		Settings: fmt.Sprintf(`{ issuer: "%s", authorize_params: { prompt: consent }, refresh_scope: true }`, up.issuer),
		Scopes:   "[openid, offline_access]",
	})
	up.act(ctx, t, "scope") // U1: from here on a refresh without the scope is refused
	all := usersOf(ctx, t, g, right, func(user string) demo.Profile { return demo.Profile{Sub: user} }, logIn)
	everyone := func(command string, logins int) {
		for _, c := range all {
			c.calls(ctx, t, command, logins)
		}
	}
	refuse := func(codes ...string) {
		for i, code := range codes {
			up.act(ctx, t, "refuse", "account", all[i].user, "error", code)
		}
		outlive(ctx)
	}
	end := func() {
		for _, c := range all {
			up.act(ctx, t, "end", "account", c.user)
		}
		outlive(ctx)
	}

	outlive(ctx)
	everyone("call", 0) // renewed

	end()
	everyone("call", 1)
	end()
	for _, c := range all {
		wantNeedsLogin(ctx, t, g, right, c)
	}
	everyone("refresh", 1) // the client's own refresh is answered invalid_grant

	for _, codes := range [][]string{{"consent_required", "login_required", "interaction_required"}, {"access_denied", "invalid_scope", "invalid_grant"}} {
		refuse(codes...)
		everyone("call", 1)
	}

	// U26: of three tokens one is refused under another name.
	for i, code := range []string{"invalid_request", "unauthorized_client"} {
		refuse("", "", "")
		everyone("call", 0)
		up.act(ctx, t, "refuse", "account", all[i].user, "error", code)
		outlive(ctx)
		for j, c := range all {
			if j != i {
				c.calls(ctx, t, "call", 0)
			}
		}
		all[i].calls(ctx, t, "call", 1)
	}
	refuse("", "", "")
	everyone("call", 0)
	wrongSecret(ctx, t, g, right, all, func(secret string) { up.act(ctx, t, "client", "secret", secret) })
}

// wrongSecret changes the client secret at the upstream and back. Meanwhile every
// call is answered 502, no client throws its tokens away, and the operator is
// told which key of which tenant is wrong.
func wrongSecret(ctx context.Context, t *testing.T, g *gateway, name string, all []*caller, change func(secret string)) {
	change("another-secret-of-more-than-32-characters")
	outlive(ctx)
	before, ended := len(g.out.String()), len(g.audited(audit.UpstreamDead, name))
	for round := range 2 {
		for _, c := range all {
			failed, err := c.do(ctx, "call")
			if err == nil || c.logins() != c.signedIn {
				t.Errorf("%s, wrong secret: %+v, %v, %d logins, want an error and %d", c.name, failed.Whoami, err, c.logins(), c.signedIn)
			}
			if resp := whoami(ctx, t, g.mcpURL(name), c.last.AccessToken); resp.StatusCode != http.StatusBadGateway || resp.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s, wrong secret: a call is answered %s, want 502 without a challenge", c.name, resp.Status)
			}
			if round > 0 {
				continue // TypeScript's v1 does not refresh twice if the call in between failed
			}
			if err := stillRefreshes(ctx, c); err != nil {
				t.Errorf("%s, wrong secret: %v", c.name, err)
			}
		}
	}
	said := false
	for line := range strings.Lines(g.out.String()[before:]) {
		said = said || strings.Contains(line, "[ERROR]") && strings.Contains(line, "tenant="+name) && strings.Contains(line, "client_secret")
	}
	if !said {
		t.Error("no ERROR names the tenant and client_secret")
	}
	if n := len(g.audited(audit.UpstreamDead, name)); n > ended {
		t.Errorf("a wrong secret ended %d grants", n-ended)
	}

	change(secretOf(g, name))
	for _, c := range all {
		if !until(ctx, g.done, func() bool { return whoami(ctx, t, g.mcpURL(name), c.last.AccessToken).StatusCode == http.StatusOK }) {
			t.Fatalf("%s: with the secret mended calls fail", c.name)
		}
		c.calls(ctx, t, "call", 0)
	}
}

// secretOf is the client secret that a tenant is configured with.
func secretOf(g *gateway, name string) string {
	for _, t := range g.tenants {
		if t.Name == name {
			return t.Secret
		}
	}
	return ""
}

// stillRefreshes has the client refresh its tokens. A client that is told
// invalid_grant throws them away.
func stillRefreshes(ctx context.Context, c *caller) error {
	if own, ok := c.client.(*goClient); ok {
		token, err := own.Refresh(ctx)
		if err == nil {
			c.last.AccessToken, c.last.RefreshToken = token.AccessToken, token.RefreshToken
		}
		if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
			return fmt.Errorf("the refresh is answered %s", refused.ErrorCode)
		}
		return err
	}
	got, _ := c.do(ctx, "refresh") // a refresh, and then a call that fails
	if got.RefreshToken == "" || got.RefreshToken == c.last.RefreshToken {
		return fmt.Errorf("the client's refresh token is %.12q…, as if it had not refreshed", got.RefreshToken)
	}
	c.last.AccessToken, c.last.RefreshToken = got.AccessToken, got.RefreshToken
	return nil
}

// wantNeedsLogin fails unless a call with the client's token is answered with a
// challenge.
func wantNeedsLogin(ctx context.Context, t *testing.T, g *gateway, name string, c *caller) {
	t.Helper()
	resp := whoami(ctx, t, g.mcpURL(name), c.last.AccessToken)
	if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(challenge, "resource_metadata=") {
		t.Errorf("%s: a call after the session ended is answered %s, challenge %q", c.name, resp.Status, challenge)
	}
}
