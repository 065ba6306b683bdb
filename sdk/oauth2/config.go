// Package oauth2 is a provider as a table: Config says what an upstream does
// differently from RFC 6749, and Provider does the rest. It owns the ordinary
// flow (authorization code, PKCE, refresh, revocation, account lookup, ID
// tokens) and leaves everything a table cannot say to the author, who embeds
// Provider, writes the operation anew and uses the exported steps of it.
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
	RevokeURL    string // empty: there is none, and Revoke does nothing; see Revocation
	UserinfoURL  string // empty: the token answer says who the account is; see Identity

	// Upstream is a stable name of the upstream: tokens of one are never sent to
	// another. Default: TokenURL, and RefreshURL if that is another.
	Upstream string

	// Issuer is whose ID tokens tell the account, OpenID Connect Core §2, and
	// what an iss in the callback must say, RFC 9207. {tenantid} in it stands
	// for the token's claim tid, as Entra has it. Empty: no ID token is read.
	Issuer string

	// Claims are names of claims of the ID token and what each must be: an
	// account with another is not let in.
	Claims sdk.Form

	// Nonce makes a nonce of the state, to be sent along and found again in
	// the ID token, OpenID Connect Core §3.1.2.1. The state is fresh for every
	// authorization, so a hash of it ties the ID token to the browser that was
	// sent away (§15.5.2). Nil: none is sent. It is a function because a hash
	// of the standard library costs a module 280 KB.
	Nonce func(state string) string

	ClientAuth string // how the token endpoint knows us; default sdk.ClientSecretPost
	Audience   string // for sdk.PrivateKeyJWT and sdk.ClientSecretJWT: whom the assertion is for; default the URL asked
	PKCE       bool   // send the S256 challenge, RFC 7636

	// Rename has the upstream's names of RFC 6749's parameters, client_id and
	// client_secret among them, in every request; "-" leaves one out. State
	// and code_challenge have to stay.
	Rename map[string]string
	Body   string // what the token endpoint reads: BodyForm, the default, or BodyJSON

	ScopeParam       string   // default scope; "-": send none
	ScopeSeparator   string   // default a space
	DefaultScopes    []string // asked for when a tenant names none
	SecondScopeParam string   // carries SecondScopes; empty: there is none
	SecondScopes     []string // the scopes that, if asked for, go there instead

	// Prompts are the values of prompt that the upstream knows of those a
	// client may send, login and select_account. They are added to a prompt in
	// AuthorizeParams. Empty: none is passed on.
	Prompts []string

	AuthorizeParams sdk.Form // sent along to the authorization endpoint
	TokenParams     sdk.Form // sent along with a code
	RefreshParams   sdk.Form // sent along with a refresh token

	TokenScope         bool // repeat the scopes with a code
	RefreshScope       bool // repeat them with a refresh token, those granted; RFC 6749 §6 leaves it open
	RefreshAsked       bool // with RefreshScope: those that the login asked for, where the answer has other names for them
	RefreshRedirectURI bool // repeat the redirect URI with a refresh token

	RefreshPolicy string // one of the Refresh constants; default RefreshUnknown
	RefreshGrace  int    // seconds; with RefreshGraced

	Headers []abi.Header // sent along with every request
	Accept  string       // default application/json

	Query      CallbackQuery
	Token      TokenAnswer
	Failure    Failure
	Identity   Identity
	Lookup     Lookup
	Revocation Revocation

	answered *sdk.Response // the token endpoint's last answer, for the detail of an error
}

// Bodies of requests to the token endpoint.
const (
	BodyForm = "form"
	BodyJSON = "json"
)

// What refreshing does to the old refresh token.
const (
	RefreshUnknown  = ""         // taken for RefreshStrict, the careful answer
	RefreshNone     = "none"     // there is none, or none that is of use
	RefreshStable   = "stable"   // it goes on, and no new one comes
	RefreshTolerant = "tolerant" // a new one comes, the old one goes on
	RefreshGraced   = "grace"    // a new one comes, the old one goes on for RefreshGrace
	RefreshStrict   = "strict"   // a new one comes, the old one is dead
)

// RefreshRules returns the policy as a manifest has it.
func (cfg *Config) RefreshRules() sdk.RefreshRules {
	switch cfg.RefreshPolicy {
	case RefreshNone, RefreshStable:
		return sdk.RefreshRules{}
	case RefreshTolerant:
		return sdk.RefreshRules{Rotates: true}
	case RefreshGraced:
		return sdk.RefreshRules{Rotates: true, SingleUse: true, GraceSeconds: cfg.RefreshGrace}
	}
	return sdk.RefreshRules{Rotates: true, SingleUse: true}
}

// CallbackQuery says what stands in the query of the callback.
type CallbackQuery struct {
	Code   string   // parameter; default code
	Issuer bool     // iss has to be there, RFC 9207 §2.4; if it is, it is checked anyway
	Scope  string   // parameter that tells the scopes granted; empty: the token answer tells
	Keep   []string // parameters kept in the credential's Extra under their own names
}

// Formats of a token answer.
const (
	FormatJSON = "json"
	FormatForm = "form"
)

// TokenAnswer says where things are in the answer of the token endpoint.
type TokenAnswer struct {
	Format           string   // default: by content type, JSON unless it names a form or plain text
	AccessToken      string   // pointer; default /access_token
	TokenType        string   // pointer; default /token_type
	RefreshToken     string   // pointer; default /refresh_token
	IDToken          string   // pointer; default /id_token; read if Config.Issuer is set
	ExpiresIn        string   // pointer to seconds, as number or text; default /expires_in
	ExpiresAt        string   // pointer to seconds or milliseconds since 1970, or RFC 3339; default: there is none
	Lifetime         int64    // seconds, when the answer does not say; 0: unknown
	RefreshExpiresIn string   // pointer to seconds; default /refresh_expires_in
	RefreshLifetime  int64    // seconds that a new refresh token lives, when the answer does not say; 0: unknown
	GrantLifetime    int64    // seconds from consent after which no refresh token works, new or old; 0: unknown
	Scope            string   // pointer to text or an array; default /scope; when nothing is there, what was asked for is granted
	ScopeSeparators  string   // each character separates; default a space and ScopeSeparator
	Keep             sdk.Form // names and pointers: what is kept in the credential's Extra
}

// Failure says how an error looks, whatever the status it comes with.
type Failure struct {
	Code         string            // pointer; default /error
	Description  string            // pointer; default /error_description
	Success      string            // pointer to what must be SuccessValue for the answer to be none; default: nothing need be
	SuccessValue string            // default true
	Kinds        map[string]string // the upstream's codes that sdk.OAuthError does not know, or means otherwise, to kinds; a status such as 400 stands for an answer of the token endpoint without a code
}

// Identity says where things are in the ID token if there is one, for what it
// leaves out in the answer of UserinfoURL, or without both in the token answer.
type Identity struct {
	Tenant  string       // pointer to what ID is unique in; the account is then TENANT/ID
	ID      string       // pointer to a stable identifier; default /sub, OpenID Connect Core §5.1
	Name    string       // pointer; default /name
	Email   string       // pointer; default /email
	Picture string       // pointer; default /picture
	Headers []abi.Header // sent along to UserinfoURL
	Method  string       // default GET, or POST if there is a body; {access_token} in UserinfoURL takes the token instead of a header
	Body    string       // JSON sent to UserinfoURL, such as a GraphQL query

	EmailVerified string // pointer to what is true if Email is verified; default /email_verified
	Organizations string // pointer to an organization or a list of them, by identifiers; Tenant is one as well; default: there is none

	Introspect bool // UserinfoURL takes the token in a form and knows the client, RFC 7662 §2.1
	Userinfo   bool // ask UserinfoURL also if there is an ID token that tells all that is needed
	NoUserinfo bool // never ask it if there is an ID token: its tokens are for another service
}

// Lookup is one request after consent for something the user has several of,
// such as sites.
type Lookup struct {
	URL    string   // asked with the access token; empty: there is none
	List   string   // pointer to the list; default: the answer is the list
	Value  string   // pointer in an item to what is kept; default /id
	Match  []string // pointers in an item to what Choice is compared with; default Value
	Choice string   // empty: there has to be exactly one item
	Keep   string   // its name in the credential's Extra
}

// Shapes of a revocation request.
const (
	RevokeForm   = "form"   // the token in a form, RFC 7009 §2.1
	RevokeBearer = "bearer" // the access token in the header, without a body
	RevokeURL    = "url"    // the token in RevokeURL, as {access_token} or {refresh_token}
	RevokeJSON   = "json"   // the token in a JSON object
)

// Revocation says how RevokeURL is asked. The URL may hold {client_id}.
type Revocation struct {
	Shape       string // default RevokeForm
	Method      string // default POST
	Param       string // name of the token in a form or a JSON object; default token
	AccessToken bool   // the access token, even if there is a refresh token
	ClientAuth  string // for form and JSON; default Config.ClientAuth
}

// filled returns cfg with its defaults.
func (cfg Config) filled() Config {
	for _, field := range []struct {
		field *string
		value string
	}{
		{&cfg.RefreshURL, cfg.TokenURL},
		{&cfg.ClientAuth, sdk.ClientSecretPost},
		{&cfg.Body, BodyForm},
		{&cfg.ScopeParam, "scope"},
		{&cfg.ScopeSeparator, " "},
		{&cfg.Accept, "application/json"},
		{&cfg.Query.Code, "code"},
		{&cfg.Token.AccessToken, "/access_token"},
		{&cfg.Token.TokenType, "/token_type"},
		{&cfg.Token.RefreshToken, "/refresh_token"},
		{&cfg.Token.IDToken, "/id_token"},
		{&cfg.Token.ExpiresIn, "/expires_in"},
		{&cfg.Token.RefreshExpiresIn, "/refresh_expires_in"},
		{&cfg.Token.Scope, "/scope"},
		{&cfg.Token.ScopeSeparators, " " + cfg.ScopeSeparator},
		{&cfg.Failure.Code, "/error"},
		{&cfg.Failure.Description, "/error_description"},
		{&cfg.Failure.SuccessValue, "true"},
		{&cfg.Identity.ID, "/sub"},
		{&cfg.Identity.Name, "/name"},
		{&cfg.Identity.Email, "/email"},
		{&cfg.Identity.Picture, "/picture"},
		{&cfg.Identity.EmailVerified, "/email_verified"},
		{&cfg.Lookup.Value, "/id"},
		{&cfg.Revocation.Shape, RevokeForm},
		{&cfg.Revocation.Method, "POST"},
		{&cfg.Revocation.Param, "token"},
		{&cfg.Revocation.ClientAuth, cfg.ClientAuth},
	} {
		if *field.field == "" {
			*field.field = field.value
		}
	}
	if cfg.Revocation.ClientAuth == "" {
		cfg.Revocation.ClientAuth = cfg.ClientAuth
	}
	if len(cfg.Lookup.Match) == 0 {
		cfg.Lookup.Match = []string{cfg.Lookup.Value}
	}
	return cfg
}
