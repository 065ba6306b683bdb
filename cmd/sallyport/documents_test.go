package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/fetch"
)

func TestCheckWarnsOfClientDocumentsOutOfReach(t *testing.T) {
	t.Parallel()
	const claude, chatgpt, copilot = "claude.ai", "chatgpt.com", "github.com"
	down := map[string]int{claude: 0, chatgpt: 0, copilot: 0}
	for what, c := range map[string]struct {
		tenant  config.Tenant
		answers map[string]int // status by host; 0: none
		want    []string       // how the warnings begin
	}{
		"no egress":                  {config.Tenant{CIMD: "on"}, down, []string{"Claude Code ", "Codex ", "Copilot CLI "}},
		"all reached":                {config.Tenant{CIMD: "on"}, map[string]int{claude: 200, chatgpt: 403, copilot: 200}, nil},
		"a website turns us away":    {config.Tenant{CIMD: "on"}, map[string]int{claude: 403, chatgpt: 403, copilot: 200}, []string{"Claude Code "}},
		"no egress, cimd: off":       {config.Tenant{CIMD: "off"}, down, nil},
		"no egress, one host":        {config.Tenant{CIMD: "on", CIMDHosts: []string{copilot}}, down, []string{"Copilot CLI "}},
		"no egress, one host:port":   {config.Tenant{CIMD: "on", CIMDHosts: []string{claude + ":443"}}, down, []string{"Claude Code "}},
		"no egress, hosts of others": {config.Tenant{CIMD: "on", CIMDHosts: []string{"idp.example.com"}}, down, nil},
		"no egress, it is written down": {config.Tenant{CIMD: "on", CIMDHosts: []string{claude},
			Clients: []config.Client{{ID: "https://claude.ai/oauth/claude-code-client-metadata"}}}, down, nil},
	} {
		do := func(_ context.Context, r *http.Request, p fetch.Policy) (*fetch.Response, error) {
			if len(p.Hosts) != 1 || p.Hosts[0] != r.URL.Host || c.answers[r.URL.Host] == 0 {
				return nil, errors.New("no such host")
			}
			return &fetch.Response{Status: c.answers[r.URL.Host]}, nil
		}
		got := warnDocuments(t.Context(), do, &config.Config{Tenants: map[string]config.Tenant{"music": c.tenant}})
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", what, got)
			continue
		}
		for i, begin := range c.want {
			if !strings.HasPrefix(got[i], begin) || !strings.Contains(got[i], "cimd: off (tenants: music)") {
				t.Errorf("%s: %q", what, got[i])
			}
		}
	}
}

// TestCheckWaitsForNoClientDocument: hosts that never answer hold check up for a
// bounded time.
func TestCheckWaitsForNoClientDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		silent := func(ctx context.Context, _ *http.Request, _ fetch.Policy) (*fetch.Response, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		began := time.Now()
		got := warnDocuments(t.Context(), silent, &config.Config{Tenants: map[string]config.Tenant{"music": {CIMD: "on"}}})
		if took := time.Since(began); len(got) != 3 || took > 5*time.Second {
			t.Errorf("%d warnings after %v", len(got), took)
		}
	})
}
