package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/plugins"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// moduleFile writes an empty module that says this of itself.
func moduleFile(t *testing.T, m abi.Manifest) string {
	t.Helper()
	m.ABI = abi.Version
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "p.wasm")
	if err := os.WriteFile(file, plugins.AppendManifest([]byte("\x00asm\x01\x00\x00\x00"), text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A provider's name that is refused in one place is refused in all of them, in the
// same words: by plugin new, by what reads a module's file, and by the configuration.
func TestProviderNamesAreOneForm(t *testing.T) {
	t.Parallel()
	for name, good := range map[string]bool{
		"acme": true, "a": true, "acme-2": true, "a--b": true, strings.Repeat("a", 63): true,
		"acme-": false, "-acme": false, "9acme": false, "Acme": false, "ac_me": false, "ac.me": false, strings.Repeat("a", 64): false,
	} {
		file := filepath.Join(t.TempDir(), "a.yaml")
		text := fmt.Sprintf("tenants: { t: { provider: %q, client_id: c, backend: \"http://b/mcp\" } }\n", name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, configured := config.Load(config.Options{Files: []string{file}})
		_, inspected := plugins.Inspect(moduleFile(t, abi.Manifest{Name: name, Version: "1.0.0"}))
		scaffolded := (&scaffold{Name: name, dir: filepath.Join(t.TempDir(), "x")}).settle("")
		for place, err := range map[string]error{"the configuration": configured, "a module's file": inspected, "plugin new": scaffolded} {
			if refused := err != nil && strings.Contains(err.Error(), rules.NameForm); refused == good {
				t.Errorf("%s, %q: %v", place, name, err)
			}
		}
	}
}

// What a module says of itself is printed without control characters: it could
// write to the terminal of whoever looks at it.
func TestInspectPrintsNoControlCharacters(t *testing.T) {
	t.Parallel()
	const evil = "x\x1b]0;owned\a\x1b[2J\u202e\r\u009b"
	file := moduleFile(t, abi.Manifest{
		Name: "acme", Version: "1.0.0", DisplayName: evil, Scopes: []abi.Scope{{Name: evil, Description: evil}},
		Settings: abi.Raw(`{"type":"object","properties":{"a\u001b[2J":{"type":"string","description":"b\u001b[2J","default":"c\u001b"}}}`),
	})
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"plugin", "inspect", file}, system{out: &out, err: &errs}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e') }); i >= 0 {
		t.Errorf("%q", out.String())
	}
	for _, part := range []string{"acme 1.0.0", "setting   a", "owned"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in %q", part, out.String())
		}
	}
}

func TestPluginCallReadsSecretsFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"secret": "s3cr3t\r\n", "key": "-----BEGIN PRIVATE KEY-----\n…\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := callOptions{input: "{}", settings: "{}", secretFile: filepath.Join(dir, "secret"), keyFile: filepath.Join(dir, "key")}
	b, err := o.binding()
	if err != nil || b.ClientSecret.Reveal() != "s3cr3t" || b.ClientKey.Reveal() != "-----BEGIN PRIVATE KEY-----\n…" {
		t.Errorf("%q %q %v", b.ClientSecret.Reveal(), b.ClientKey.Reveal(), err)
	}
	o.keyFile = filepath.Join(dir, "other")
	if _, err := o.binding(); err == nil || !strings.HasPrefix(err.Error(), "--client-key-file: ") {
		t.Errorf("a key file that does not exist: %v", err)
	}
	if cmd := pluginCallCommand(system{}); cmd.Flags().Lookup("client-key-file") == nil {
		t.Error("plugin call has no flag for the key")
	}
}
