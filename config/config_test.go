package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

const base = `
keys: [k1]
server: { url: "https://{tenant}.example.com" }
tenants:
  octo: { provider: github, client_id: id, client_secret: s, backend: "http://127.0.0.1:9000/mcp" }
`

// write puts text into a new file and returns its path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func parseFlags(t testing.TB, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	Flags(fs)
	fs.Bool("foreign", true, "a flag of somebody else")
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

func mustLoad(t testing.TB, opts Options) *Config {
	t.Helper()
	c, err := Load(opts)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustLoad(t, Options{Files: []string{write(t, "a.yaml", base)}})
	octo := c.Tenants["octo"]
	got := fmt.Sprint(c.Server.Listen, c.Server.OperatorListen, c.Log, c.Audit, c.Store.Reveal(), c.Plugins.Dir, octo.Name, octo.Lifetimes)
	want := fmt.Sprint("127.0.0.1:8080", "127.0.0.1:9090", Log{"info", "text"}, "stdout", "bolt:///var/lib/sallyport/state.db",
		"/var/lib/sallyport/plugins", "octo", Lifetimes{5 * time.Minute, 24 * time.Hour, 720 * time.Hour, 8760 * time.Hour, 30 * time.Second})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLayers(t *testing.T) {
	low := write(t, "low.yaml", base+"log: { level: debug, format: json }\naudit: stderr\nplugins: { private_hosts: [a, b], dir: /low }\n")
	high := write(t, "high.yaml", "log: { level: warn }\nplugins: { private_hosts: [c] }\ntenants: { octo: { name: Octo, lifetimes: { access: 2h } } }\n")
	c := mustLoad(t, Options{
		Files:   []string{low, high},
		Environ: []string{"SALLYPORT_PLUGINS__DIR=/env", "SALLYPORT_AUDIT=off", "SALLYPORT_LOG__FORMAT=text", "OTHER=1"},
		Flags:   parseFlags(t, "--log-format", "json", "--operator-listen", "off"),
	})
	for _, tt := range []struct{ what, got, want string }{
		{"default under all", c.Server.Listen, "127.0.0.1:8080"},
		{"file over file", c.Log.Level, "warn"},
		{"lists are replaced", strings.Join(c.Plugins.PrivateHosts, " "), "c"},
		{"environment over file", c.Plugins.Dir, "/env"},
		{"environment over file, no section", c.Audit, "off"},
		{"flag over environment", c.Log.Format, "json"},
		{"flag over default", c.Server.OperatorListen, ""},
		{"tenants merge", c.Tenants["octo"].Name + c.Tenants["octo"].Provider, "Octogithub"},
		{"defaults merge", c.Tenants["octo"].Lifetimes.Access.String() + c.Tenants["octo"].Lifetimes.Code.String(), "2h0m0s5m0s"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
}

func TestEnviron(t *testing.T) {
	file := write(t, "a.yaml", base+"  octo.v2_x-1: { provider: github, client_id: id, backend: 'http://b/mcp', url: 'https://v2.example.com' }\n")
	tools := write(t, "tools.yaml", "tenants: { octo: { tools: { a/b.C: [repo] } } }\n")
	c := mustLoad(t, Options{Files: []string{file, tools}, Environ: []string{
		"SALLYPORT_SERVER__LISTEN=:1",
		"SALLYPORT_SERVER__OPERATOR_LISTEN=",
		"SALLYPORT_LIMITS__REGISTER=off",
		"SALLYPORT_LIMITS__TOKEN=2/s",
		"SALLYPORT_KEYS=k2, ${env:OLD_KEY}",
		"SALLYPORT_TENANTS__octo.v2_x-1__CLIENT_SECRET=a,b: [c",
		"SALLYPORT_TENANTS__octo.v2_x-1__SETTINGS__HOST=git.example.com",
		"SALLYPORT_TENANTS__octo.v2_x-1__SETTINGS__BETA=true",
		"SALLYPORT_TENANTS__octo__REDIRECTS__ANY_HTTPS=true",
		"SALLYPORT_TENANTS__octo__LIFETIMES__CODE=1m30s",
		"SALLYPORT_TENANTS__octo__CLIENTS=[{id: i, redirect_uris: ['https://i/cb']}]",
		"SALLYPORT_TENANTS__octo__RESOURCE_SERVERS=[{id: api, secret: '${env:API_SECRET}'}]",
		"SALLYPORT_TENANTS__octo__TOOLS__DELETE_REPO=repo, user",
		"SALLYPORT_TENANTS__new__PROVIDER=github",
		"SALLYPORT_TENANTS__new__CLIENT_ID=007",
		"SALLYPORT_TENANTS__new__BACKEND=http://n/mcp",
		"SALLYPORT_SERVICE_HOST=10.0.0.1", "SALLYPORT_PORT=tcp://10.0.0.1:80", "SALLYPORT_SERVICE_PORT_HTTP=80",
		"SALLYPORT_PORT_80_TCP_ADDR=10.0.0.1", "SALLYPORT_STORE_SERVICE_HOST=10.0.0.2",
		"OLD_KEY=k0", "OLD_KEY=second", "API_SECRET=api-secret-9c07f1e4b6a2",
	}})
	dotted, octo := c.Tenants["octo.v2_x-1"], c.Tenants["octo"]
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"text", c.Server.Listen, ":1"},
		{"empty text", c.Server.OperatorListen, ""},
		{"list", c.Keys[0].Reveal() + c.Keys[1].Reveal(), "k2k0"},
		{"text is not parsed", dotted.ClientSecret.Reveal(), "a,b: [c"},
		{"settings", fmt.Sprint(dotted.Settings), "map[beta:true host:git.example.com]"},
		{"settings are YAML", dotted.Settings["beta"], true},
		{"true", octo.Redirects.AnyHTTPS, true},
		{"duration", octo.Lifetimes.Code, 90 * time.Second},
		{"rate", c.Limits.Token, Rate{2, time.Second}},
		{"no rate", c.Limits.Register, Rate{}},
		{"rate by default", c.Limits.Authorize, Rate{300, time.Minute}},
		{"list of sections", octo.Clients[0].Name + octo.Clients[0].RedirectURIs[0], "ihttps://i/cb"},
		{"list of sections with a secret", octo.ResourceServers[0].ID + octo.ResourceServers[0].Secret.Reveal(), "apiapi-secret-9c07f1e4b6a2"},
		{"lists by name", fmt.Sprint(octo.Tools), "map[a/b.C:[repo] delete_repo:[repo user]]"},
		{"new tenant", c.Tenants["new"].ClientID, "007"},
		{"number of tenants", len(c.Tenants), 3},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, tt.got, tt.want)
		}
	}
}

func TestInterpolation(t *testing.T) {
	secret := write(t, "secret", "from file\n\n")
	windows := write(t, "windows", "line\r\n")
	env := []string{"A=alpha", "B=${env:A}"}
	for _, tt := range []struct{ in, want string }{
		{"plain $ { }", "plain $ { }"},
		{"${env:A}", "alpha"},
		{"<${env:A}|${env:A}>", "<alpha|alpha>"},
		{"${env:B}", "${env:A}"}, // once only
		{"${file:" + secret + "}", "from file\n"},
		{"${file:" + windows + "}", "line"},
		{"$${env:A}", "${env:A}"},
		{"a$${b}${env:A}", "a${b}alpha"},
	} {
		text, err := json.Marshal(tt.in) // JSON is YAML
		if err != nil {
			t.Fatal(err)
		}
		file := write(t, "a.yaml", strings.Replace(base, "client_secret: s", "settings: { deep: [ { x: "+string(text)+" } ] }, client_key: "+string(text), 1))
		octo := mustLoad(t, Options{Files: []string{file}, Environ: env}).Tenants["octo"]
		if got := octo.ClientKey.Reveal(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.in, got, tt.want)
		}
		if got, want := fmt.Sprint(octo.Settings), "map[deep:[map[x:"+tt.want+"]]]"; got != want {
			t.Errorf("%s in settings: %q, want %q", tt.in, got, want)
		}
	}
}

// TestReplacedValueIsNotInterpolated: only what counts in the end must be there.
func TestReplacedValueIsNotInterpolated(t *testing.T) {
	file := write(t, "a.yaml", strings.Replace(base, "client_secret: s", "client_secret: '${env:MISSING}'", 1))
	if _, err := Load(Options{Files: []string{file}}); err == nil {
		t.Fatal("a missing variable went unnoticed")
	}
	c := mustLoad(t, Options{Files: []string{file}, Environ: []string{"SALLYPORT_TENANTS__octo__CLIENT_SECRET=x"}})
	if got := c.Tenants["octo"].ClientSecret.Reveal(); got != "x" {
		t.Errorf("client_secret %q", got)
	}
}

func TestYAML(t *testing.T) {
	file := write(t, "a.yaml", `
keys: [k1]
server: { url: "https://{tenant}.example.com" }
tenants:
  a: &a
    provider: github
    client_id: id
    backend: http://127.0.0.1:9000/mcp
    settings: { day: 2024-01-02, port: 8443, on: true, nothing: , 5: five }
  b: { <<: *a, client_id: other }
  c: { <<: [{ client_id: first }, *a], settings: }
`)
	c := mustLoad(t, Options{Files: []string{file}})
	settings, err := json.Marshal(c.Tenants["a"].Settings)
	if want := `{"5":"five","day":"2024-01-02","nothing":null,"on":true,"port":8443}`; err != nil || string(settings) != want {
		t.Errorf("settings %s, want %s (%v)", settings, want, err)
	}
	if b := c.Tenants["b"]; b.ClientID != "other" || b.Provider != "github" {
		t.Errorf("merged tenant %+v", b)
	}
	if got := c.Tenants["c"]; got.ClientID != "first" || got.Settings["port"] != nil {
		t.Errorf("tenant merged from two %+v", got)
	}
}

func TestTenantURL(t *testing.T) {
	c := &Config{
		Server:  Server{URL: "https://mcp.example.com/{tenant}"},
		Tenants: map[string]Tenant{"a.b": {}, "own": {URL: "https://own.example.com"}},
	}
	for name, want := range map[string]string{"a.b": "https://mcp.example.com/a.b", "own": "https://own.example.com", "none": ""} {
		if got := c.TenantURL(name); got != want {
			t.Errorf("TenantURL(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestSecretDoesNotPrint(t *testing.T) {
	const value = "tops3cret"
	c := mustLoad(t, Options{Files: []string{write(t, "a.yaml", strings.NewReplacer("client_secret: s", "client_secret: "+value, "k1", value).Replace(base)+"store: redis://:"+value+"@h\n")}})
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct{ s Secret }{c.Store}
	for _, printed := range []string{string(text), fmt.Sprintf("%v %+v %#v %s %q", c, *c, c, c.Keys, c.Store), fmt.Sprintf("%v %+v %#v", hidden, hidden, hidden)} {
		if strings.Contains(printed, value) {
			t.Errorf("printed: %s", printed)
		}
	}
	if c.Keys[0].Reveal() != value || !(Secret{}).IsZero() || NewSecret("").Reveal() != "" {
		t.Error("Reveal does not return the value")
	}
}

func TestErrorIsFaults(t *testing.T) {
	_, err := Load(Options{})
	faults, ok := errors.AsType[*Faults](err)
	if !ok || len(*faults) != 1 || (*faults)[0].Path != "keys" || (*faults)[0].Source != "" {
		t.Errorf("Load of nothing: %v", err)
	}
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	env := []string{"SERVER_KEY=key", "GITHUB_SECRET=gh", "EDGE_SECRET=edge-secret-9c07f1e4b6a2", "TIDAL_ID=tidal", "REDIS_PASSWORD=pw"}
	for _, file := range files {
		c := mustLoad(t, Options{Files: []string{file}, Environ: env})
		if len(c.Tenants) == 0 {
			t.Errorf("%s has no tenant", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		comment, _, _ := strings.Cut(string(text), "\n\n")
		for _, pair := range env {
			name, _, _ := strings.Cut(pair, "=")
			if strings.Contains(string(text), "${env:"+name+"}") && !strings.Contains(comment, name+" ") && !strings.Contains(comment, name+",") && !strings.Contains(comment, name+"\n") {
				t.Errorf("%s does not say at its top that it needs %s", file, name)
			}
		}
	}
}

// TestAliasesAreBounded: every line doubles what the one above stands for.
func TestAliasesAreBounded(t *testing.T) {
	var text strings.Builder
	text.WriteString("keys: [k]\ntenants: { octo: { settings: {\n  a0: &a0 { x: 1 },\n")
	for i := range 40 {
		fmt.Fprintf(&text, "  a%d: &a%d { x: *a%d, y: *a%d },\n", i+1, i+1, i, i)
	}
	text.WriteString("} } }\n")
	_, err := Load(Options{Files: []string{write(t, "a.yaml", text.String())}})
	if err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), "aliases stand for too many values") {
		t.Errorf("Load: %v", err)
	}
}
