package demo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// injector stands where the gateway does: it puts the current upstream token
// into every request.
type injector struct {
	mu    sync.Mutex
	token string
	last  int // status of the last answer
}

func (i *injector) use(token string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.token = token
}

func (i *injector) status() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.last
}

func (i *injector) RoundTrip(req *http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+i.token)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err == nil {
		i.last = resp.StatusCode
	}
	return resp, err
}

// newBackendServer starts a backend and returns its URL.
func newBackendServer(t *testing.T, api string) string {
	t.Helper()
	server := httptest.NewServer(NewBackend(api, nil))
	t.Cleanup(server.Close)
	return server.URL
}

// backendSession connects the SDK's client straight to a backend.
func backendSession(t *testing.T, api, revision string, tokens *injector) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(context.Background(), &mcp.StreamableClientTransport{
		Endpoint: newBackendServer(t, api), HTTPClient: &http.Client{Transport: tokens}, DisableStandaloneSSE: true, MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: revision})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	if got := session.InitializeResult().ProtocolVersion; got != revision {
		t.Fatalf("revision = %s, want %s", got, revision)
	}
	return session
}

func TestBackendActsForTheTokenOfEachRequest(t *testing.T) {
	t.Parallel()
	for _, revision := range []string{"2026-07-28", "2025-11-25", "2025-03-26"} {
		t.Run(revision, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			tokens := &injector{}
			session := backendSession(t, r.url, revision, tokens)
			for _, user := range Users() {
				tokens.use(r.tokens(appOne, user.Login).AccessToken)
				who, err := callTool[Profile](t.Context(), session, ToolWhoami)
				if err != nil || who != (Profile{user.Sub, user.Name, user.Email}) {
					t.Errorf("whoami for %s = %+v, %v", user.Login, who, err)
				}
				lists, err := callTool[Playlists](t.Context(), session, ToolListPlaylists)
				if err != nil || lists.Owner != user.Sub || len(lists.Playlists) != len(user.Playlists) {
					t.Errorf("list_playlists for %s = %+v, %v", user.Login, lists, err)
				}
			}
		})
	}
}

func TestBackendWithoutTokenListsToolsAndRefusesCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	session := backendSession(t, r.url, "2026-07-28", &injector{})
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 2 {
		t.Fatalf("tools = %v, %v", tools, err)
	}
	if _, err := callTool[Profile](t.Context(), session, ToolWhoami); err == nil || !strings.Contains(err.Error(), errTokenRefused.Error()) {
		t.Errorf("whoami without a token: %v", err)
	}
}

func TestBackendAnswers401ForADeadToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tokens := &injector{token: r.tokens(appOne, "ada").AccessToken}
	session := backendSession(t, r.url, "2026-07-28", tokens)
	if _, err := callTool[Profile](t.Context(), session, ToolWhoami); err != nil {
		t.Fatal(err)
	}
	r.up.ExpireAccessTokens()
	if _, err := callTool[Profile](t.Context(), session, ToolWhoami); err == nil || tokens.status() != http.StatusUnauthorized {
		t.Errorf("whoami with a dead token: status %d, %v", tokens.status(), err)
	}
}
