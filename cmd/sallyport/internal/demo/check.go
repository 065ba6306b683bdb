package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// CheckTenant is a tenant the check logs in to.
type CheckTenant struct {
	Name  string
	URL   string // of its MCP route, which is also its resource
	Login string // who logs in, by the name the upstream's page asks for

	ProtocolVersion string // MCP revision the client asks for; empty: the newest
}

// Check drives the whole loop as an MCP client and a person would and compares
// what comes with what should. Everything it talks to must be running. No step
// waits for time to pass.
type Check struct {
	Out     io.Writer      // gets a line for every step
	Tenants [2]CheckTenant // with different logins

	Upstream    *Upstream
	UpstreamURL string // base URL it is served at

	Transport http.RoundTripper // nil: one of its own
	Now       func() time.Time  // nil: time.Now; only measures
}

// visit is the client of one tenant during a check.
type visit struct {
	check  *Check
	tenant CheckTenant
	user   User
	trace  *trace

	server endpoints // set by discover
	client *Client   // set by logIn
}

// Run performs the check. The error names the step that failed and says what
// was expected and what came.
func (c *Check) Run(ctx context.Context) error {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	first, err := c.visit(c.Tenants[0], now)
	if err != nil {
		return err
	}
	second, err := c.visit(c.Tenants[1], now)
	if err != nil {
		return err
	}
	defer first.close()
	defer second.close()
	return runSteps(ctx, c.Out, now, slices.Concat(first.loginSteps(), first.refreshSteps(), second.loginSteps(), []step{
		{"each token is refused at the other tenant", func(ctx context.Context) (string, error) { return crossTenants(ctx, first, second) }},
		{first.tenant.Name + ": still the first user", first.identity},
		{first.tenant.Name + ": " + first.user.Name + " ends the connection on the page", first.endConnection},
		{first.tenant.Name + ": its tokens are dead", first.dead},
		{second.tenant.Name + ": its grant is untouched", second.identity},
	}))
}

func (c *Check) visit(tenant CheckTenant, now func() time.Time) (*visit, error) {
	user, ok := c.Upstream.users[tenant.Login]
	if !ok {
		return nil, fmt.Errorf("check: the upstream knows nobody named %q", tenant.Login)
	}
	next := transportOr(c.Transport)
	return &visit{check: c, tenant: tenant, user: user, trace: &trace{next: next, now: now}}, nil
}

func (v *visit) close() {
	if v.client != nil {
		v.client.Close() // best effort: the session's token may be dead by now
	}
}

func (v *visit) loginSteps() []step {
	name := v.tenant.Name
	return []step{
		{name + ": a call without a token is challenged", v.challenge},
		{name + ": discover the authorization server", v.discover},
		{name + ": log in as " + v.user.Name + " and call " + ToolWhoami, v.logIn},
		{name + ": call " + ToolListPlaylists, v.playlists},
	}
}

func (v *visit) refreshSteps() []step {
	name := v.tenant.Name
	return []step{
		{name + ": the upstream token expires, call again", v.upstreamRefresh},
		{name + ": the client refreshes its own token", v.clientRefresh},
		{name + ": call with the new token", v.identity},
	}
}

// logIn connects and calls a tool, which makes the SDK log in, and checks that
// the login went through every part of the flow, in order, once.
func (v *visit) logIn(ctx context.Context) (string, error) {
	v.trace.take()
	logins := v.check.Upstream.Stats().Logins
	browser := NewBrowser(SignIn(v.user.Login), v.trace)
	client, err := Connect(ctx, v.tenant.URL, browser, Options{ProtocolVersion: v.tenant.ProtocolVersion, Transport: v.trace})
	if err != nil {
		return "", err
	}
	v.client = client
	if want, got := v.tenant.ProtocolVersion, client.ProtocolVersion(); want != "" && got != want {
		return "", fmt.Errorf("expected MCP revision %s, got %s", want, got)
	}
	who, err := v.identity(ctx)
	if err != nil {
		return "", err
	}
	if got := v.check.Upstream.Stats().Logins; got != logins+1 {
		return "", fmt.Errorf("expected one login at the upstream, got %d", got-logins)
	}
	phases := phasesOf(v.trace.take(), v.classify)
	if err := inOrder(phases, "call", "discover", "register", "consent", "login", "callback", "token", "call"); err != nil {
		return "", err
	}
	return who + "; ms: " + describe(phases), nil
}

// classify says what an exchange of a login is for.
func (v *visit) classify(e exchange) string {
	switch {
	case e.url == v.tenant.URL:
		return "call"
	case strings.Contains(e.url, "/.well-known/"):
		return "discover"
	case e.url == v.server.registration:
		return "register"
	case e.url == v.server.token:
		return "token"
	case strings.HasPrefix(e.url, v.check.UpstreamURL+"/"):
		return "login"
	case strings.Contains(e.url, "/callback"):
		return "callback"
	default:
		return "consent"
	}
}

// inOrder checks the names of phases.
func inOrder(phases []phase, want ...string) error {
	got := make([]string, len(phases))
	for i, p := range phases {
		got[i] = p.name
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("expected the flow %s, got %s", strings.Join(want, " > "), strings.Join(got, " > "))
	}
	return nil
}

// identity calls whoami and compares the answer with the user of this visit.
func (v *visit) identity(ctx context.Context) (string, error) {
	who, err := v.client.Whoami(ctx)
	if err != nil {
		return "", err
	}
	if want := profile(v.user); who != want {
		return "", fmt.Errorf("expected to be %+v, got %+v", want, who)
	}
	return fmt.Sprintf("%s (%s)", who.Name, who.Sub), nil
}

func (v *visit) playlists(ctx context.Context) (string, error) {
	got, err := v.client.Playlists(ctx)
	if err != nil {
		return "", err
	}
	want := Playlists{v.user.Sub, v.user.Playlists}
	if got.Owner != want.Owner || !slices.Equal(got.Playlists, want.Playlists) {
		return "", fmt.Errorf("expected %+v, got %+v", want, got)
	}
	return fmt.Sprintf("%d of %s", len(got.Playlists), got.Owner), nil
}

// upstreamRefresh ends the upstream's access token and expects the gateway to
// get a new one unseen: the client neither refreshes nor logs in.
func (v *visit) upstreamRefresh(ctx context.Context) (string, error) {
	before := v.check.Upstream.Stats()
	v.check.Upstream.ExpireAccessTokens()
	v.trace.take()
	who, err := v.identity(ctx)
	if err != nil {
		return "", err
	}
	after := v.check.Upstream.Stats()
	if after.Refreshes == before.Refreshes || after.Logins != before.Logins || after.Refused != before.Refused {
		return "", fmt.Errorf("expected a refresh and no login at the upstream, got %+v after %+v", after, before)
	}
	if err := inOrder(phasesOf(v.trace.take(), v.classify), "call"); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; upstream refreshes: %d", who, after.Refreshes-before.Refreshes), nil
}

// clientRefresh expects new tokens of both kinds (OAuth 2.1 §4.3.1: rotation).
func (v *visit) clientRefresh(ctx context.Context) (string, error) {
	before, err := v.client.Token()
	if err != nil {
		return "", err
	}
	after, err := v.client.Refresh(ctx)
	if err != nil {
		return "", err
	}
	switch {
	case after.AccessToken == before.AccessToken:
		return "", errors.New("expected another access token, got the same")
	case after.RefreshToken == before.RefreshToken:
		return "", errors.New("expected another refresh token, got the same")
	}
	return "both tokens are new", nil
}

// crossTenants presents each visit's access token at the other's tenant.
func crossTenants(ctx context.Context, a, b *visit) (string, error) {
	for _, pair := range [][2]*visit{{a, b}, {b, a}} {
		token, err := pair[0].client.Token()
		if err != nil {
			return "", err
		}
		if err := pair[1].refused(ctx, token.AccessToken); err != nil {
			return "", fmt.Errorf("a token of %s at %s: %w", pair[0].tenant.Name, pair[1].tenant.Name, err)
		}
	}
	return "401 invalid_token, both ways", nil
}

// endConnection signs in to the connections page, from another browser than the
// one that logged in, and ends what is listed there.
func (v *visit) endConnection(ctx context.Context) (string, error) {
	issuer, err := issuerOf(v.tenant.URL)
	if err != nil {
		return "", err
	}
	browser := NewBrowser(endOnly(v.user.Login), v.trace)
	_, err = browser.Visit(ctx, issuer+"/connections", func(u *url.URL) bool { return u.Query().Get("notice") == "ended" })
	return issuer + "/connections", err
}

// endOnly signs in as the user of that name and ends the only connection there
// is.
func endOnly(login string) Fill {
	return func(f *Form) error {
		var listed []string
		for _, b := range f.Buttons {
			if b.Name == "end" {
				listed = append(listed, b.Value)
			}
		}
		switch {
		case len(listed) == 1:
			return f.Press("end", listed[0])
		case !f.Has("do"):
			return f.Press("login", login)
		case len(listed) > 1:
			return fmt.Errorf("expected one connection, got %d", len(listed))
		}
		return f.Press("do", "sign-in")
	}
}

// dead expects both tokens of an ended grant to be refused.
func (v *visit) dead(ctx context.Context) (string, error) {
	token, err := v.client.Token()
	if err != nil {
		return "", err
	}
	if err := v.refused(ctx, token.AccessToken); err != nil {
		return "", err
	}
	_, err = v.client.Refresh(ctx)
	if answer, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || answer.ErrorCode != "invalid_grant" {
		return "", fmt.Errorf("expected the token endpoint to answer invalid_grant, got: %w", err)
	}
	return "access: 401 invalid_token, refresh: invalid_grant", nil
}

// endpoints is what the check keeps of the authorization server's metadata.
type endpoints struct{ registration, token string }

// issuerOf returns the issuer a tenant's MCP URL implies: the URL without the
// last segment.
func issuerOf(mcpURL string) (string, error) {
	u, err := url.Parse(mcpURL)
	if err != nil {
		return "", err
	}
	issuer, ok := strings.CutSuffix(u.String(), "/mcp")
	if !ok {
		return "", fmt.Errorf("expected an MCP URL that ends in /mcp, got %s", mcpURL)
	}
	return issuer, nil
}
