package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// patience bounds a story, and each wait in it.
const patience = 3 * time.Minute

// TestEndToEnd tells all stories, at the same time: each has a Sallyport of its own,
// and the binary, the plugins and the upstream are the same for all.
func TestEndToEnd(t *testing.T) {
	type story struct {
		name string
		tell func(context.Context, *testing.T, *world, site)
	}
	stories := []story{
		{"a login on bolt outlives restarts", func(ctx context.Context, t *testing.T, w *world, s site) {
			restarts(ctx, t, w, s, boltStore(t))
		}},
		{"a login on Redis outlives restarts", func(ctx context.Context, t *testing.T, w *world, s site) {
			restarts(ctx, t, w, s, "redis://"+storetest.StartRedis(t).Addr)
		}},
		{"a Redis that is away logs nobody out", outage},
		{"a plugin dropped in serves a new tenant", dropIn},
		{"Slack's users and bot are told apart", slackTokens},
		{"oidc-provider never sees a token twice", oidcProvider},
		{"fosite never sees a token twice", fosite},
		{"sessions that end at oidc-provider cost one login each", endedSessions},
		{"the example server in TypeScript works on the user's data", exampleServer(typeScriptExample)},
		{"the example server in Python works on the user's data", exampleServer(pythonExample)},
		{"the example server in Go works on the user's data", exampleServer(goExample)},
	}
	for _, s := range sdks() {
		stories = append(stories, story{s.name, clientOf(s)})
	}
	w := newWorld(t, len(stories))
	t.Cleanup(func() { t.Logf("clients on the SDKs\n%s", w.matrix.String()) }) // when all stories are told
	run(t, "go", "build", "-C", "fosite", "-o", w.fosite, ".")
	for i, story := range stories {
		t.Run(story.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			story.tell(ctx, t, w, w.sites[i])
		})
	}
}

// world is what all stories share.
type world struct {
	bin      string // the sallyport command
	plugins  string // folder of the plugins, for stories to copy from
	fosite   string // where TestEndToEnd builds the command in the folder fosite
	cache    string // folder of compiled plugins
	upstream string // URL of emulate's GitHub, both the site and the API
	backend  string // URL of an MCP server that works on its API
	user     demo.Profile
	sites    []site
	matrix   matrix
}

// site is where one story's Sallyport is, and its app at the upstream, which
// has to know the redirect URI beforehand.
type site struct {
	front, operator string // host:port
	app             string // client id
}

// secret is the client secret of all apps.
const secret = "app-secret-of-these-tests"

// tenantURL is the URL of the named tenant.
func (s site) tenantURL(name string) string { return "http://" + s.front + "/" + name }

// mcpURL is the URL of the named tenant's MCP server.
func (s site) mcpURL(name string) string { return s.tenantURL(name) + "/mcp" }

// callback is the redirect URI that the named tenant's upstream has to know.
func (s site) callback(name string) string { return s.tenantURL(name) + "/callback" }

func newWorld(t *testing.T, stories int) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		bin: filepath.Join(dir, "sallyport"), fosite: filepath.Join(dir, "fosite"),
		plugins: filepath.Join(dir, "plugins"), cache: filepath.Join(dir, "cache"),
	}
	run(t, "go", "build", "-o", w.bin, "..")
	const providers = "../../../providers/"
	run(t, w.bin, "plugin", "build", "-o", w.plugins, providers+"github", providers+"oauth2", providers+"oidc", providers+"slack")
	for i := range stories {
		w.sites = append(w.sites, site{front: loopback.Free(t), operator: loopback.Free(t), app: "app-" + strconv.Itoa(i)})
	}
	w.upstream = startEmulate(t, "github", seed(w.sites))
	w.user = lookUp(t, w.upstream, "hopper")
	w.backend = startBackend(t, gitHubUser(w.upstream))
	return w
}

// octo returns the tenant of that name.
func (w *world) octo(s site) tenant {
	return tenant{
		Name: octo, Provider: "github", Settings: fmt.Sprintf(`{ base_url: "%[1]s", api_url: "%[1]s" }`, w.upstream),
		App: s.app, Secret: secret, Scopes: `["read:user", "user:email"]`, Upstream: w.upstream, Backend: w.backend,
	}
}

// seed is what emulate starts with. It serves a token it never issued as its
// first user, so the stories log in as the second: an answer about that one
// proves that the right token arrived.
func seed(sites []site) map[string]any {
	var apps []map[string]any
	for _, s := range sites {
		apps = append(apps, map[string]any{
			"client_id": s.app, "client_secret": secret, "name": "Sallyport",
			"redirect_uris": []string{s.callback(octo)},
		})
	}
	return map[string]any{
		"oauth_apps": apps,
		"users": []map[string]any{
			{"login": "lovelace", "name": "Ada Lovelace", "email": "ada@example.test"},
			{"login": "hopper", "name": "Grace Hopper", "email": "grace@example.test"},
		},
	}
}

// lookUp asks the upstream who a user is and makes sure that it takes a
// stranger for somebody else.
func lookUp(t *testing.T, upstream, login string) demo.Profile {
	t.Helper()
	user, err := getUser(t.Context(), upstream+"/users/"+url.PathEscape(login), "")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := getUser(t.Context(), upstream+"/user", "Bearer made-up")
	if err == nil && stranger == user {
		t.Fatalf("the upstream serves a made-up token as %v: these tests would prove nothing", user)
	}
	return user
}

// signIn approves on Sallyport's consent page and logs in at emulate. Its page
// has a form for each user; the login is a hidden field.
func (w *world) signIn(f *demo.Form) error {
	if f.Has("decision") {
		return f.Press("decision", "approve")
	}
	if got := f.Page.Scheme + "://" + f.Page.Host; got != w.upstream {
		return fmt.Errorf("expected the login page of %s, got one of %s", w.upstream, got)
	}
	f.Values.Set("login", w.user.Name)
	return nil
}

// wantUser fails unless the tool said that the chosen user is calling.
func (w *world) wantUser(t *testing.T, got demo.Profile, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got != w.user {
		t.Fatalf("whoami: expected %+v, got %+v", w.user, got)
	}
}

// run runs a command that has to succeed.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// copyFile copies a file that appears whole or not at all.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".part", data, 0o644)
	}
	if err == nil {
		err = os.Rename(to+".part", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}
