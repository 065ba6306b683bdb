// Package upstream is the seam between core and whatever knows an upstream:
// core calls a Provider and never learns whether a plugin, a test fake or
// plain Go code is behind it. It owns the interface, the values that cross it
// and the kinds of failure; it leaves performing a conversation to package
// plugins and keeping its outcome to packages grant and credential.
package upstream

import (
	"context"
	"net/url"
	"time"

	"github.com/sallyport/sallyport/core/seal"
)

// Provider is one upstream, already bound to one tenant: its settings, its
// client id and secret and its rights are behind the interface. It is safe for
// concurrent use. Every error it returns is, or wraps, an *Error.
type Provider interface {
	// Describe returns what the provider says about itself. It is cheap and
	// may change when a plugin is replaced.
	Describe() Description

	// Authorize returns the URL that the user's browser is sent to.
	Authorize(ctx context.Context, req AuthorizeRequest) (string, error)

	// Exchange turns the callback's query into a credential with its account.
	Exchange(ctx context.Context, req ExchangeRequest) (*Credential, error)

	// Refresh renews a credential. It keeps what the upstream's answer does
	// not replace: the refresh token, the scopes, the account.
	Refresh(ctx context.Context, req RefreshRequest) (*Credential, error)

	// Revoke ends a credential at the upstream; without the capability it does
	// nothing and returns nil.
	Revoke(ctx context.Context, cred *Credential) error
}

// Description is what core needs to know of a provider.
type Description struct {
	Name          string // what the plugin calls itself
	Version       string
	Digest        string // sha256:… of the plugin's file, empty if it is none
	DisplayName   string // for people: GitHub
	HomePage      string
	DefaultScopes []string
	ScopeText     map[string]string // scope → words for the consent page
	PKCE          bool              // the upstream understands S256
	CanRefresh    bool
	Refresh       RefreshRules
	CanRevoke     bool

	// Issuer is whose accounts these are, where the provider tells, and
	// ManyOrganizations says that they are not those of one organization.
	Issuer            string
	ManyOrganizations bool

	// Identity is the app at the upstream that the tenant's settings lead to.
	Identity Identity
	// Former are identities that mean the same app: what the provider's modules
	// were known by before they named their upstream.
	Former []Identity
	// Upstream is what the provider calls the upstream, for the operator: an
	// issuer, a token URL, a host.
	Upstream string
	// CallbackIssuer is the iss that every callback carries, RFC 9207 §2.4;
	// empty: none is demanded.
	CallbackIssuer string
}

// AuthorizeRequest is the input of Provider.Authorize.
type AuthorizeRequest struct {
	State         string // opaque, comes back in the callback
	Scopes        []string
	CodeChallenge string // S256; empty if the provider does no PKCE
	// Prompt is what the client wants asked (OpenID Connect Core §3.1.2.1):
	// login, select_account, or both with a space between. An upstream that
	// knows no such thing is not asked for it.
	Prompt string
}

// ExchangeRequest is the input of Provider.Exchange.
type ExchangeRequest struct {
	Query        url.Values // the callback's whole query
	CodeVerifier seal.Secret
	Scopes       []string // as asked for at Authorize
	// Needs are the members of the account that the tenant uses, by their names
	// in Account's JSON, organizations among them. A provider that has to ask for
	// one of them does.
	Needs []string
}

// RefreshRequest is the input of Provider.Refresh.
type RefreshRequest struct {
	Credential *Credential
	Scopes     []string
	Journal    Journal // nil: keep none
}

// Journal keeps the upstream's answers of a conversation that has not ended.
// An upstream that rotates single-use tokens has forgotten the old one by the
// time we read its answer, so the answer is kept before anybody interprets it:
// after a crash, or with a repaired provider, the conversation goes on from
// there instead of asking again.
type Journal interface {
	// Load returns what an earlier attempt kept, or nil.
	Load() []byte
	// Keep replaces what is kept. The conversation stops if it fails. Answers
	// that nothing was spent for are not kept alone: whoever finds a journal
	// takes it that the refresh token has been answered for.
	Keep(ctx context.Context, answers []byte) error
}

// Credential is what the upstream gave us.
type Credential struct {
	AccessToken      seal.Secret
	TokenType        string
	RefreshToken     seal.Secret // empty: none
	ExpiresAt        time.Time   // zero: unknown or never
	RefreshExpiresAt time.Time   // zero: unknown or never
	Scopes           []string
	Account          Account
	Extra            []byte // the provider's own, JSON
}

// Account is the upstream's stable user.
type Account struct {
	ID      string `json:"id"` // stable; never a login, an e-mail or a domain
	Name    string `json:"name,omitempty"`
	Email   string `json:"email,omitempty"`
	Picture string `json:"picture,omitempty"`
	// EmailVerified is what the upstream says of Email.
	EmailVerified bool `json:"email_verified,omitempty"`
	// Organizations are those the account belongs to, by stable ids or verified
	// domains. They are known at a login only: a grant keeps none, because who
	// belongs where is old by then.
	Organizations []string `json:"-"`
}
