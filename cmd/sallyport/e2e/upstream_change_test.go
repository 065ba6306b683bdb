package e2e

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// TestUpstreamChange changes a tenant under two users who are logged in with the
// TypeScript SDK, which throws its tokens away when it is told invalid_grant, and
// under a login that is under way: first by a reload and then by a restart, and
// undoes each, on Redis both by a reload. No byte of the old upstream's reaches a new upstream or backend, a
// change of upstream waits or is answered 503, and afterwards both users go on
// without a login.
func TestUpstreamChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := &world{bin: filepath.Join(dir, "sallyport"), plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache")}
	run(t, "go", "build", "-o", w.bin, "..")
	run(t, w.bin, "plugin", "build", "-o", w.plugins, "../../../providers/oauth2", "../../../providers/github")
	w.upstream = startEmulate(t, "github", seed(nil))
	stores := map[string]func(*testing.T) string{
		"bolt":  boltStore,
		"Redis": func(t *testing.T) string { return "redis://" + storetest.StartRedis(t).Addr },
	}
	for what, change := range map[string]func(*testing.T, *world, site) changeScene{
		"settings": changedSettings, "client id": changedClientID, "provider": changedProvider,
		"preset": changedPreset, "backend": changedBackend, "all at once": changedAll,
	} {
		for store, open := range stores {
			t.Run(what+" on "+store, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				defer cancel()
				c := startChange(ctx, t, w, open(t), change)
				c.logIn(ctx)
				c.reload(ctx)
				c.restart(ctx, store == "Redis")
			})
		}
	}
	t.Run("accepted", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		c := startChange(ctx, t, w, boltStore(t), changedSettings)
		c.logIn(ctx)
		c.accept(ctx)
	})
}

// changeTest is a server whose tenant changes.
type changeTest struct {
	changeScene
	*gateway
	socket string // of the operator's commands
	users  []*userOf
}

// userOf is a user with a client on the TypeScript SDK.
type userOf struct {
	*script
	who  demo.Profile
	last answer // of the last command that succeeded
}

func startChange(ctx context.Context, t *testing.T, w *world, store string, change func(*testing.T, *world, site) changeScene) *changeTest {
	t.Helper()
	at := site{front: loopback.Free(t), operator: loopback.Free(t)}
	c := &changeTest{changeScene: change(t, w, at)}
	c.from.secrets.note(clientSecret, oldSecret)
	c.gateway = prepareGateway(t, w, at, store, seal.NewKey(), c.old, c.new)
	c.tenants = []tenant{c.old}
	dir, err := os.MkdirTemp("", "") // the path of a Unix socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c.socket = filepath.Join(dir, "admin.sock")
	c.gateway.environ = append(c.changeScene.environ, "SALLYPORT_SERVER__ADMIN_SOCKET="+c.socket)
	if err := c.start(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

// user starts the client of a user of the double.
func (c *changeTest) user(ctx context.Context, file, login string, transport http.RoundTripper) *userOf {
	c.t.Helper()
	u := &userOf{script: &script{
		process: startNode(ctx, c.t, file, c.mcpURL(octo), demo.CallbackURL), name: login + "'s " + file,
		browser: demo.NewBrowser(demo.SignIn(login), transport), tenant: c.tenantURL(octo),
	}}
	for _, who := range demo.Users() {
		if who.Login == login {
			u.who = demo.Profile{Sub: who.Sub, Name: who.Name, Email: who.Email}
		}
	}
	return u
}

// works fails unless the user's command succeeds, after this many logins.
func (u *userOf) works(ctx context.Context, t *testing.T, command string, logins int) {
	t.Helper()
	got, err := u.do(ctx, command)
	u.answered(t, got, err, logins)
}

// answered holds an answer to what works expects.
func (u *userOf) answered(t *testing.T, got answer, err error, logins int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got.Whoami != u.who || u.logins() != logins {
		t.Fatalf("%s: expected %+v after %d logins, got %+v after %d", u.name, u.who, logins, got.Whoami, u.logins())
	}
	u.last = got
}

// logIn logs two users in.
func (c *changeTest) logIn(ctx context.Context) {
	for _, each := range [][2]string{{"client.mjs", "ada"}, {"client-v2.mjs", "grace"}} {
		u := c.user(ctx, each[0], each[1], c.transport)
		u.works(ctx, c.t, "call", 1)
		c.users = append(c.users, u)
	}
}

// wantRecorded fails unless the recordings have what the other upstream and
// backend must not be sent: without it the test would prove nothing.
func (c *changeTest) wantRecorded() {
	c.t.Helper()
	found := strings.Join(c.from.secrets.in(c.from.String()), ", ")
	for _, kind := range []string{accessToken, refreshToken, authCode, codeVerifier, clientSecret} {
		if !strings.Contains(found, "the "+kind) {
			c.t.Fatalf("the recording of the old upstream has no %s", kind)
		}
	}
	if len(c.from.secrets.in(c.backend.String())) == 0 {
		c.t.Fatal("the recording of the old backend has no access token")
	}
}

// goOn fails unless both users go on without a login, with what they have and
// with a refresh, and their tokens of the old upstream are renewed there.
func (c *changeTest) goOn(ctx context.Context) {
	c.from.ExpireAccessTokens()
	for i, u := range c.users {
		commands := []string{"call", "refresh"}
		if i%2 == 1 {
			slices.Reverse(commands)
		}
		for _, command := range commands {
			u.works(ctx, c.t, command, 1)
		}
	}
}

// reload changes the tenant by a reload and undoes it. Both users are renewed
// once at the old upstream while the change waits.
func (c *changeTest) reload(ctx context.Context) {
	t := c.t
	late := c.begin(ctx, "client.mjs", "alan")
	before := c.from.length()
	c.reloadTo(ctx, c.new)
	c.wantWaiting(ctx, c.waits)
	c.goOn(ctx)
	late.goOn()
	got, err := late.wait(ctx)
	late.answered(t, got, err, 1) // the login under way ends at the old upstream
	c.users = append(c.users, late.userOf)
	if c.waits {
		for _, r := range c.untouched {
			if sent := r.String(); sent != "" {
				t.Errorf("while the change waits, %s was sent\n%s", r.name, sent)
			}
		}
	}
	for _, text := range c.foreign {
		if strings.Contains(c.from.since(before), text) {
			t.Errorf("while the change waits, the upstream was sent %q", text)
		}
	}
	c.wantNoSecrets(c.untouched, nil, c.from.secrets)

	c.wantRecorded()

	c.reloadTo(ctx, c.old)
	c.wantWaiting(ctx, false)
	for _, u := range c.users {
		u.works(ctx, t, "refresh", 1)
		u.works(ctx, t, "call", 1)
	}
}

// reloadTo has the running server read another configuration.
func (c *changeTest) reloadTo(ctx context.Context, to tenant) {
	c.t.Helper()
	reloads := func() int { return strings.Count(c.out.String(), "configuration reloaded: ") }
	before := reloads()
	c.tenants = []tenant{to}
	if _, err := c.writeConfig(); err != nil {
		c.t.Fatal(err)
	}
	if !until(ctx, c.done, func() bool { return reloads() > before }) {
		c.t.Fatal("the configuration is not reloaded")
	}
}

// wantWaiting fails unless tenant list, the metric and the log say whether a
// change waits.
func (c *changeTest) wantWaiting(ctx context.Context, waits bool) {
	t := c.t
	t.Helper()
	list := c.command(ctx, "tenant", "list")
	metric := c.metrics(ctx)
	const line = "the tenant stays as it is until the operator decides"
	if got := strings.Contains(list, "waiting: octo"); got != waits {
		t.Errorf("expected tenant list to say that a change waits: %v; it says\n%s", waits, list)
	}
	if got := strings.Contains(metric, `sallyport_tenant_change_waiting{tenant="octo"} 1`); got != waits {
		t.Errorf("expected the metric to say that a change waits: %v", waits)
	}
	if !waits {
		return
	}
	for _, part := range []string{"waits; it strands 2 grants", "undo the change", "tenants/octo/formerly", "sallyport tenant accept octo"} {
		if !strings.Contains(list, part) {
			t.Errorf("tenant list does not say %q:\n%s", part, list)
		}
	}
	if log := c.out.String(); !strings.Contains(log, line) {
		t.Errorf("the log does not say %q", line)
	}
}

// command runs a command of the operator and returns its output.
func (c *changeTest) command(ctx context.Context, args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(ctx, c.world.bin, append(args, "--socket", c.socket)...)
	cmd.Env = []string{}
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (c *changeTest) metrics(ctx context.Context) string {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.operator+"/metrics", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := direct.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// wantNoSecrets fails if any secret is in what the recorders have since some
// lengths, which are of all or nil.
func (c *changeTest) wantNoSecrets(all []*recorder, since []int, of *secrets) {
	c.t.Helper()
	var allowed []string
	if !c.waits { // the new backend works on the same upstream
		allowed = []string{accessToken}
	}
	for i, r := range all {
		from := 0
		if since != nil {
			from = since[i]
		}
		if found := of.in(r.since(from), allowed...); len(found) > 0 {
			c.t.Errorf("%s was sent %s of the old upstream's", r.name, strings.Join(found, ", "))
		}
	}
}

// restart changes the tenant by a restart and undoes it, by a reload or by another
// restart.
func (c *changeTest) restart(ctx context.Context, undoByReload bool) {
	t := c.t
	late, later := c.begin(ctx, "client-v2.mjs", "alan"), c.beginBare(ctx, "grace")
	c.from.ExpireAccessTokens() // a call that is not refused needs a refresh
	old := c.from.secrets.snapshot()
	var since []int
	for _, r := range c.arrived {
		since = append(since, r.length())
	}
	c.tenants = []tenant{c.new}
	if err := c.gateway.restart(ctx); err != nil {
		t.Fatal(err)
	}
	c.changed(ctx, late)
	c.wantNoSecrets(c.arrived, since, old)

	c.tenants = []tenant{c.old}
	if undoByReload {
		c.reloadTo(ctx, c.old)
	} else if err := c.gateway.restart(ctx); err != nil {
		t.Fatal(err)
	}
	for i, u := range c.users {
		u.works(ctx, t, []string{"call", "refresh"}[i%2], 1)
	}
	later.finish(ctx)
	if !c.waits {
		return
	}
	if c.newUpstreamLogsIn { // the login at the new upstream waits as those at the old one did
		_, err := late.do(ctx, "call")
		wantFailure(t, late.name, err, "another upstream service than the one you logged in with; try again shortly")
	} else {
		late.works(ctx, t, "call", 2)
	}
	c.wantNoSecrets(c.untouched, nil, c.from.secrets)
}

// changed is what happens after the restart, until the operator undoes it.
func (c *changeTest) changed(ctx context.Context, late *underWay) {
	t := c.t
	late.goOn()
	got, err := late.wait(ctx)
	if c.waits {
		c.wantRefusals(ctx)
		wantFailure(t, "the login under way", err, "status 400", "another upstream service", "Nothing was sent to it", "Start again from your application")
		if c.newUpstreamLogsIn {
			late.works(ctx, t, "call", 2) // at the new upstream
			if len(c.untouched) > 0 && c.untouched[0].length() == 0 {
				t.Fatal("the recording of the new upstream is empty")
			}
		}
	} else {
		c.wantWaiting(ctx, false)
		late.answered(t, got, err, 1)
		c.goOn(ctx)
	}
}

// wantRefusals fails unless calls and refreshes are answered 503 and the clients
// keep their logins, and unless log and tenant list say so.
func (c *changeTest) wantRefusals(ctx context.Context) {
	t := c.t
	for i, u := range c.users {
		_, err := u.do(ctx, []string{"call", "refresh"}[i%2])
		wantFailure(t, u.name, err, "another upstream service than the one you logged in with; try again shortly")
		if u.logins() != 1 {
			t.Errorf("%s logged in again", u.name)
		}
		refused := map[string]*http.Response{
			"a call":    whoami(ctx, t, c.mcpURL(octo), u.last.AccessToken),
			"a refresh": c.form(ctx, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {u.last.RefreshToken}, "client_id": {u.last.ClientID}}),
		}
		for what, res := range refused {
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || res.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s of a login at the old upstream: expected 503 with Retry-After and no challenge, got %s %v", what, res.Status, res.Header)
			}
		}
	}
	// Only a user who wants that ends a login: nothing of it is sent to the new
	// upstream's revocation endpoint.
	last := c.users[len(c.users)-1]
	c.users = c.users[:len(c.users)-1]
	res := c.form(ctx, "/revoke", url.Values{"token": {last.last.RefreshToken}, "client_id": {last.last.ClientID}})
	if res.StatusCode != http.StatusOK {
		t.Errorf("revoke: %s", res.Status)
	}
	log, list := c.out.String(), c.command(ctx, "tenant", "list")
	for _, part := range []string{"the settings of this tenant lead to another upstream than the logins of its users", `remedies="undo the change`, "tenants/octo/formerly", "sallyport tenant accept octo"} {
		if !strings.Contains(log, part) {
			t.Errorf("the log does not say %q", part)
		}
	}
	if !strings.Contains(list, "is in force since the restart or since one was undone, and calls with the old grants get 503 until") || !strings.Contains(list, "sallyport tenant accept octo") {
		t.Errorf("tenant list says\n%s", list)
	}
}

func wantFailure(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: expected a refusal", what)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%s: expected %q, got %v", what, part, err)
		}
	}
}

// form posts a form to the tenant.
func (c *changeTest) form(ctx context.Context, path string, form url.Values) *http.Response {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.tenantURL(octo)+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := direct.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

// accept has the operator accept a change that waits: the users log in again, at
// the new upstream, and their clients ask for that by themselves.
func (c *changeTest) accept(ctx context.Context) {
	t := c.t
	c.from.ExpireAccessTokens()
	old := c.from.secrets.snapshot()
	var since []int
	for _, r := range c.arrived {
		since = append(since, r.length())
	}
	c.reloadTo(ctx, c.new)
	c.wantWaiting(ctx, true)
	if said := c.command(ctx, "tenant", "accept", octo); !strings.Contains(said, "users of 2 grants log in again at ") {
		t.Errorf("tenant accept says %q", said)
	}
	c.wantWaiting(ctx, false)
	for _, u := range c.users {
		res := whoami(ctx, t, c.mcpURL(octo), u.last.AccessToken)
		if res.StatusCode != http.StatusUnauthorized || res.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("a call of %s after the change was accepted: expected 401 with a challenge, got %s %v", u.name, res.Status, res.Header)
		}
		u.works(ctx, t, "call", 2)
		u.works(ctx, t, "refresh", 2)
	}
	c.wantNoSecrets(c.arrived, since, old)
}
