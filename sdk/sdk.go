// Package sdk is what a provider author imports. It owns the shape of a
// provider, the replay that lets straight-line code ask for requests it cannot
// perform itself, and the reading and writing of ABI documents. It leaves the
// ordinary OAuth flow to package sdk/oauth2, JSON to sdk/tree, and performing
// requests, checking them and adding client secrets to the host.
//
// A provider is a package main that registers itself in init and whose main
// is empty:
//
//	func init() { sdk.Register(provider{}) }
//	func main() {}
//
// Everything but the exports runs natively too, so a provider is tested with
// go test and package sdk/sdktest.
package sdk

import "github.com/sallyport/sallyport/sdk/abi"

// Provider is one upstream: what it is, and how a user connects.
//
// The methods must be pure: same conversation, same settings, same input, same
// requests in the same order. They run anew from the start after every answer
// of the upstream. An error that is no *Error counts as a bug of the provider.
type Provider interface {
	// Manifest says what the provider is and needs. It must answer the same
	// every time.
	Manifest() Manifest

	// Authorize returns the URL that the user's browser is sent to. It must
	// carry in.State and in.CodeChallenge unchanged.
	Authorize(c *Conversation, in AuthorizeInput) (string, error)

	// Exchange turns the callback into a credential with its account.
	Exchange(c *Conversation, in ExchangeInput) (*Credential, error)
}

// Refresher is a Provider that renews credentials. What the answer of the
// upstream does not replace must be carried over from in.Credential.
type Refresher interface {
	Refresh(c *Conversation, in RefreshInput) (*Credential, error)
}

// Revoker is a Provider that ends credentials at the upstream. A credential
// that is dead already is no error.
type Revoker interface {
	Revoke(c *Conversation, in RevokeInput) error
}

// Checker is a Provider that refuses bad settings when a tenant is loaded,
// beyond what the JSON Schema in its manifest can say. It makes no requests.
type Checker interface {
	Check(c *Conversation) error
}

// Describer is a Provider whose manifest depends on the tenant's settings:
// check answers what they make of it. It refuses bad settings as a Checker
// does and makes no requests either.
type Describer interface {
	Describe(c *Conversation) (*CheckResult, error)
}

// Identifier is a Provider that names the upstream which a tenant's settings
// lead to; see abi.CheckResult.Identity. It is asked where Describe gave no
// identity, and makes no requests.
type Identifier interface {
	UpstreamIdentity(c *Conversation) (string, error)
}

// Documents whose shape is the author's too; see package abi.
//
//nolint:revive // each is documented where it is defined
type (
	Manifest       = abi.Manifest
	Scope          = abi.Scope
	Capabilities   = abi.Capabilities
	RefreshRules   = abi.RefreshRules
	Raw            = abi.Raw
	Client         = abi.Client
	ClientAuth     = abi.ClientAuth
	CheckResult    = abi.CheckResult
	Credential     = abi.Credential
	Account        = abi.Account
	AuthorizeInput = abi.AuthorizeInput
	RefreshInput   = abi.RefreshInput
	RevokeInput    = abi.RevokeInput
)

// ExchangeInput is the callback and what led to it.
type ExchangeInput struct {
	Query        Form     // the callback's whole query, in the order received
	CodeVerifier string   // RFC 7636 §4.1; empty without PKCE
	Scopes       []string // as asked for at authorize
	Nonce        string   // as given at authorize
	Needs        []string // members of the account that the tenant uses: name, email, email_verified, organizations

	redirectURI string
}

// Code returns the authorization code of the callback, or what the upstream
// said instead of one (RFC 6749 §4.1.2.1).
func (in ExchangeInput) Code() (string, error) {
	if code := in.Query.Get("error"); code != "" {
		return "", OAuthAnswer(400, code, in.Query.Get("error_description"))
	}
	code := in.Query.Get("code")
	if code == "" {
		return "", Unavailable("The upstream sent no authorization code.", "callback without code and without error")
	}
	return code, nil
}

// CodeForm returns the token request of RFC 6749 §4.1.3 with the verifier of
// RFC 7636 §4.5. The host adds the client's identifier and secret.
func (in ExchangeInput) CodeForm() Form {
	f := Form{
		{"grant_type", "authorization_code"},
		{"code", in.Query.Get("code")},
		{"redirect_uri", in.redirectURI},
	}
	if in.CodeVerifier != "" {
		f.Add("code_verifier", in.CodeVerifier)
	}
	return f
}

// registered is the one provider of a module. Only Register, called from an
// init function, writes it.
var registered Provider

// Register makes p the provider of this module. It is called once, from an
// init function. After a second call every operation answers with an error that
// says so: a panic in init would reach the author as an unreachable instruction.
func Register(p Provider) {
	if registered != nil {
		p = registeredTwice{p}
	}
	registered = p
}

// registeredTwice marks the provider of a module that called Register twice.
type registeredTwice struct{ Provider }

// usable reports what keeps a module from having one provider.
func usable(p Provider) error {
	if _, twice := p.(registeredTwice); twice {
		return Fail(abi.KindBug, "the module calls sdk.Register more than once; call it once, from one init function, and build a module for each provider")
	}
	if p == nil {
		return Fail(abi.KindBug, "the module registers no provider; add: func init() { sdk.Register(provider{}) }")
	}
	return nil
}
