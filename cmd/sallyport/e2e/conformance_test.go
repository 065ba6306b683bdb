package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
)

// The checks of the conformance tool that have to be among those it made: a run
// in which one is skipped proves nothing of it.
const (
	checkMetadata = "authorization-server-metadata"
	checkCIMD     = "authorization-server-metadata-cimd"
	checkGrant    = "authorization-code-grant"
)

// TestConformance has the MCP project's conformance tool judge the authorization
// server, in both layouts and for each revision that the tool knows.
func TestConformance(t *testing.T) {
	revisions := []struct {
		name   string
		checks []string
	}{
		{"2025-03-26", []string{checkMetadata, checkGrant}},
		{"2025-06-18", []string{checkMetadata, checkGrant}},
		{"2025-11-25", []string{checkMetadata, checkCIMD, checkGrant}},
		{"2026-07-28", []string{checkMetadata, checkCIMD, checkGrant}},
	}
	g := buildJudged(t)
	_, port, err := net.SplitHostPort(g.front)
	if err != nil {
		t.Fatal(err)
	}
	const nowhere = "http://127.0.0.1:1/mcp" // the tool never gets to the backend
	layouts := []judged{
		{Name: "path", Issuer: g.tenantURL("path"), Backend: nowhere},
		{Name: "host", Issuer: "http://localhost:" + port, Backend: nowhere},
	}
	startJudged(t, g, layouts)
	for _, layout := range layouts {
		for _, revision := range revisions {
			t.Run(layout.Name+"/"+revision.name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				wantConformance(t, conformance(ctx, t, layout.Issuer, revision.name), revision.checks)
			})
		}
	}
}

// judged is a tenant that the tool looks at.
type judged struct{ Name, Issuer, Backend string }

// buildJudged builds what a Sallyport with judged tenants runs on.
func buildJudged(t *testing.T) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, world: &world{bin: filepath.Join(dir, "sallyport")}, out: newOutput(t)}
	run(t, "go", "build", "-o", g.world.bin, "..")
	run(t, g.world.bin, "plugin", "build", "-o", g.pluginDir(), "../../../providers/oauth2")
	g.site = site{front: loopback.Free(t), operator: loopback.Free(t)}
	return g
}

// conformanceTool is below the folder node.
const conformanceTool = "node_modules/@modelcontextprotocol/conformance/dist/index.js"

// conformanceClient is the id of the tool's client. It is public: where a server
// takes such clients the tool sends no secret.
const conformanceClient = "conformance"

var judgedConfig = template.Must(template.New("").Parse(`
server:
  listen: "{{.Front}}"
  operator_listen: "{{.Operator}}"
  drain_delay: 0s
  url: "http://{{.Front}}/{tenant}"
store: "bolt://{{.Dir}}/state.db"
keys: ["{{.Key}}"]
plugins:
  dir: "{{.Dir}}/plugins"
  cache_dir: "{{.Dir}}/cache"
  private_hosts: ["{{.UpstreamHost}}"]
tenants:
{{- range .Tenants}}
  {{.Name}}:
    url: "{{.Issuer}}"
    provider: oauth2
    settings: { authorize_url: "{{$.Authorize}}", token_url: "{{$.Token}}", userinfo_url: "{{$.Userinfo}}" }
    client_id: "{{.Name}}"
    client_secret: "{{$.Secret}}"
    scopes: [profile]
    backend: "{{.Backend}}"
    clients:
      - { id: "{{$.Client}}", redirect_uris: ["http://127.0.0.1/callback"] } # the port floats, RFC 8252 §7.3
{{- end}}
`))

// startJudged starts g with these tenants, each at its issuer. The upstream is
// our double: what is judged is the front door and the gateway.
func startJudged(t *testing.T, g *gateway, tenants []judged) {
	t.Helper()
	var apps []demo.App
	for _, j := range tenants {
		apps = append(apps, demo.App{ID: j.Name, Secret: secret, Name: "Sallyport", RedirectURI: j.Issuer + "/callback"})
	}
	upstream := httptest.NewServer(demo.NewUpstream(demo.UpstreamConfig{Apps: apps}))
	t.Cleanup(upstream.Close)

	var text bytes.Buffer
	err := judgedConfig.Execute(&text, map[string]any{
		"Front": g.front, "Operator": g.operator, "Dir": g.dir, "Key": seal.NewKey().Reveal(), "Tenants": tenants,
		"UpstreamHost": strings.TrimPrefix(upstream.URL, "http://"), "Secret": secret, "Client": conformanceClient,
		"Authorize": upstream.URL + demo.AuthorizePath, "Token": upstream.URL + demo.TokenPath, "Userinfo": upstream.URL + demo.UserinfoPath,
	})
	file := filepath.Join(g.dir, "sallyport.yaml")
	if err == nil {
		err = os.WriteFile(file, text.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			t.Logf("sallyport said:\n%s", g.out.String())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.run(ctx, file); err != nil {
		t.Fatal(err)
	}
}

// check is one entry of the tool's checks.json.
type check struct {
	ID, Name, Status, ErrorMessage string
}

// conformance runs all scenarios of the tool's authorization mode, goes through
// the login it asks for, and returns what it found.
func conformance(ctx context.Context, t *testing.T, issuer, revision string) []check {
	t.Helper()
	results := t.TempDir()
	_, port, err := net.SplitHostPort(loopback.Free(t))
	if err != nil {
		t.Fatal(err)
	}
	tool := startNode(ctx, t, conformanceTool, "authorization",
		"--url", issuer, "--resource", issuer+"/mcp", "--client-id", conformanceClient,
		"--spec-version", revision, "--port", port, "--output-dir", results)

	said, err := readUntil(tool, func(line string) bool { return strings.HasPrefix(line, issuer+"/authorize?") })
	if err != nil {
		t.Fatalf("the tool asks for no login: %v\n%s%s", err, said, tool.err.String())
	}
	authorize := said[strings.LastIndexByte(said, '\n')+1:]
	user := demo.Users()[0]
	back, err := demo.NewBrowser(demo.SignIn(user.Login), nil).Visit(ctx, authorize, func(u *url.URL) bool {
		return u.Host == "127.0.0.1:"+port
	})
	if err != nil {
		t.Fatal(err)
	}
	// The tool prints its URL before it listens, and we may be faster.
	var got int
	if !until(ctx, nil, func() bool { got = status(ctx, back.String()); return got != 0 }) || got != http.StatusOK {
		t.Fatalf("the tool's callback: expected 200, got %d", got)
	}
	rest, err := io.ReadAll(tool.out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, %s: %s", issuer, revision, summary(rest))
	return readChecks(t, results)
}

// ansi matches what colours a terminal.
var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

// summary is the end of what the tool printed.
func summary(said []byte) string {
	_, end, _ := strings.Cut(string(said), "=== SUMMARY ===")
	return ansi.ReplaceAllString(strings.TrimSpace(end), "")
}

// readUntil reads lines up to the wanted one and returns them all, without the
// last line's end.
func readUntil(p *process, wanted func(line string) bool) (string, error) {
	var said strings.Builder
	for {
		line, err := p.out.ReadString('\n')
		if err != nil {
			return said.String(), err
		}
		if line = strings.TrimRight(line, "\r\n"); wanted(line) {
			return said.String() + line, nil
		}
		said.WriteString(line + "\n")
	}
}

// readChecks collects the results of all scenarios.
func readChecks(t *testing.T, dir string) (all []check) {
	t.Helper()
	for _, checks := range readScenarios(t, dir) {
		all = append(all, checks...)
	}
	return all
}

// scenarioDir is the name of the folder with a scenario's results.
var scenarioDir = regexp.MustCompile(`^(.*)-\d{4}-\d\d-\d\dT[\d-]*Z$`)

// readScenarios reads the results in a folder; each scenario has one below it.
func readScenarios(t *testing.T, dir string) map[string][]check {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]check{}
	for _, file := range files {
		name := scenarioDir.FindStringSubmatch(filepath.Base(filepath.Dir(file)))
		if name == nil || all[name[1]] != nil {
			t.Fatalf("%s: not the one folder of a scenario", file)
		}
		var checks []check
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &checks)
		}
		if err != nil {
			t.Fatal(err)
		}
		all[name[1]] = checks
	}
	return all
}

// wantConformance fails unless the tool made these checks and has nothing to
// complain of: no failure, no warning, nothing skipped.
func wantConformance(t *testing.T, got []check, want []string) {
	t.Helper()
	var ids []string
	for _, c := range got {
		ids = append(ids, c.ID)
		if c.Status != "SUCCESS" {
			t.Errorf("%s: %s: %s", c.ID, c.Status, c.ErrorMessage)
		}
	}
	slices.Sort(ids)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(ids, want) {
		t.Errorf("expected the checks %v, got %v", want, ids)
	}
}
