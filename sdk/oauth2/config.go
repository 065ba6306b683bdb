// Package oauth2 is a provider as a table: Config says what an upstream does
// differently from RFC 6749, and Provider does the rest. It owns the ordinary
// flow (authorization code, PKCE, refresh, revocation, account lookup) and
// leaves everything a table cannot say to the author, who embeds Provider,
// writes the operation anew and uses the exported steps of it.
package oauth2

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
)

// Config is one upstream. The zero of every field is what RFC 6749 says, or
// what most upstreams do.
//
// A URL may hold {settings.NAME}, which becomes that setting of the tenant; a
// slash at the setting's end does not count. A pointer is an RFC 6901 pointer
// into a JSON answer; a form answer is read as an object of strings.
type Config struct {
	AuthorizeURL string
	TokenURL     string
	RefreshURL   string // default: TokenURL
	RevokeURL    string // RFC 7009; empty: there is none, and Revoke does nothing
	UserinfoURL  string // empty: the token answer says who the account is

	ClientAuth string // how the token endpoint knows us; default sdk.ClientSecretPost
	PKCE       bool   // send the S256 challenge, RFC 7636

	ScopeParam      string   // default scope; "-": send none
	ScopeSeparator  string   // default a space
	AuthorizeParams sdk.Form // sent along to the authorization endpoint
	TokenParams     sdk.Form // sent along with a code
	RefreshParams   sdk.Form // sent along with a refresh token

	Headers []abi.Header // sent along with every request
	Accept  string       // default application/json

	Token    TokenAnswer
	Failure  Failure
	Identity Identity
}

// Formats of a token answer.
const (
	FormatJSON = "json"
	FormatForm = "form"
)

// TokenAnswer says where things are in the answer of the token endpoint.
type TokenAnswer struct {
	Format           string // default: by content type, JSON unless it names a form or plain text
	AccessToken      string // pointer; default /access_token
	TokenType        string // pointer; default /token_type
	RefreshToken     string // pointer; default /refresh_token
	ExpiresIn        string // pointer to seconds, as number or text; default /expires_in
	ExpiresAt        string // pointer to seconds or milliseconds since 1970, or RFC 3339; default: there is none
	RefreshExpiresIn string // pointer to seconds; default /refresh_expires_in
	Scope            string // pointer to text or an array; default /scope
	ScopeSeparators  string // each character separates; default a space and ScopeSeparator
}

// Failure says how an error looks, whatever the status it comes with.
type Failure struct {
	Code        string            // pointer; default /error
	Description string            // pointer; default /error_description
	Success     string            // pointer to what must be true for the answer to be none; default: nothing need be
	Kinds       map[string]string // the upstream's codes that sdk.OAuthError does not know, or means otherwise, to kinds
}

// Identity says where things are in the answer of UserinfoURL, or without one
// in the token answer.
type Identity struct {
	ID      string       // pointer to a stable identifier; default /sub, OpenID Connect Core §5.1
	Name    string       // pointer; default /name
	Email   string       // pointer; default /email
	Picture string       // pointer; default /picture
	Headers []abi.Header // sent along to UserinfoURL
}

// filled returns c with its defaults.
func (c Config) filled() Config {
	for _, field := range []struct {
		field *string
		value string
	}{
		{&c.RefreshURL, c.TokenURL},
		{&c.ClientAuth, sdk.ClientSecretPost},
		{&c.ScopeParam, "scope"},
		{&c.ScopeSeparator, " "},
		{&c.Accept, "application/json"},
		{&c.Token.AccessToken, "/access_token"},
		{&c.Token.TokenType, "/token_type"},
		{&c.Token.RefreshToken, "/refresh_token"},
		{&c.Token.ExpiresIn, "/expires_in"},
		{&c.Token.RefreshExpiresIn, "/refresh_expires_in"},
		{&c.Token.Scope, "/scope"},
		{&c.Token.ScopeSeparators, " " + c.ScopeSeparator},
		{&c.Failure.Code, "/error"},
		{&c.Failure.Description, "/error_description"},
		{&c.Identity.ID, "/sub"},
		{&c.Identity.Name, "/name"},
		{&c.Identity.Email, "/email"},
		{&c.Identity.Picture, "/picture"},
	} {
		if *field.field == "" {
			*field.field = field.value
		}
	}
	return c
}
