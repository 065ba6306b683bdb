package grant_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	verifier = "a-verifier-of-forty-three-characters-at-least-1"
	clientID = "the-client" // however long it is, a grant has its hash
	callback = "http://127.0.0.1:33418/oauth/callback"
)

// music is the tenant of these tests.
var music = &tenant.Tenant{Name: "music", Issuer: "https://mcp.example.com/music", Lifetimes: tenant.DefaultLifetimes()}

// credential is what an upstream gives whose two tokens have length characters
// each.
func credential(subject string, length int) *upstream.Credential {
	return &upstream.Credential{
		AccessToken: seal.NewSecret(strings.Repeat("a", length)), RefreshToken: seal.NewSecret(strings.Repeat("r", length)),
		TokenType: "Bearer", ExpiresAt: time.Now().Add(time.Hour), Scopes: []string{"read", "write"},
		Account: upstream.Account{ID: subject, Name: "Ada Lovelace", Email: "ada@example.com", EmailVerified: true},
	}
}

func newKeys(t testing.TB) *seal.Keyring {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newGrants(t testing.TB, d store.Driver) *grant.Store {
	t.Helper()
	return grant.NewStore(d, newKeys(t), nil)
}

// login creates a grant and redeems its code.
func login(ctx context.Context, grants *grant.Store, subject string, c *upstream.Credential) (*grant.Tokens, error) {
	code, err := grants.Create(ctx, music, grant.New{
		ClientID: clientID, ClientName: "An MCP Client", RedirectURI: callback, Challenge: oauth.ChallengeOf(verifier),
		Resource: music.Resource(), Scopes: []string{"read", "write"}, Credential: c,
	})
	if err != nil {
		return nil, err
	}
	return grants.Redeem(ctx, music, code, grant.Presented{ClientID: clientID, RedirectURI: callback, Verifier: verifier})
}

func mustLogin(t testing.TB, grants *grant.Store) *grant.Tokens {
	t.Helper()
	tokens, err := login(t.Context(), grants, "1234567", credential("1234567", 40))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}
