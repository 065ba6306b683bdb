package profiles

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/coretest"
)

// The messages a client sends to the MCP server.
const (
	toolCall   = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whoami","arguments":{}}}`
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
	discovery  = `{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{}}`

	// stateless is the first revision without sessions; revisions are dates.
	stateless = "2026-07-28"
)

// first is the message a session begins with.
func (c *client) first() string {
	if c.version >= stateless {
		return discovery
	}
	return initialize
}

// message posts a message to the MCP server.
func (c *client) message(at stage, body, token string) (coretest.Answer, error) {
	header := map[string]string{
		"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": c.version,
	}
	if token != "" {
		header["Authorization"] = "Bearer " + token
	}
	if c.version >= stateless { // mandatory there, but for what a tool wants as Mcp-Param-*
		switch body {
		case toolCall:
			header["Mcp-Method"], header["Mcp-Name"], header["Mcp-Param-Region"] = "tools/call", "whoami", "eu"
		case discovery:
			header["Mcp-Method"] = "server/discover"
		}
	}
	return c.send(at, http.MethodPost, c.pasted, body, header)
}

// get fetches a metadata document.
func (c *client) get(at stage, address string) (coretest.Answer, error) {
	return c.send(at, http.MethodGet, address, "", map[string]string{"Accept": "application/json", "MCP-Protocol-Version": c.version})
}

// send sends a request as the client does and returns the answer as it reaches
// the client. A script's browser lets it see only what CORS allows.
func (c *client) send(at stage, method, target, body string, header map[string]string) (coretest.Answer, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		return coretest.Answer{}, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if c.origin != "" {
		if err := c.preflight(req); err != nil {
			return coretest.Answer{}, err
		}
		req.Header.Set("Origin", c.origin)
	}
	a := c.Do(c.t, c.program(), req)
	c.change(at, target, &a)
	if c.origin != "" && a.Header.Get("Access-Control-Allow-Origin") != "*" {
		return a, fmt.Errorf("a script cannot read the answer of %s", target)
	}
	return a, nil
}

func (c *client) change(at stage, address string, a *coretest.Answer) {
	if c.tamper != nil {
		c.tamper(at, address, a)
	}
}

// preflight asks first, as a browser does for headers that forms cannot send
// (Fetch, "CORS-preflight fetch").
func (c *client) preflight(req *http.Request) error {
	var unsafe []string
	for name, values := range req.Header {
		form := name == "Content-Type" && values[0] == "application/x-www-form-urlencoded"
		if name = strings.ToLower(name); name != "accept" && !form {
			unsafe = append(unsafe, name)
		}
	}
	if len(unsafe) == 0 {
		return nil
	}
	slices.Sort(unsafe)
	ask, err := http.NewRequestWithContext(req.Context(), http.MethodOptions, req.URL.String(), nil)
	if err != nil {
		return err
	}
	ask.Header.Set("Origin", c.origin)
	ask.Header.Set("Access-Control-Request-Method", req.Method)
	ask.Header.Set("Access-Control-Request-Headers", strings.Join(unsafe, ","))
	a := c.Do(c.t, c.program(), ask)
	if a.Status/100 != 2 || a.Header.Get("Access-Control-Allow-Origin") != "*" {
		return fmt.Errorf("the preflight for %s was answered %d %v", req.URL, a.Status, a.Header)
	}
	allowed := split(a.Header.Get("Access-Control-Allow-Headers"))
	for _, name := range unsafe {
		if !slices.Contains(allowed, name) {
			return fmt.Errorf("the preflight for %s allows %v, not %s", req.URL, allowed, name)
		}
	}
	return nil
}

// exposed tells whether a script may read a header of an answer.
func exposed(a coretest.Answer, name string) bool {
	return slices.Contains(split(a.Header.Get("Access-Control-Expose-Headers")), strings.ToLower(name))
}

// split reads a list of header names.
func split(header string) []string {
	var names []string
	for name := range strings.SplitSeq(header, ",") {
		names = append(names, strings.ToLower(strings.TrimSpace(name)))
	}
	return names
}
