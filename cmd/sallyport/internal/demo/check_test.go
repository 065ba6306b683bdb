package demo

import (
	"strings"
	"testing"
)

func TestInOrder(t *testing.T) {
	t.Parallel()
	phases := []phase{{name: "call"}, {name: "login"}}
	if err := inOrder(phases, "call", "login"); err != nil {
		t.Error(err)
	}
	for _, want := range [][]string{{"call"}, {"login", "call"}, {"call", "login", "call"}} {
		if err := inOrder(phases, want...); err == nil {
			t.Errorf("%v counts as %v", phases, want)
		}
	}
}

func TestIssuerOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"http://127.0.0.1:1/octo/mcp": "http://127.0.0.1:1/octo",
		"https://octo.example/mcp":    "https://octo.example",
	} {
		if got, err := issuerOf(in); err != nil || got != want {
			t.Errorf("issuerOf(%s) = %q, %v", in, got, err)
		}
	}
	if got, err := issuerOf("https://octo.example/"); err == nil {
		t.Errorf("issuerOf without /mcp = %q", got)
	}
}

// TestCheckRefusesABareBackend runs the check against tenants without a
// gateway: nothing challenges a call without a token, and the check says so.
func TestCheckRefusesABareBackend(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	backend := newBackendServer(t, r.url)
	var out strings.Builder
	check := &Check{
		Out: &out,
		Tenants: [2]CheckTenant{
			{Name: "one", URL: backend + "/mcp", Login: "ada"},
			{Name: "two", URL: backend + "/mcp", Login: "grace"},
		},
		Upstream: r.up, UpstreamURL: r.url,
	}
	err := check.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "expected status 401, got ") {
		t.Errorf("error = %v", err)
	}
	if !strings.HasPrefix(out.String(), "FAIL") || !strings.Contains(out.String(), "0 of 16 steps passed") {
		t.Errorf("output:\n%s", out.String())
	}
	check.Tenants[1].Login = "nobody"
	if err := check.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("unknown login: %v", err)
	}
}
