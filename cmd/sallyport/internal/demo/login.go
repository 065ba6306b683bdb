package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"
)

// CallbackURL is the redirect URI the client registers. Nothing listens there:
// the browser stops when it is sent to it.
const CallbackURL = "http://127.0.0.1:33333/callback"

// requestTimeout bounds each request of the client and the check.
const requestTimeout = 30 * time.Second

// Options says how a Client presents itself. The zero value registers
// dynamically and speaks the newest MCP revision.
type Options struct {
	ClientID     string // of a registered client; empty: register dynamically (RFC 7591)
	ClientSecret string // of that client; empty for a public one

	ProtocolVersion string            // MCP revision; empty: the newest
	Transport       http.RoundTripper // nil: one of its own
}

// Client is an MCP client connected to a tenant. It logs in when the server
// first asks for a token, which may be as late as the first tool call.
type Client struct {
	session *mcp.ClientSession
	tokens  *tokenSource
}

// Connect opens an MCP session at mcpURL. All of OAuth is the official SDK's:
// discovery, registration, PKCE, exchange and refresh; browser stands in for
// the person at the screen. The caller closes the client.
func Connect(ctx context.Context, mcpURL string, browser *Browser, opts Options) (*Client, error) {
	httpClient := &http.Client{Transport: transportOr(opts.Transport), Timeout: requestTimeout}
	tokens := &tokenSource{client: httpClient}
	handler, err := auth.NewAuthorizationCodeHandler(handlerConfig(browser, opts, tokens))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "sallyport-demo", Version: "1.0.0"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:             mcpURL,
		HTTPClient:           httpClient,
		OAuthHandler:         handler,
		DisableStandaloneSSE: true, // the backend says nothing on its own
	}, &mcp.ClientSessionOptions{ProtocolVersion: opts.ProtocolVersion})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", mcpURL, err)
	}
	return &Client{session: session, tokens: tokens}, nil
}

func handlerConfig(browser *Browser, opts Options, tokens *tokenSource) *auth.AuthorizationCodeHandlerConfig {
	cfg := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL:         CallbackURL,
		RequestRefreshToken: true,
		Client:              tokens.client,
		AuthorizationCodeFetcher: func(ctx context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			return fetchCode(ctx, browser, args.URL)
		},
		NewTokenSource: func(_ context.Context, cfg *oauth2.Config, token *oauth2.Token) (oauth2.TokenSource, error) {
			tokens.set(cfg, token)
			return tokens, nil
		},
	}
	if opts.ClientID == "" {
		cfg.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{
			Metadata: &oauthex.ClientRegistrationMetadata{
				ClientName:              "Sallyport demo client",
				RedirectURIs:            []string{CallbackURL},
				GrantTypes:              []string{"authorization_code", "refresh_token"},
				ResponseTypes:           []string{"code"},
				TokenEndpointAuthMethod: "none",
			},
		}
		return cfg
	}
	cfg.PreregisteredClient = &oauthex.ClientCredentials{ClientID: opts.ClientID}
	if opts.ClientSecret != "" {
		cfg.PreregisteredClient.ClientSecretAuth = &oauthex.ClientSecretAuth{ClientSecret: opts.ClientSecret}
	}
	return cfg
}

// fetchCode takes the browser through the authorization URL to the callback
// and reads the authorization response. The SDK compares state and iss.
func fetchCode(ctx context.Context, browser *Browser, authURL string) (*auth.AuthorizationResult, error) {
	final, err := browser.Visit(ctx, authURL, func(u *url.URL) bool {
		return u.Scheme+"://"+u.Host+u.Path == CallbackURL
	})
	if err != nil {
		return nil, err
	}
	q := final.Query()
	if fault := q.Get("error"); fault != "" {
		return nil, fmt.Errorf("authorization response: %s: %s", fault, q.Get("error_description"))
	}
	return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
}

// Close ends the session.
func (c *Client) Close() error { return c.session.Close() }

// ProtocolVersion returns the MCP revision client and server agreed on.
func (c *Client) ProtocolVersion() string { return c.session.InitializeResult().ProtocolVersion }

// Whoami calls the backend's tool of that name.
func (c *Client) Whoami(ctx context.Context) (Profile, error) {
	return callTool[Profile](ctx, c.session, ToolWhoami)
}

// Playlists calls the backend's tool list_playlists.
func (c *Client) Playlists(ctx context.Context) (Playlists, error) {
	return callTool[Playlists](ctx, c.session, ToolListPlaylists)
}

// callTool calls a tool without arguments and decodes its structured result.
func callTool[T any](ctx context.Context, session *mcp.ClientSession, name string) (T, error) {
	var out T
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: map[string]any{}})
	if err != nil {
		return out, fmt.Errorf("call %s: %w", name, err)
	}
	if result.IsError {
		return out, fmt.Errorf("call %s: the tool failed: %s", name, textOf(result))
	}
	// Structured content arrives as generic JSON values.
	raw, err := json.Marshal(result.StructuredContent)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return out, fmt.Errorf("call %s: read the result: %w", name, err)
	}
	return out, nil
}

func textOf(result *mcp.CallToolResult) string {
	for _, content := range result.Content {
		if text, ok := content.(*mcp.TextContent); ok {
			return text.Text
		}
	}
	return "without a word"
}

// errNotLoggedIn says that the server has not asked for a token yet.
var errNotLoggedIn = errors.New("not logged in")

// Token returns the tokens the client holds now, without refreshing them.
func (c *Client) Token() (*oauth2.Token, error) {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	if c.tokens.current == nil {
		return nil, errNotLoggedIn
	}
	return c.tokens.current, nil
}

// Refresh exchanges the refresh token although the access token is still good
// (RFC 6749 §6). Calls after it use the new tokens. An error answer of the
// token endpoint is an *oauth2.RetrieveError.
func (c *Client) Refresh(ctx context.Context) (*oauth2.Token, error) {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	if c.tokens.current == nil {
		return nil, errNotLoggedIn
	}
	return c.tokens.refresh(ctx)
}

// Expire makes the access token look expired, so that the next call refreshes.
func (c *Client) Expire() {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	if c.tokens.current != nil {
		expired := *c.tokens.current
		expired.Expiry = time.Unix(1, 0)
		c.tokens.current = &expired
	}
}

// ClientID returns the id the client has at the server, empty before it is
// logged in.
func (c *Client) ClientID() string {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	if c.tokens.config == nil {
		return ""
	}
	return c.tokens.config.ClientID
}

// tokenSource holds the client's tokens where they can be seen and refreshed
// early; the SDK's own source shows neither.
type tokenSource struct {
	client *http.Client

	mu      sync.Mutex
	config  *oauth2.Config
	current *oauth2.Token // nil until logged in
}

func (s *tokenSource) set(config *oauth2.Config, token *oauth2.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config, s.current = config, token
}

// Token implements oauth2.TokenSource.
func (s *tokenSource) Token() (*oauth2.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Valid() {
		return s.current, nil
	}
	// The interface has no context; the HTTP client is what bounds this.
	return s.refresh(context.Background())
}

// refresh replaces the current tokens. s.mu is held.
func (s *tokenSource) refresh(ctx context.Context) (*oauth2.Token, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, s.client)
	// A token without an access token is never valid, so the source refreshes it.
	token, err := s.config.TokenSource(ctx, &oauth2.Token{RefreshToken: s.current.RefreshToken}).Token()
	if err != nil {
		return nil, fmt.Errorf("refresh: %w", err)
	}
	s.current = token
	return token, nil
}
