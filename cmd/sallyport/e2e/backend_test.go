package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// newBackend returns an MCP server with the tool whoami, which asks the API for
// the user of the bearer token it was handed. It checks nothing itself, and it
// serves clients of the revisions with sessions and without.
func newBackend(api string) http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "e2e", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: demo.ToolWhoami, Description: "Says whose GitHub account this is."},
		func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, demo.Profile, error) {
			user, err := getUser(ctx, api+"/user", req.Extra.Header.Get("Authorization"))
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

// getUser reads a user of the GitHub API. Sub is the number, which stays, and
// Name the login.
func getUser(ctx context.Context, address, authorization string) (demo.Profile, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return demo.Profile{}, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return demo.Profile{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return demo.Profile{}, fmt.Errorf("GitHub answered %s", resp.Status)
	}
	var user struct {
		ID           int
		Login, Email string
	}
	if err := json.NewDecoder(resp.Body).Decode(&user); err != nil {
		return demo.Profile{}, fmt.Errorf("read GitHub's answer: %w", err)
	}
	return demo.Profile{Sub: strconv.Itoa(user.ID), Name: user.Login, Email: user.Email}, nil
}
