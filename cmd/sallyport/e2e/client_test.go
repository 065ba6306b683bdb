package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// connect logs in with the Go SDK; fill answers the pages on the way. The
// client is closed at the end of the test.
func connect(ctx context.Context, t *testing.T, mcpURL string, fill demo.Fill) *demo.Client {
	t.Helper()
	return connectWith(ctx, t, mcpURL, demo.NewBrowser(fill, nil))
}

// connectWith is connect with a browser of one's own.
func connectWith(ctx context.Context, t *testing.T, mcpURL string, browser *demo.Browser) *demo.Client {
	t.Helper()
	client, err := demo.Connect(ctx, mcpURL, browser, demo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() }) // the server may be gone by then
	return client
}

func boltStore(t *testing.T) string { return "bolt://" + filepath.Join(t.TempDir(), "state.db") }

// client is an MCP client on an SDK, with a person who logs in when it asks.
type client interface {
	// do carries out a command: call calls whoami, and refresh does so with an
	// access token that is no good any more.
	do(ctx context.Context, command string) (answer, error)
	// logins is how often it sent the person to log in.
	logins() int
}

// answer is one line of client.mjs.
type answer struct {
	Authorize    string // it wants a login at this URL, and the rest is empty
	Failed       string // the SDK's error, with no tools and no whoami
	Tools        []string
	Whoami       demo.Profile
	ClientID     string
	AccessToken  string
	RefreshToken string
	Scope        string // of the tokens
	Refusals     int    // times the SDK gave up, and the client dropped its tokens
}

// goClient is a client on the Go SDK, which runs in this process.
type goClient struct {
	*demo.Client
	asked atomic.Int32
}

func newGoClient(ctx context.Context, t *testing.T, w *world, g *gateway) client {
	t.Helper()
	c := &goClient{}
	c.Client = connect(ctx, t, g.mcpURL(octo), counted(&c.asked, w.signIn))
	return c
}

// counted fills pages as fill does, and counts those that ask for consent.
func counted(asked *atomic.Int32, fill demo.Fill) demo.Fill {
	return func(f *demo.Form) error {
		if f.Has("decision") {
			asked.Add(1)
		}
		return fill(f)
	}
}

func (c *goClient) logins() int { return int(c.asked.Load()) }

func (c *goClient) do(ctx context.Context, command string) (answer, error) {
	if command == "refresh" {
		c.Expire()
	}
	who, err := c.Whoami(ctx)
	if err != nil {
		return answer{}, err
	}
	token, err := c.Token()
	if err != nil {
		return answer{}, err
	}
	scope, _ := token.Extra("scope").(string)
	return answer{Whoami: who, ClientID: c.ClientID(), AccessToken: token.AccessToken, RefreshToken: token.RefreshToken, Scope: scope}, nil
}

// script is a client on an SDK of another language: a process that speaks as
// client.mjs does, and a browser.
type script struct {
	*process
	name    string
	browser *demo.Browser
	tenant  string // URL
	asked   int
}

func newScript(p *process, name string, w *world, g *gateway) client {
	return &script{process: p, name: name, browser: demo.NewBrowser(w.signIn, nil), tenant: g.tenantURL(octo)}
}

func newNodeClient(file string) func(context.Context, *testing.T, *world, *gateway) client {
	return func(ctx context.Context, t *testing.T, w *world, g *gateway) client {
		t.Helper()
		return newScript(startNode(ctx, t, file, g.mcpURL(octo), demo.CallbackURL), file, w, g)
	}
}

func newPythonClient(ctx context.Context, t *testing.T, w *world, g *gateway) client {
	t.Helper()
	return newScript(startPython(ctx, t, "client.py", g.mcpURL(octo), demo.CallbackURL), "client.py", w, g)
}

func (c *script) logins() int { return c.asked }

func (c *script) do(ctx context.Context, command string) (answer, error) {
	line := command
	for {
		var a answer
		if _, err := fmt.Fprintln(c.in, line); err != nil {
			return a, fmt.Errorf("%s: %s: %w", c.name, command, err)
		}
		text, err := c.out.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(text, &a)
		}
		if err != nil {
			return a, fmt.Errorf("%s: %s: %w", c.name, command, err)
		}
		if a.Failed != "" {
			return a, fmt.Errorf("%s: %s: %s", c.name, command, a.Failed)
		}
		if a.Authorize == "" {
			if !slices.Equal(a.Tools, []string{demo.ToolWhoami}) {
				err = fmt.Errorf("%s: expected the tool %s, got %v", c.name, demo.ToolWhoami, a.Tools)
			}
			return a, err
		}
		c.asked++
		if line, err = c.logIn(ctx, a.Authorize); err != nil {
			return a, errors.Join(err, c.giveUp())
		}
	}
}

// giveUp tells the client that its user came back without an answer. The next
// command finds the client ready.
func (c *script) giveUp() error {
	if _, err := fmt.Fprintln(c.in, "about:blank"); err != nil {
		return err
	}
	_, err := c.out.ReadBytes('\n')
	return err
}

// logIn returns the URL with the authorization response.
func (c *script) logIn(ctx context.Context, authorize string) (string, error) {
	final, err := c.browser.Visit(ctx, authorize, func(u *url.URL) bool {
		return u.Scheme+"://"+u.Host+u.Path == demo.CallbackURL
	})
	if err != nil {
		return "", err
	}
	if iss := final.Query().Get("iss"); iss != c.tenant { // RFC 9207 §2.4; not every SDK looks
		return "", fmt.Errorf("expected iss %q in the authorization response, got %q", c.tenant, iss)
	}
	return final.String(), nil
}
