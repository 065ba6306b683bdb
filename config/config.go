// Package config reads Sallyport's configuration. It owns the file's shape,
// the layers it comes in (defaults, files, environment, flags), interpolation,
// and the check of everything that can be known from the configuration alone.
// It leaves the runtime's shape, the syntax of keys, the opening of stores and
// the provider's opinion of its settings to whoever uses the result.
package config

import (
	"strings"
	"time"
)

//go:generate go test . -run ^TestReference$ -update

// Config is the whole configuration. Load returns one that passed every check
// and has its defaults filled in.
//
// The tags are part of the shape: koanf is the key; default is what counts
// when the key is absent; required says that there is no default; oneof lists
// the words allowed; min and max bound a duration; example is for the
// reference; reload says that a change counts without a restart.
type Config struct {
	Server Server `koanf:"server"`
	Log    Log    `koanf:"log"`

	// Where the audit stream goes, one JSON line per decision: `stdout`,
	// `stderr`, `off`, or the absolute path of a file that is appended to.
	Audit string `koanf:"audit" default:"stdout" example:"/var/log/sallyport/audit.jsonl"`

	// Whether what needs an audit line waits for the log: while lines cannot be
	// written, no code or token is issued or exchanged and no backup is made
	// (503), and `/readyz` says not ready. Without it the server goes on and says
	// in its log, on `/readyz` and in metrics that lines are missing.
	AuditRequired bool `koanf:"audit_required"`

	// Where grants and sessions are kept: `bolt://` and an absolute path (one
	// process, one file), `redis://`, `rediss://` (TLS), `redis+sentinel://` or
	// `redis+cluster://`, with parameters such as `?prefix=`, `?ca=`, `?replicas=`.
	// [Choosing a store](../core/store/README.md) has all of them, and the settings
	// a Redis needs. It may hold a password and is never printed.
	Store Secret `koanf:"store" default:"bolt:///var/lib/sallyport/state.db" example:"rediss://sallyport:${env:REDIS_PASSWORD}@redis.example.com:6379/0"`

	// For how long a grant is remembered, so that its calls need not ask the
	// store. Several servers on one Redis tell one another when a grant ends;
	// where that is not heard, it ends this much later. `0s`: every call asks.
	CacheTTL time.Duration `koanf:"cache_ttl" default:"5s" min:"0s" max:"1m"`

	// Server keys, newest first, as `sallyport key new` prints them. Everything
	// is sealed with the first and opened with any. To rotate, put a new key in
	// front; of several servers give each the new one in the second place
	// first, so that all can open what one seals. Drop the old key when the
	// longest refresh lifetime has passed: by then each grant that is alive is
	// under the new one. Clients that registered themselves under the old key
	// have to register again then, so keep it for as long as that matters more.
	Keys []Secret `koanf:"keys" required:"yes" example:"[\"${file:/run/secrets/sallyport-key}\"]"`

	Plugins Plugins `koanf:"plugins"`
	Limits  Limits  `koanf:"limits"`

	// The tenants by name. A name is 1 to 63 lower-case letters, digits, `.`,
	// `_` and `-`, and starts with a letter or digit. It is part of every
	// stored record: a tenant under a new name is a new tenant.
	Tenants map[string]Tenant `koanf:"tenants" reload:"yes"`
}

// Server says where Sallyport listens and what it is called from outside.
type Server struct {
	// Address of the front door, host:port. Sallyport speaks plain HTTP there
	// and leaves TLS to a proxy before it, so by default only the same machine
	// can connect; a container needs `:8080`. Port 0 picks a free one.
	Listen string `koanf:"listen" default:"127.0.0.1:8080" example:":8080"`

	// Address of the operator's listener (health, metrics, forward auth). Not
	// for the public. Empty or `off`: none.
	OperatorListen string `koanf:"operator_listen" default:"127.0.0.1:9090" example:"off"`

	// How long Sallyport goes on serving after SIGTERM, so that proxies find out
	// and send new requests elsewhere. `/readyz` answers 503 at once, every
	// answer closes its connection, and streams that only carry notifications
	// end. Then the listeners close, and calls under way get 30s to finish; give
	// the process that much longer before it is killed. Make it longer than the
	// proxy needs to see `/readyz` fail; `0s` where no other replica takes over.
	// SIGINT skips it, and a second signal ends the process at once.
	DrainDelay time.Duration `koanf:"drain_delay" default:"10s" min:"0s" max:"10m"`

	// More names by which the operator's listener may be asked, in the Host
	// header. IP addresses, names without a dot, `*.internal`, `*.svc`,
	// `*.cluster.local` and the host of operator_listen need no entry. Every other
	// name is refused, because the owner of a public name can have any browser ask
	// this machine by it. Forward auth takes every host.
	OperatorHosts []string `koanf:"operator_hosts" example:"[sallyport.ops.example.com]"`

	// Unix socket at which the running server answers the operator's commands:
	// its absolute path, or `off`. The folder must belong to the server's user and
	// have mode 0700; it is made if it is missing. Default: `admin/`, the name of
	// the file and `.sock` beside a bolt store, as in
	// `/var/lib/sallyport/admin/state.db.sock`; else
	// `/var/lib/sallyport/admin/server.sock`. A socket that cannot be opened is a
	// warning in the log.
	AdminSocket string `koanf:"admin_socket" example:"/run/sallyport/admin.sock"`

	// URL of every tenant that has none of its own. `{tenant}` stands for the
	// tenant's name, once, as a whole label of the host or a whole segment of
	// the path. https, or http on a loopback host; no slash at the end.
	// Required unless every tenant has a url. A host for each tenant is the
	// better choice: some clients ask only the host's root for metadata, where a
	// tenant on a path is invisible to them. A path needs one DNS name and one
	// certificate.
	URL string `koanf:"url" example:"https://{tenant}.mcp.example.com" reload:"yes"`

	// Redirect URI of the tenants with `callback: shared`, for an upstream whose
	// app takes only one. It is below no tenant and does nothing but send each
	// answer on to the tenant that it is for.
	CallbackURL string `koanf:"callback_url" reload:"yes" example:"https://mcp.example.com/callback"`

	// Networks of the proxies before Sallyport, in CIDR form. What they say in
	// X-Forwarded-For is where a request comes from: for limits, and for the
	// MCP server behind the gateway. Nothing else a proxy says counts. Empty:
	// programs on the same machine.
	TrustedProxies []string `koanf:"trusted_proxies" example:"[10.0.0.0/8, \"fd00::/8\"]"`
}

// Log says what the log shows, and how.
type Log struct {
	// Least severe level shown.
	Level string `koanf:"level" default:"info" oneof:"trace debug info warn error"`

	// Text for people, or JSON for machines.
	Format string `koanf:"format" default:"text" oneof:"text json"`
}

// Plugins says where providers are loaded from.
type Plugins struct {
	// Folder with the providers' `.wasm` files. It is watched: a file dropped
	// in is loaded, one replaced is swapped.
	Dir string `koanf:"dir" default:"/var/lib/sallyport/plugins"`

	// Folder for compiled plugins. Empty: the server picks one.
	CacheDir string `koanf:"cache_dir" example:"/var/cache/sallyport"`

	// Upstream hosts, `host` or `host:port`, compared exactly, that may be
	// asked over http and at private addresses; without a port the host's ports
	// 443 and 80. Every other host is asked over https and at public addresses
	// only. With HTTPS_PROXY in the environment the proxy is asked for
	// upstreams by name, and it decides where they lead; see cimd_hosts for
	// hosts that clients choose.
	PrivateHosts []string `koanf:"private_hosts" example:"[\"localhost:14000\"]"`

	// Refuses plugins that do not name the URLs a client secret may go to
	// (ABI 1.1 and older). Without it they may send the secret to each host
	// that they name, and `plugin list` marks them.
	Strict bool `koanf:"strict" default:"false"`
}

// Limits bound how often one address may ask. A rate is a number and `/s`, `/m`
// or `/h`: that many at once, and as many again in each second, minute or hour;
// `off` is no limit. All requests to one tenant together may be ten times as
// many. An IPv6 address counts with its /64. Each process counts for itself.
// Who is refused is told when to come back, and loses nothing.
type Limits struct {
	// Registrations, at `/register`. Hosted clients register once for each of
	// their users, all from few addresses.
	Register Rate `koanf:"register" default:"300/m"`

	// Steps of a login in a browser, at `/authorize`, `/consent` and
	// `/callback`, of which a login has three, and the page `/connections`.
	Authorize Rate `koanf:"authorize" default:"300/m"`

	// Everything else that clients ask, above all `/token`. Not the MCP
	// endpoint, public documents, or `/introspect`.
	Token Rate `koanf:"token" default:"6000/m"`

	// Calls of one login at the MCP endpoint, or of one address where no token
	// is needed. All logins of a tenant together may make a hundred times as
	// many. Unless it is `off`, a login may also have no more than 256 calls and
	// streams open at the same time.
	Calls Rate `koanf:"calls" default:"6000/m"`

	// Tokens that Sallyport never issued, and wrong secrets of clients and
	// resource servers, of one address. Beyond it they are answered 429 and not
	// 401. Tokens and secrets that are right go on, except for an id whose
	// secret that address got wrong as often.
	Failures Rate `koanf:"failures" default:"120/m"`
}

// Tenant is one MCP-facing issuer.
type Tenant struct {
	// Name for people, on the pages. Default: the tenant's key.
	Name string `koanf:"name" example:"Octo"`

	// URL of this tenant, instead of what server/url makes of its name. The
	// same rules, without `{tenant}`.
	URL string `koanf:"url" example:"https://octo.example.com"`

	// Name that a plugin gives itself, lower-case letters, digits and hyphens.
	// `name@sha256:` and 64 hex digits admit that one file only.
	Provider string `koanf:"provider" required:"yes" example:"github"`

	// Settings of the provider, handed to it as they are. The provider says
	// which there are; no place for secrets.
	Settings map[string]any `koanf:"settings" example:"{ host: github.example.com }"`

	// Redirect URI registered at the upstream: the tenant's own, which is its
	// URL and `/callback`, or server/callback_url, which tenants share.
	Callback string `koanf:"callback" default:"own" oneof:"own shared"`

	// Hosts, `host` or `host:port`, that the provider may ask for this tenant,
	// of those that its plugin declares. Empty: all of them.
	Hosts []string `koanf:"hosts" example:"[api.example.com]"`

	// Upstreams that are the same as this one under another address: a grant of
	// theirs goes on here. Each is an identity as the log and `tenant list` show
	// it, or what the provider calls the upstream, such as its issuer, of the same
	// client_id. Without it a grant is never used at another upstream than the one
	// that the user logged in to.
	Formerly []string `koanf:"formerly" example:"[https://old.example.com]"`

	// Our client id at the upstream.
	ClientID string `koanf:"client_id" required:"yes" example:"Iv1.0123456789"`

	// Our client secret at the upstream. Empty: the upstream takes us for a
	// public client.
	ClientSecret Secret `koanf:"client_secret" example:"${env:GITHUB_SECRET}"`

	// Our private key at the upstream, for providers that authenticate by
	// `private_key_jwt`: RSA (at least 2,048 bits) or EC (P-256), as PEM or JWK.
	ClientKey Secret `koanf:"client_key" example:"${file:/run/secrets/upstream-key.pem}"`

	// Scopes a client may ask for, in the upstream's words. Empty: those the
	// provider asks for by default.
	Scopes []string `koanf:"scopes" example:"[read:user, repo]"`

	// URL of the MCP server behind the gateway, http or https. Required unless
	// there is a resource.
	Backend string `koanf:"backend" example:"http://127.0.0.1:9000/mcp"`

	// URL under which clients reach an MCP server that is not behind the
	// gateway, instead of a backend: the server, or the proxy before it, is
	// then one of resource_servers and asks about each token (a proxy, at
	// `/forward-auth/` and the tenant's name on server/operator_listen). Behind
	// the gateway the URL is the tenant's, with `/mcp`. https, or http on a
	// loopback host; no slash at the end.
	Resource string `koanf:"resource" example:"https://tools.example.com/mcp"`

	// Newest MCP revision that the server at resource speaks, where a proxy asks
	// about its requests by forward auth. From 2026-07-28 on servers refuse a
	// request whose headers and body differ, so with that value `Mcp-Method` and
	// `Mcp-Name` are believed of clients of that revision; set it only if the
	// server does refuse. Without it every request counts as a call of all tools
	// that need scopes, and needs a token.
	MCPRevision string `koanf:"mcp_revision" oneof:"2024-11-05 2025-03-26 2025-06-18 2025-11-25 2026-07-28" example:"\"2026-07-28\""`

	// More MCP servers of this tenant, by name: `admin` is reached at the
	// tenant's URL with `/mcp/admin`. One login is good for all of them.
	Backends map[string]string `koanf:"backends" example:"{ admin: \"http://127.0.0.1:9001/mcp\" }"`

	// Headers that backends get with every call, by name, in place of
	// `Authorization: Bearer {token}` and `X-Sallyport-Assertion: {assertion}`.
	// `{token}` is the upstream access token, `{assertion}` a JWT about the user
	// that verifies at the tenant's `/.well-known/jwks.json`, `{subject}` and
	// `{account}` are the user's id and name at the upstream (percent-encoded
	// beyond ASCII), `{account_key}` names the account by a hash of
	// its upstream and id, `{client}` the client's hash, `{scope}` what was granted,
	// `{tenant}` this tenant's name. What clients send under these names is
	// dropped. A header that says something of the user is left out where there
	// is none.
	Inject map[string]Secret `koanf:"inject" example:"{ PRIVATE-TOKEN: \"{token}\", X-Api-Key: \"${env:API_KEY}\" }"`

	// Headers of backends that clients get, beyond what describes the answer
	// (`Content-*` without `Content-Security-Policy`, `Cache-Control`, `ETag`,
	// `Last-Modified`, `Expires`, `Vary`, `Date`, `Allow`, `Retry-After`,
	// `RateLimit*`, `X-RateLimit*`, `Link`, `Server-Timing`, `Traceparent`,
	// `Deprecation`, `Sunset`) and MCP's own (`Mcp-*`). The first of each name
	// that is left out is logged. Cookies, CORS, HSTS, the challenge and what
	// else speaks about the whole host or the connection cannot be listed.
	ResponseHeaders []string `koanf:"response_headers" example:"[X-Trace-Id]"`

	// Whether ids of MCP sessions are bound to the user, the backend and this
	// tenant: clients then get the backend's `Mcp-Session-Id` with a tag behind
	// it, another user's id is answered 404, and `Last-Event-ID` resumes a stream
	// only with one's own. `off` for a backend that puts meaning into the id.
	// Forward auth sees no answers and cannot bind them.
	SessionBinding string `koanf:"session_binding" default:"on" oneof:"on off"`

	// MCP methods that need no token, for example `[initialize,
	// notifications/initialized, ping, tools/list, server/discover]`. The backend
	// gets no upstream token with them. Empty: a client has to log in before it
	// can do anything, which is what many clients wait for when they connect.
	// Forward auth is shown no body: there it needs mcp_revision.
	Anonymous []string `koanf:"anonymous" example:"[initialize, notifications/initialized, ping, tools/list, server/discover]"`

	// Origins of browser clients that may call the MCP server, beside the
	// tenant's own, those on loopback, and the hosts that a login may be
	// redirected to. `*` is any. Clients that are no browser send no origin.
	Origins []string `koanf:"origins" example:"[\"https://chat.example.com\"]"`

	// Scopes that a tool needs, by the tool's name. A client whose user has
	// granted less is told which to ask for. Forward auth is shown no body: there
	// each request needs the scopes of all of them, unless mcp_revision says that
	// the headers can be believed.
	Tools map[string][]string `koanf:"tools" example:"{ delete_repo: [repo] }"`

	// Client id metadata documents: whether a client may use the URL of a
	// document about itself as its client id. With `off` clients do not learn
	// that they could, and register themselves. Claude Code, Codex and Copilot
	// CLI use their documents wherever this is on and do not register instead:
	// where the server cannot reach claude.ai, chatgpt.com and github.com, set it
	// to `off`, or their users cannot log in. `sallyport check` tries.
	CIMD string `koanf:"cimd" default:"on" oneof:"on off"`

	// Hosts, `host` or `host:port`, compared exactly, that clients may publish
	// their metadata documents and keys at. Empty: any on the public internet.
	// A client whose document is at another host cannot log in, see cimd.
	// A host of plugins/private_hosts has to be listed here as well. Behind
	// HTTPS_PROXY a host that is not listed is resolved by the server, must have
	// a public address, and the proxy is asked for the address; list the hosts
	// here if the proxy wants names or the server cannot resolve them.
	CIMDHosts []string `koanf:"cimd_hosts" example:"[claude.ai, chatgpt.com]"`

	// Pre-registered clients. MCP clients register themselves; this is for
	// those that cannot.
	Clients []Client `koanf:"clients"`

	// Programs of yours that get this tenant's access tokens from clients
	// without the gateway in between. They may introspect them (RFC 7662) and
	// exchange them for the user's upstream access token (RFC 8693).
	ResourceServers []ResourceServer `koanf:"resource_servers"`

	Look      Look      `koanf:"look"`
	Accounts  Accounts  `koanf:"accounts"`
	Redirects Redirects `koanf:"redirects"`
	Lifetimes Lifetimes `koanf:"lifetimes"`
}

// Look is what the tenant's pages show of their own beside its name.
type Look struct {
	// Absolute path of a PNG or SVG image of at most 64 KiB. Every page carries
	// it, so browsers send no request for it. It is read again with the
	// configuration.
	Logo string `koanf:"logo" example:"/etc/sallyport/octo.svg"`

	// Colour of buttons and links, in quotes: to YAML, `#` begins a comment.
	// Where it would be hard to read, it is shown darker or lighter.
	Color string `koanf:"color" example:"\"#0d5c58\""`

	// Where users get help: an https URL, or `mailto:` and an address.
	Support string `koanf:"support" example:"\"mailto:help@example.com\""`
}

// Client is a pre-registered OAuth client.
type Client struct {
	// The client id; it does not start with `sp_`. The URL of a client's
	// metadata document is an id as well: what is written here then counts, and
	// the document is not fetched. Some clients' websites turn servers away.
	ID string `koanf:"id" required:"yes" example:"inspector"`

	// Name for people, on the consent page. Default: the id.
	Name string `koanf:"name" example:"Inspector"`

	// The client secret. Empty: a public client, unless it has a jwks_uri.
	Secret Secret `koanf:"secret" example:"${env:INSPECTOR_SECRET}"`

	// https URL of the client's public keys (JWK Set). The client then
	// authenticates by `private_key_jwt` and has no secret.
	JWKSURI string `koanf:"jwks_uri" example:"https://inspector.example.com/jwks.json"`

	// Where the client may be redirected to, whole and exact; only the port of
	// a loopback URI floats (RFC 8252 §7.3).
	RedirectURIs []string `koanf:"redirect_uris" required:"yes" example:"[\"http://127.0.0.1:6274/oauth/callback\"]"`
}

// ResourceServer authenticates at a tenant by HTTP Basic, or by client_id and
// client_secret in the body.
type ResourceServer struct {
	// The id it authenticates with.
	ID string `koanf:"id" required:"yes" example:"music-api"`

	// The secret it authenticates with. A program that has it can turn an access token
	// into the user's upstream token.
	Secret Secret `koanf:"secret" required:"yes" example:"${env:MUSIC_API_SECRET}"`
}

// Accounts says who may log in, by the upstream's accounts: whoever any entry
// names, or everybody if there is none. It is asked at each login; who is
// connected already stays so until that connection ends.
type Accounts struct {
	// E-mail addresses, in any case. An address counts only if the upstream
	// says that it has verified it, and if the provider tells: see providers.
	Emails []string `koanf:"emails" example:"[ada@example.com]"`

	// Domains of such e-mail addresses, in any case, without their subdomains.
	Domains []string `koanf:"domains" example:"[example.com]"`

	// Account ids, exactly, as the audit log has them in `sub`.
	IDs []string `koanf:"ids" example:"[\"583231\"]"`

	// Organizations that an account belongs to, exactly, by the ids or domains
	// that the provider tells: see providers.
	Organizations []string `koanf:"organizations" example:"[\"9919\"]"`

	// Issuers whose e-mail addresses count although the issuer does not say that
	// it has verified them, for an identity provider of your own that sends no
	// email_verified. Only where its administrators set the addresses: where
	// users can, each can write another one's. The issuer must be the one of this
	// tenant's provider, and is refused if it serves many organizations (Entra
	// without a tenant of yours, Google without hd, and other public ones).
	UnverifiedEmailFrom []string `koanf:"unverified_email_from" example:"[https://sso.example.com/realms/staff]"`
}

// Redirects widens where clients that register themselves may be redirected
// to. Loopback URIs and the callbacks of the well-known clients are allowed
// without it.
type Redirects struct {
	// More https hosts, `host` or `host:port`, compared exactly.
	Hosts []string `koanf:"hosts" example:"[chat.example.com]"`

	// More URIs with a scheme that an application on the device claims, whole
	// and exact.
	URIs []string `koanf:"uris" example:"[\"cursor://anysphere.cursor-mcp/oauth/callback\"]"`

	// Allow every https host. Then the consent page alone stands between a
	// user and a stranger's client.
	AnyHTTPS bool `koanf:"any_https" default:"false"`
}

// Lifetimes bound what a login leaves behind. A duration is a number with a
// unit, or several: `90s`, `1h30m`. The largest unit is the hour.
type Lifetimes struct {
	// Authorization code (RFC 6749 §4.1.2 recommends at most 10 minutes).
	Code time.Duration `koanf:"code" default:"5m" min:"10s" max:"10m"`

	// Access token.
	Access time.Duration `koanf:"access" default:"24h" min:"1m" max:"720h"`

	// Grant, counted anew at each refresh; at least as long as access.
	Refresh time.Duration `koanf:"refresh" default:"720h" min:"1h" max:"8760h"`

	// Grant, counted once from the login: after that the user logs in again,
	// however often the client refreshed. Made shorter, it counts for the grants
	// there are.
	Absolute time.Duration `koanf:"absolute" default:"8760h" min:"1h" max:"87600h"`

	// How long a refresh token just rotated is answered again instead of being
	// taken for theft. What comes again is counted in the metric
	// `sallyport_refresh_tokens_repeated_total` by tenant and outcome: answered,
	// suspect (the third of one token, or one from another network) and ended.
	ReuseWindow time.Duration `koanf:"reuse_window" default:"30s" min:"1s" max:"10m"`
}

const tenantPlaceholder = "{tenant}"

// TenantURL returns the URL of the named tenant: its own, or what server/url
// makes of the name. It is empty for a tenant that is not in c.
func (c *Config) TenantURL(name string) string {
	t, ok := c.Tenants[name]
	switch {
	case !ok:
		return ""
	case t.URL != "":
		return t.URL
	}
	return strings.Replace(c.Server.URL, tenantPlaceholder, name, 1)
}

// SharedCallback returns server/callback_url if it is the named tenant's
// redirect URI, and nothing if that is the tenant's own.
func (c *Config) SharedCallback(name string) string {
	if c.Tenants[name].Callback != "shared" {
		return ""
	}
	return c.Server.CallbackURL
}
