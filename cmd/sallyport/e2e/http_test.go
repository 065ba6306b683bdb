package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// direct is the tests' own client: httptest closes the connections of the
// default one whenever any test server ends.
var direct = &http.Client{Transport: &http.Transport{}}

// status returns the status a URL is answered with, or 0 if nobody answers.
func status(ctx context.Context, address string) int {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0
	}
	resp, err := direct.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// getJSON fetches a document that has to be there.
func getJSON(ctx context.Context, t *testing.T, address string, out any) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: expected 200, got %s", address, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		t.Fatalf("GET %s: %v", address, err)
	}
}

// whoamiCall is a bare tool call.
const whoamiCall = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + demo.ToolWhoami + `","arguments":{}}}`

// whoami sends a bare tool call; the SDK would react to the answer.
func whoami(ctx context.Context, t *testing.T, mcpURL, token string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, mcpURL, strings.NewReader(whoamiCall))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := direct.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}

// wantDiscovery fails unless a tenant's documents are there and name it.
func wantDiscovery(ctx context.Context, t *testing.T, s site, tenant string) {
	t.Helper()
	issuer := s.tenantURL(tenant)
	var resource struct {
		Resource string
		Servers  []string `json:"authorization_servers"`
	}
	getJSON(ctx, t, "http://"+s.front+"/.well-known/oauth-protected-resource/"+tenant+"/mcp", &resource)
	if resource.Resource != issuer+"/mcp" || len(resource.Servers) != 1 || resource.Servers[0] != issuer {
		t.Errorf("protected resource metadata: expected %s and its resource, got %+v", issuer, resource)
	}
	var server struct{ Issuer string }
	getJSON(ctx, t, authServerMetadata(s, tenant), &server)
	if server.Issuer != issuer {
		t.Errorf("authorization server metadata: expected the issuer %s, got %s", issuer, server.Issuer)
	}
}

// authServerMetadata is the address RFC 8414 §3.1 gives a tenant's document.
func authServerMetadata(s site, tenant string) string {
	return "http://" + s.front + "/.well-known/oauth-authorization-server/" + tenant
}
