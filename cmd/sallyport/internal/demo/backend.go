package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The tools of the backend.
const (
	ToolWhoami        = "whoami"
	ToolListPlaylists = "list_playlists"
)

// sessionless is the first MCP revision without sessions. Revisions are dates
// and compare as strings.
const sessionless = "2026-07-28"

// sessionTimeout ends MCP sessions nobody uses.
const sessionTimeout = 10 * time.Minute

// errTokenRefused says that the API answered 401.
var errTokenRefused = errors.New("the music service refused the token")

// backend is an MCP server that knows nothing of OAuth: it hands the
// Authorization header of the request it serves on to the API.
type backend struct {
	api    string
	client *http.Client
}

// NewBackend returns the sample MCP server behind the demo's tenants, with the
// tools whoami and list_playlists, over streamable HTTP. It serves clients that
// keep a session and those of the revisions without one. api is the base URL of
// the upstream; client calls it, and nil means one with a timeout of 10 s.
//
// A request whose token the API no longer takes is answered 401, which tells
// the gateway to refresh it. A request without a token is served: discovery
// needs none, and the tools say that they do.
func NewBackend(api string, client *http.Client) http.Handler {
	if client == nil {
		client = &http.Client{Transport: transportOr(nil), Timeout: 10 * time.Second}
	}
	b := &backend{api: api, client: client}
	server := mcp.NewServer(&mcp.Implementation{Name: "demo-music", Title: "Demo Music", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: ToolWhoami, Description: "Says whose Demo Music account this is."}, b.whoami)
	mcp.AddTool(server, &mcp.Tool{Name: ToolListPlaylists, Description: "Lists the playlists of this Demo Music account."}, b.listPlaylists)

	serve := func(*http.Request) *mcp.Server { return server }
	sessions := mcp.NewStreamableHTTPHandler(serve, &mcp.StreamableHTTPOptions{SessionTimeout: sessionTimeout})
	stateless := mcp.NewStreamableHTTPHandler(serve, &mcp.StreamableHTTPOptions{Stateless: true})
	return b.checkToken(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Session-Id") == "" && r.Header.Get("MCP-Protocol-Version") >= sessionless {
			stateless.ServeHTTP(w, r)
			return
		}
		sessions.ServeHTTP(w, r)
	}))
}

// checkToken answers 401 for a token the API refuses. It asks before the MCP
// handler runs, because a tool can no longer choose the status of its answer.
func (b *backend) checkToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth := r.Header.Get("Authorization"); auth != "" {
			if err := b.get(r.Context(), auth, MePath, new(Profile)); errors.Is(err, errTokenRefused) {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (b *backend) whoami(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, Profile, error) {
	var who Profile
	err := b.get(ctx, authorizationOf(req), MePath, &who)
	return nil, who, err
}

func (b *backend) listPlaylists(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, Playlists, error) {
	var lists Playlists
	err := b.get(ctx, authorizationOf(req), PlaylistsPath, &lists)
	return nil, lists, err
}

// authorizationOf returns the Authorization header of the HTTP request that
// carried this call. In a session each request has its own.
func authorizationOf(req *mcp.CallToolRequest) string {
	if req.Extra == nil {
		return ""
	}
	return req.Extra.Header.Get("Authorization")
}

// get calls the API and decodes its answer into out.
func (b *backend) get(ctx context.Context, authorization, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.api+path, nil)
	if err != nil {
		return fmt.Errorf("call the music service: %w", err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return fmt.Errorf("call the music service: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return errTokenRefused
	default:
		return fmt.Errorf("the music service answered %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out); err != nil {
		return fmt.Errorf("read the music service's answer: %w", err)
	}
	return nil
}
