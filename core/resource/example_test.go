package resource_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/resource"
	"github.com/sallyport/sallyport/core/seal"
)

// A whole MCP server without the gateway: its handler, wrapped, and the
// document that leads clients to log in.
func Example() {
	sallyport := startScripted() // stands for https://sallyport.example.com/music
	defer sallyport.Close()

	gate, err := resource.New(resource.Config{
		Issuer:   sallyport.URL,
		Resource: "https://tools.example.com/mcp",
		ID:       "tools", Secret: seal.NewSecret("from the environment"),
		// Only because this issuer is at a private address.
		Fetch: fetch.New(fetch.Config{PrivateHosts: []string{strings.TrimPrefix(sallyport.URL, "http://")}}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	tools := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // your MCP handler
		user := resource.FromContext(r.Context())
		fmt.Fprintln(w, user.Subject, "may", user.Scopes, "with", r.Header.Get("Authorization"))
	})
	mux := http.NewServeMux()
	mux.Handle("/mcp", gate.Middleware(tools))
	mux.Handle(gate.MetadataPath(), gate.Metadata())

	fmt.Print(post(mux, "Bearer the client's token"))
	fmt.Print(post(mux, ""))
	// Output:
	// 200 ada may [read] with Bearer upstream
	// 401 {"error":"invalid_token","error_description":"this resource needs an access token"}
}

// A part of a server that needs more than a login.
func ExampleGate_RequireScopes() {
	sallyport := startScripted()
	defer sallyport.Close()
	gate := exampleGate(sallyport)

	remove := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "gone") })
	fmt.Print(post(gate.Middleware(gate.RequireScopes("read", "delete")(remove)), "Bearer the client's token"))
	// Output:
	// 403 {"error":"insufficient_scope","error_description":"this needs more scope than was granted"}
}

// Work that takes long asks for the upstream token each time it needs it.
func ExampleUser_UpstreamToken() {
	sallyport := startScripted()
	defer sallyport.Close()
	gate := exampleGate(sallyport)

	user, err := gate.Verify(context.Background(), "the client's token")
	for range 2 {
		if err != nil {
			fmt.Println(err)
			return
		}
		token, err := user.UpstreamToken(context.Background())
		fmt.Println(token, token.Reveal(), err)
	}
	// Output:
	// [redacted] upstream <nil>
	// [redacted] upstream <nil>
}

func exampleGate(s *scripted) *resource.Gate {
	gate, err := resource.New(resource.Config{
		Issuer: s.URL, Resource: "https://tools.example.com/mcp", ID: "tools", Secret: seal.NewSecret("from the environment"),
		Fetch: fetch.New(fetch.Config{PrivateHosts: []string{strings.TrimPrefix(s.URL, "http://")}}),
	})
	if err != nil {
		panic(err)
	}
	return gate
}

// post sends a request and returns the answer on one line.
func post(h http.Handler, authorization string) string {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "https://tools.example.com/mcp", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return fmt.Sprintln(rec.Code, strings.TrimSpace(rec.Body.String()))
}
