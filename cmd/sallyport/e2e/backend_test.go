package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// lookup asks an upstream's API who the user of a bearer token is.
type lookup func(ctx context.Context, authorization string) (demo.Profile, error)

// startBackend starts an MCP server and returns its URL.
func startBackend(t *testing.T, find lookup) string {
	t.Helper()
	server := httptest.NewServer(newBackend(find))
	t.Cleanup(server.Close)
	return server.URL
}

// newBackend returns an MCP server with the tool whoami, which looks up the
// bearer token it was handed. It checks nothing itself, and it serves clients
// of the revisions with sessions and without.
func newBackend(find lookup) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "e2e", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: demo.ToolWhoami, Description: "Says whose account this is."},
		func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, demo.Profile, error) {
			user, err := find(ctx, req.Extra.Header.Get("Authorization"))
			return nil, user, err
		})
	serve := func(*http.Request) *mcp.Server { return server }
	sessions := mcp.NewStreamableHTTPHandler(serve, nil)
	stateless := mcp.NewStreamableHTTPHandler(serve, &mcp.StreamableHTTPOptions{Stateless: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Revisions are dates; this is the first without sessions.
		if r.Header.Get("Mcp-Session-Id") == "" && r.Header.Get("MCP-Protocol-Version") >= "2026-07-28" {
			stateless.ServeHTTP(w, r)
			return
		}
		sessions.ServeHTTP(w, r)
	})
}

// gitHubUser looks up the user of GitHub's API.
func gitHubUser(api string) lookup {
	return func(ctx context.Context, authorization string) (demo.Profile, error) {
		return getUser(ctx, api+"/user", authorization)
	}
}

// getUser reads a user of GitHub's API. Sub is the number, which stays, and
// Name the login.
func getUser(ctx context.Context, address, authorization string) (demo.Profile, error) {
	var user struct {
		ID           int
		Login, Email string
	}
	err := ask(ctx, http.MethodGet, address, authorization, &user)
	return demo.Profile{Sub: strconv.Itoa(user.ID), Name: user.Login, Email: user.Email}, err
}

// ask makes a call of an upstream's API.
func ask(ctx context.Context, method, address, authorization string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := direct.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the upstream answered %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the upstream's answer: %w", err)
	}
	return nil
}
