// Package abi holds the documents that cross the boundary between the host
// and a provider, and nothing else: no behaviour, no JSON library, so that it
// costs a guest no bytes. The host reads and writes these structs with
// encoding/json; package sdk reads and writes the same shapes with its own
// small codec. The byte contract is written out for other languages in
// sdk/ABI.md.
//
// A document is
//
//	u32 little endian head length ‖ JSON head ‖ raw bodies back to back
//
// in both directions; every body_len in the head says how many of the raw
// bytes belong to it, in the order in which the heads stand.
package abi

// Exports every module must have. The marker carries the major version in its
// name and is looked for before anything in the module runs.
const (
	ExportMarker     = "sallyport_provider_v1" // func()
	ExportAlloc      = "sallyport_alloc"       // func(n i32) i32: room for an input document of n bytes
	ExportCall       = "sallyport_call"        // func(n i32) i64: pointer<<32 | length of the output document
	ExportInitialize = "_initialize"           // func(), optional: run once before the first call
	ExportMemory     = "memory"
)

// ManifestSection is the custom section that holds the manifest as JSON, so
// that a module's rights are known before its code runs.
const ManifestSection = "sallyport.manifest"

// Version is the ABI this tree speaks, major.minor. Additive changes raise the
// minor.
const Version = "1.2"

// Operations of a provider.
const (
	OpDescribe  = "describe"  // no input → Manifest
	OpCheck     = "check"     // no input → CheckResult; refuses bad settings without any request
	OpAuthorize = "authorize" // AuthorizeInput → AuthorizeResult
	OpExchange  = "exchange"  // ExchangeInput → Credential with account
	OpRefresh   = "refresh"   // RefreshInput → Credential
	OpRevoke    = "revoke"    // RevokeInput → {}
)

// Input is the head of the document the host hands to a provider.
type Input struct {
	ABI       string `json:"abi"` // host's Version
	Op        string `json:"op"`
	Now       int64  `json:"now"`  // milliseconds since 1970 UTC; the same for a whole conversation
	Seed      string `json:"seed"` // 32 bytes, hex; the same for a whole conversation
	Tenant    string `json:"tenant"`
	Settings  Raw    `json:"settings,omitempty"` // JSON object, the tenant's settings with the manifest's defaults filled in
	Client    Client `json:"client"`
	Input     Raw    `json:"input,omitempty"` // JSON object, the operation's input
	Steps     []Step `json:"steps"`           // the upstream's answers so far
	StepsLeft int    `json:"steps_left"`
}

// Client is our registration at the upstream, without its secret: the host
// adds that as the request leaves.
type Client struct {
	ID          string `json:"id"`
	RedirectURI string `json:"redirect_uri"`
}

// Step is one request the host performed and what came back. The body follows
// the head as raw bytes.
type Step struct {
	RequestSHA256 string   `json:"request_sha256"` // hex, RequestDigest of the request performed
	Status        int      `json:"status"`
	Headers       []Header `json:"headers"` // names in lower case
	BodyLen       int      `json:"body_len"`
}

// Header is one name and value; it travels as a two-element JSON array.
type Header [2]string

// Output is the head of the document a provider returns: exactly one member is
// set.
type Output struct {
	Request *Request `json:"request,omitempty"`
	Result  Raw      `json:"result,omitempty"`
	Error   *Error   `json:"error,omitempty"`
	WaitMS  int64    `json:"wait_ms,omitempty"`
}

// Request is what a provider asks the host to perform. The body follows the
// head as raw bytes.
type Request struct {
	Method     string      `json:"method"`
	URL        string      `json:"url"`
	Headers    []Header    `json:"headers,omitempty"`
	BodyLen    int         `json:"body_len"`
	ClientAuth *ClientAuth `json:"client_auth,omitempty"`
	Idempotent bool        `json:"idempotent,omitempty"` // the host may send it again after a transport failure
	MaxAge     int         `json:"max_age,omitempty"`    // seconds; a GET without credentials: an answer kept for this tenant that is no older will do; since 1.2
}

// Client authentication methods a provider may ask the host to apply.
const (
	AuthNone          = "none"            // client_id alone, in the body
	AuthBasic         = "basic"           // RFC 6749 §2.3.1, header
	AuthPost          = "post"            // RFC 6749 §2.3.1, body
	AuthBasicSecret   = "basic_secret"    // header: the secret as the user, an empty password
	AuthPrivateKeyJWT = "private_key_jwt" // RFC 7523 §2.2

	// AuthClientSecretJWT is an assertion with a MAC made with the secret, HS256
	// (OpenID Connect Core §9); since 1.2.
	AuthClientSecretJWT = "client_secret_jwt"
)

// ClientAuth is a directive, not data: the host adds the credential to the
// request as it leaves, and only towards the manifest's SecretURLs. The body
// must be a form or a JSON object for every method but the basic ones, and the
// request a POST if a secret or an assertion goes into it.
type ClientAuth struct {
	Method      string `json:"method"`
	IDParam     string `json:"id_param,omitempty"`     // default client_id
	SecretParam string `json:"secret_param,omitempty"` // default client_secret; one of a short list, see sdk/ABI.md
	Audience    string `json:"audience,omitempty"`     // private_key_jwt, client_secret_jwt: aud of the assertion, the request URL (default) or the issuer
}

// Error kinds, a closed set.
const (
	KindAccessDenied        = "access_denied"        // the user said no at the upstream
	KindInvalidGrant        = "invalid_grant"        // the code or refresh token is dead
	KindInvalidScope        = "invalid_scope"        // the upstream refuses the scopes
	KindInteractionRequired = "interaction_required" // the user must act at the upstream first
	KindRateLimited         = "rate_limited"         // later; see RetryAfter
	KindUnavailable         = "unavailable"          // the upstream is down or answers nonsense
	KindMisconfigured       = "misconfigured"        // settings, client id or secret are wrong
	KindBug                 = "bug"                  // the provider is at fault
)

// Error ends a conversation without a result.
type Error struct {
	Kind       string `json:"kind"`
	Message    string `json:"message,omitempty"`     // may be shown to the user
	Detail     string `json:"detail,omitempty"`      // for the log, never further
	RetryAfter int    `json:"retry_after,omitempty"` // seconds
	// Certain says that the upstream named the error in its own words, which the
	// provider knows to mean Kind and nothing else. Of other errors of a token
	// endpoint the host decides by what becomes of other renewals. Since 1.2.
	Certain bool `json:"certain,omitempty"`
}

// AuthorizeInput asks for the URL the user's browser is sent to. The host
// checks that the URL carries State and, if given, CodeChallenge unchanged.
type AuthorizeInput struct {
	State         string   `json:"state"`
	Scopes        []string `json:"scopes"`
	CodeChallenge string   `json:"code_challenge,omitempty"` // S256, RFC 7636 §4.2
	Nonce         string   `json:"nonce,omitempty"`          // OpenID Connect Core §3.1.2.1
	Prompt        string   `json:"prompt,omitempty"`         // login, select_account or both with a space between, for upstreams that know it; since 1.1
}

// AuthorizeResult is the answer to authorize.
type AuthorizeResult struct {
	URL string `json:"url"`
}

// ExchangeInput carries the whole query of the callback, so that providers
// find what is theirs (realmId, shop, scope).
type ExchangeInput struct {
	Query        []Header `json:"query"` // name and value in the order received
	CodeVerifier string   `json:"code_verifier,omitempty"`
	Scopes       []string `json:"scopes"` // as asked for at authorize
	Nonce        string   `json:"nonce,omitempty"`
	Needs        []string `json:"needs,omitempty"` // members of the account that the tenant uses: name, email, email_verified, organizations; since 1.2
}

// RefreshInput carries the credential to renew.
type RefreshInput struct {
	Credential Credential `json:"credential"`
	Scopes     []string   `json:"scopes"`
}

// RevokeInput carries the credential to end at the upstream.
type RevokeInput struct {
	Credential Credential `json:"credential"`
}

// Credential is what an upstream gave us.
type Credential struct {
	AccessToken      string   `json:"access_token"`
	TokenType        string   `json:"token_type,omitempty"`
	RefreshToken     string   `json:"refresh_token,omitempty"`
	ExpiresAt        int64    `json:"expires_at,omitempty"`         // seconds since 1970 UTC; 0: unknown or never
	RefreshExpiresAt int64    `json:"refresh_expires_at,omitempty"` // seconds since 1970 UTC; 0: unknown or never
	Scopes           []string `json:"scopes,omitempty"`             // granted, as the upstream says; none: as asked for
	Account          *Account `json:"account,omitempty"`            // required from exchange; from refresh it replaces what is known
	Extra            Raw      `json:"extra,omitempty"`              // JSON object the provider wants back at refresh and revoke
}

// Account is the upstream's stable user.
type Account struct {
	ID      string `json:"id"` // stable and unique within the provider and its settings; never a login or an e-mail
	Name    string `json:"name,omitempty"`
	Email   string `json:"email,omitempty"`
	Picture string `json:"picture,omitempty"`

	EmailVerified bool     `json:"email_verified,omitempty"` // the upstream says so; since 1.1
	Organizations []string `json:"organizations,omitempty"`  // that the account belongs to, by ids or verified domains, never by names that can change hands; read from exchange; since 1.1
}

// CheckResult is what a tenant's settings make of the manifest. A missing
// member leaves the manifest's. Hosts can only narrow it: those that the
// manifest does not name count for nothing.
type CheckResult struct {
	DisplayName string        `json:"display_name,omitempty"`
	HomePage    string        `json:"home_page,omitempty"`
	Hosts       []string      `json:"hosts,omitempty"` // host or host:port
	Scopes      []Scope       `json:"scopes,omitempty"`
	Refresh     *RefreshRules `json:"refresh,omitempty"`

	// Issuer is whose accounts the upstream's are (OpenID Connect Core §2), and
	// ManyOrganizations says that those of many organizations, or of anybody, come
	// from there; since 1.2.
	Issuer            string `json:"issuer,omitempty"`
	ManyOrganizations bool   `json:"many_organizations,omitempty"`

	// Identity is a stable name of the upstream, chosen by the provider's
	// author: the issuer, the token URL, the host. Tokens of one identity are
	// never sent to another, so it has no scopes, secrets, versions or display
	// names in it. Since 1.2.
	Identity string `json:"identity,omitempty"`
	// PKCE overrules the manifest's capability: after false the provider is
	// given neither code_challenge nor code_verifier. Since 1.2.
	PKCE *bool `json:"pkce,omitempty"`
	// CallbackIssuer is the iss that every callback of this upstream carries
	// (RFC 9207 §2.4); the host refuses a callback with another or without one.
	// Since 1.2.
	CallbackIssuer string `json:"callback_issuer,omitempty"`
}

// Prefixes of an entry of Manifest.SecretURLs. An entry without one is a URL
// that may hold {settings.NAME} and {client_id}.
const (
	// SecretDiscovery is followed by an issuer or the URL of a metadata
	// document, whose endpoints the host reads itself.
	SecretDiscovery = "discovery:"
	// SecretIssuer is followed by an issuer that an assertion may be for.
	SecretIssuer = "issuer:"
)

// Manifest says what a provider is and what it needs. Effective rights are the
// manifest's, the tenant's policy and the operator's ceiling together.
type Manifest struct {
	ABI          string       `json:"abi"`
	Name         string       `json:"name"` // lower-case letters, digits and hyphens
	Version      string       `json:"version"`
	DisplayName  string       `json:"display_name"`          // may be {settings.NAME}
	HomePage     string       `json:"home_page,omitempty"`   // may be {settings.NAME}
	Settings     Raw          `json:"settings,omitempty"`    // JSON Schema of the settings, an object schema with defaults
	Hosts        []string     `json:"hosts"`                 // host, host:port, or {settings.NAME} whose value is a host, an https URL or a list of them
	SecretURLs   []string     `json:"secret_urls,omitempty"` // where a client secret or an assertion may go; since 1.2, see SecretDiscovery
	Scopes       []Scope      `json:"scopes,omitempty"`
	Capabilities Capabilities `json:"capabilities"`
	Refresh      RefreshRules `json:"refresh"`
}

// Scope is one upstream scope in words for the consent page.
type Scope struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Default     bool   `json:"default,omitempty"` // asked for when a tenant names no scopes
}

// Capabilities says which optional parts a provider has.
type Capabilities struct {
	PKCE     bool `json:"pkce"`
	Refresh  bool `json:"refresh"`
	Revoke   bool `json:"revoke"`
	Identity bool `json:"identity"`
}

// RefreshRules says how the upstream treats refresh tokens.
type RefreshRules struct {
	Rotates      bool `json:"rotates,omitempty"`       // each refresh answers a new refresh token
	SingleUse    bool `json:"single_use,omitempty"`    // the old one is dead after use
	GraceSeconds int  `json:"grace_seconds,omitempty"` // the old one still works this long
	// EndsAccessToken: a refresh ends the access token of before at once; since 1.2.
	EndsAccessToken bool `json:"ends_access_token,omitempty"`
	// None: no refresh token is expected from a login; since 1.2.
	None bool `json:"none,omitempty"`
}

// Raw is JSON text carried through unread.
type Raw []byte

// MarshalJSON returns r as it is, or null if it is empty.
func (r Raw) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON keeps a copy of data.
func (r *Raw) UnmarshalJSON(data []byte) error {
	*r = append((*r)[:0:0], data...)
	return nil
}
