package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What YAML reads otherwise than its writer meant is refused at its line, with
// what to write.
func TestQuotesAndOtherSlips(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ line, want string }{
		"curly quotes":           {"client_id: “abc”", ":6: tenants/a/client_id: has a curly quote"},
		"one curly quote":        {"client_id: abc’", ":6: tenants/a/client_id: has a curly quote"},
		"in a list":              {"scopes: [“read”]", ":6: tenants/a/scopes/0: has a curly quote"},
		"a no-break space":       {"client_id: abc\u00a0", ":6: tenants/a/client_id: has an invisible character"},
		"an open quote":          {"client_id: \"abc\n    name: x\n    scopes: [\"read\"]", ":6: a quote that is opened here is not closed in this line; close it"},
		"an open single quote":   {"client_id: 'abc\n    name: x", ":6: a quote that is opened here"},
		"a comment by accident":  {"client_secret: abc #def", ":6: tenants/a/client_secret: a # begins a comment here"},
		"an anchor by accident":  {"client_secret: &abc", ":6: tenants/a/client_secret: a & here begins"},
		"a colon":                {"name: a: b", "put a text that contains a colon and a space in quotes"},
		"a tab":                  {"name: x\n\tclient_id: y", "indent with spaces"},
		"straight quotes":        {"client_id: \"abc\"", ""},
		"curly ones on purpose":  {"client_id: abc\n    name: '“Octo”'", ""},
		"a comment":              {"client_id: abc # def", ""},
		"an apostrophe":          {"client_id: abc\n    name: Ada's notes", ""},
		"an apostrophe of words": {"client_id: abc\n    name: Ada’s notes", ""},
	} {
		file := filepath.Join(t.TempDir(), "a.yaml")
		text := "server: { url: \"http://localhost/{tenant}\" }\nkeys: [k]\ntenants:\n  a:\n    provider: oauth2\n    " + tt.line + "\n    backend: http://127.0.0.1:9/mcp\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(Options{Files: []string{file}})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
	for value, want := range map[string]bool{`abc`: true, `"abc"`: false, `'abc'`: false, `“abc”`: false} {
		_, err := Load(Options{Environ: []string{"SALLYPORT_SERVER__URL=http://localhost/{tenant}", "SALLYPORT_KEYS=k", "SALLYPORT_TENANTS__a__PROVIDER=oauth2",
			"SALLYPORT_TENANTS__a__BACKEND=http://127.0.0.1:9/mcp", "SALLYPORT_TENANTS__a__CLIENT_ID=" + value}})
		if (err == nil) != want {
			t.Errorf("variable %s: %v", value, err)
		}
	}
}
