// Command go is an MCP server behind Sallyport, on the official Go SDK:
//
//	go run . PORT USERINFO-URL
//
// There is no OAuth in it. The gateway has checked the client's token and put
// the user's upstream token in its place: what arrives in Authorization is good
// for the upstream's API as it is.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("usage: go run . PORT USERINFO-URL")
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", args[0]))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s/mcp\n", listener.Addr())

	server := mcp.NewServer(&mcp.Implementation{Name: "example", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "whoami", Description: "Says whose account this is."}, whoami(args[1]))
	// Each request is served on its own: nothing of one user is there for the next.
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true})
	return (&http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}).Serve(listener)
}

// profile is what the upstream says of a user, in its own words.
type profile map[string]any

// whoami asks the upstream who the caller is.
func whoami(userinfo string) mcp.ToolHandlerFor[struct{}, profile] {
	client := &http.Client{Timeout: 10 * time.Second}
	return func(ctx context.Context, call *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, profile, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, userinfo, nil)
		if err != nil {
			return nil, nil, err
		}
		req.Header.Set("Authorization", call.Extra.Header.Get("Authorization"))
		req.Header.Set("Accept", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, nil, fmt.Errorf("the upstream answered %s", res.Status)
		}
		var user profile
		err = json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&user)
		return nil, user, err
	}
}
