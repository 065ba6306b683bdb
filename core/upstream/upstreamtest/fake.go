// Package upstreamtest holds a Provider for tests, a double of ours: its
// upstream is a few lines of Go and always says yes, unless it is told
// otherwise.
package upstreamtest

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

// Fake is an upstream with strict single-use refresh tokens. The zero value is
// ready; set the fields before it is used.
type Fake struct {
	Login       string           // URL that Authorize sends the browser to; it adds state and code_challenge
	Life        time.Duration    // of access tokens; 0: they do not expire; negative: they have ended
	Now         func() time.Time // nil: time.Now
	Scopes      []string         // offered by default; nil: read, write
	Grants      []string         // granted whatever is asked for; nil: that
	Exchange    error            // returned by Exchange instead of a credential
	NoAuthorize error            // returned by Authorize instead of a URL
	Fail        func() error     // asked at each refresh before anything else
	NoRevoke    error            // returned by Revoke, which counts all the same
	// Accounts by the name that Exchange logs in. Whoever is not in it has the
	// name as id.
	Accounts map[string]upstream.Account
	Issuer   string // whose accounts they are

	mu        sync.Mutex
	refreshes int
	revoked   []string
	spent     map[string]bool
}

var _ upstream.Provider = Provider{}

// Provider is Fake as core sees it.
type Provider struct{ *Fake }

// Describe returns a description with every capability.
func (p Provider) Describe() upstream.Description {
	scopes := p.Fake.Scopes
	if scopes == nil {
		scopes = []string{"read", "write"}
	}
	return upstream.Description{
		Name: "fake", Version: "1.0.0", DisplayName: "Fake Upstream", DefaultScopes: scopes,
		ScopeText: map[string]string{"read": "Read everything", "write": "Change everything"},
		PKCE:      true, CanRefresh: true, CanRevoke: true, Issuer: p.Fake.Issuer,
	}
}

// Authorize returns Login with the state, the scopes and the prompt.
func (p Provider) Authorize(_ context.Context, req upstream.AuthorizeRequest) (string, error) {
	if p.NoAuthorize != nil {
		return "", p.NoAuthorize
	}
	q := url.Values{"state": {req.State}, "code_challenge": {req.CodeChallenge}, "scope": {strings.Join(req.Scopes, " ")}}
	if req.Prompt != "" {
		q.Set("prompt", req.Prompt)
	}
	return p.Login + "?" + q.Encode(), nil
}

// Exchange logs in the user whose name is the callback's code.
func (p Provider) Exchange(_ context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	if p.Fake.Exchange != nil {
		return nil, p.Fake.Exchange
	}
	if reason := req.Query.Get("error"); reason != "" {
		return nil, &upstream.Error{Kind: upstream.AccessDenied, Detail: reason}
	}
	user := req.Query.Get("code")
	if p.Grants != nil {
		req.Scopes = p.Grants
	}
	return p.issue(user, 0, req.Scopes), nil
}

// Refresh rotates the credential. A refresh token that comes twice is refused,
// as strict upstreams do.
func (p Provider) Refresh(_ context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Fail != nil {
		if err := p.Fail(); err != nil {
			return nil, err
		}
	}
	old := req.Credential.RefreshToken.Reveal()
	if p.spent[old] {
		return nil, &upstream.Error{Kind: upstream.InvalidGrant, Detail: "refresh token was used before"}
	}
	if p.spent == nil {
		p.spent = map[string]bool{}
	}
	p.spent[old] = true
	p.refreshes++
	return p.issue(req.Credential.Account.ID, p.refreshes, req.Credential.Scopes), nil
}

// Revoke notes the access token.
func (p Provider) Revoke(_ context.Context, cred *upstream.Credential) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked = append(p.revoked, cred.AccessToken.Reveal())
	return p.NoRevoke
}

// Revoked is the access tokens that Revoke was called with.
func (f *Fake) Revoked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.revoked)
}

// Refreshes is how many refreshes succeeded.
func (f *Fake) Refreshes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refreshes
}

func (f *Fake) issue(user string, generation int, scopes []string) *upstream.Credential {
	now := time.Now
	if f.Now != nil {
		now = f.Now
	}
	cred := &upstream.Credential{
		AccessToken:  seal.NewSecret(fmt.Sprintf("upstream-access-%s-%d", user, generation)),
		RefreshToken: seal.NewSecret(fmt.Sprintf("upstream-refresh-%s-%d", user, generation)),
		Scopes:       scopes,
		Account:      upstream.Account{ID: user, Name: user},
	}
	if account, ok := f.Accounts[user]; ok {
		cred.Account = account
	}
	if f.Life != 0 {
		cred.ExpiresAt = now().Add(f.Life)
	}
	return cred
}
