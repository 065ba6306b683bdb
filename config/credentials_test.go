package config

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

func TestCredentialsOfTheUpstream(t *testing.T) {
	t.Parallel()
	for text, fine := range map[string]bool{
		"": true, "Iv1.0123456789": true, "a secret with spaces": true, "$ecret": true, "100%": true, "a<b>c": true, "p{{q}}": true,
		" x": false, "x ": false, "x\n": false, "x\r\n": false, "\ufeffx": false, "x\u200by": false, "ключ": false, "x\x00": false,
		"<your-client-id>": false, "{{ .Values.secret }}": false, "$GITHUB_SECRET": false, "%SECRET%": false,
	} {
		if what := checkCredential(text); (what == nil) != fine {
			t.Errorf("%q: %v, want fine %v", text, what, fine)
		}
	}
}

// TestEveryPlaceholderOfInject: what the message and the reference name is
// accepted.
func TestEveryPlaceholderOfInject(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"token", "assertion", "subject", "account", "account_key", "client", "scope", "tenant"} {
		if what := checkInjected("x {" + name + "} y"); what != nil {
			t.Errorf("{%s}: %v", name, what)
		}
	}
	for _, text := range []string{"{account_id}", "{}", "{token", "token}", "{Token}", "{tokens}"} {
		if checkInjected(text) == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestBackendThatIsThisServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, backend string
		own             bool
	}{
		{":8080", "http://127.0.0.1:8080/mcp", true},
		{":8080", "http://localhost:8080/mcp", true},
		{"0.0.0.0:8080", "http://[::1]:8080/", true},
		{"127.0.0.1:8080", "http://localhost:8080/mcp", true},
		{"localhost:8080", "http://127.0.0.1:8080/mcp", true},
		{":80", "http://127.0.0.1/mcp", true},
		{"127.0.0.1:8080", "http://127.0.0.2:8080/mcp", false},
		{"127.0.0.1:8080", "http://127.0.0.1:8081/mcp", false},
		{":8080", "http://10.0.0.1:8080/mcp", false},
		{"10.0.0.1:8080", "http://127.0.0.1:8080/mcp", false},
		{":0", "http://127.0.0.1:80/mcp", false},
	} {
		u, err := url.Parse(c.backend)
		if err != nil {
			t.Fatal(err)
		}
		if got := listensAt(c.listen, u); got != c.own {
			t.Errorf("listen %s, backend %s: own is %v, want %v", c.listen, c.backend, got, c.own)
		}
	}
	file := filepath.Join(t.TempDir(), "a.yaml")
	text := "server: { url: 'https://mcp.example.com/{tenant}' }\nkeys: [k]\ntenants:\n  a: { provider: p, client_id: i, backend: 'https://mcp.example.com/tools/mcp' }\n  b: { provider: p, client_id: i, backend: 'http://mcp.example.com:9000/a/mcp' }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{Files: []string{file}}); err != nil {
		t.Errorf("a backend beside the tenants is refused: %v", err)
	}
}
