package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// validate checks what the decoded values say, beyond their types.
func (l *loader) validate(c *Config) {
	l.check(path{"server", "listen"}, c.Server.Listen, checkListen)
	if c.Server.OperatorListen != "" {
		l.check(path{"server", "operator_listen"}, c.Server.OperatorListen, checkListen)
		if c.Server.OperatorListen == c.Server.Listen && !strings.HasSuffix(c.Server.Listen, ":0") {
			l.fault(path{"server", "operator_listen"}, problem{"is the same address as server/listen", "the operator's listener needs its own"})
		}
	}
	l.checkAll(path{"server", "operator_hosts"}, c.Server.OperatorHosts, checkBareHost)
	l.checkIfSet(path{"server", "admin_socket"}, c.Server.AdminSocket, checkAdminSocket)
	l.checkAll(path{"server", "trusted_proxies"}, c.Server.TrustedProxies, checkNetwork)
	l.check(path{"audit"}, c.Audit, checkAudit)
	if c.AuditRequired && c.Audit == off {
		l.fault(path{"audit_required"}, problem{"cannot be true with audit: off", "name a file under audit, or leave audit_required out"})
	}
	l.check(path{"store"}, c.Store.Reveal(), checkStore)
	l.checkKeys(c.Keys)
	if c.Plugins.Dir == "" {
		l.fault(path{"plugins", "dir"}, problem{"must name a folder", ""})
	}
	l.checkAll(path{"plugins", "private_hosts"}, c.Plugins.PrivateHosts, checkHost)

	names := slices.Sorted(maps.Keys(c.Tenants))
	for _, name := range names {
		l.validateTenant(path{"tenants", name}, c.Tenants[name])
	}
	l.validateURLs(c, names)
	for _, name := range names {
		l.checkOwnBackends(c, names, path{"tenants", name}, c.Tenants[name])
	}
	for _, name := range names { // last, since a fault here hides those below
		l.check(path{"tenants", name}, name, checkTenantName)
	}
}

// check reports what form finds wrong with the value at p.
func (l *loader) check(p path, value string, form func(string) *problem) {
	if what := form(value); what != nil {
		l.fault(p, *what)
	}
}

// checkIfSet is check for a value that may be left out.
func (l *loader) checkIfSet(p path, value string, form func(string) *problem) {
	if value != "" {
		l.check(p, value, form)
	}
}

// checkAll checks the items of the list at p, and that none is there twice.
func (l *loader) checkAll(p path, items []string, form func(string) *problem) {
	for i, item := range items {
		l.check(p.item(i), item, form)
		if first := slices.Index(items, item); first < i {
			l.fault(p.item(i), problem{"is the same as item " + fmt.Sprint(first), "take one out"})
		}
	}
}

func (l *loader) checkKeys(keys []Secret) {
	for i, key := range keys {
		p := path{"keys"}.item(i)
		same := func(other Secret) bool { return other.Reveal() == key.Reveal() }
		if key.IsZero() {
			l.fault(p, problem{"this item is empty", "give it a value or take it out"})
		} else if first := slices.IndexFunc(keys, same); first < i {
			l.fault(p, problem{"is the same as item " + fmt.Sprint(first), "take one out"})
		}
	}
}

func (l *loader) validateTenant(p path, t Tenant) {
	l.check(p.child("provider"), t.Provider, checkProvider)
	l.check(p.child("client_id"), t.ClientID, checkCredential)
	l.check(p.child("client_secret"), t.ClientSecret.Reveal(), checkCredential)
	l.checkServer(p, t)
	l.checkBackends(p, t)
	l.checkAll(p.child("hosts"), t.Hosts, checkHost)
	l.checkAll(p.child("scopes"), t.Scopes, checkScope)
	l.checkAll(p.child("response_headers"), t.ResponseHeaders, checkHeaderName)
	l.checkAll(p.child("anonymous"), t.Anonymous, checkAnonymous)
	l.checkTools(p.child("tools"), t)
	l.checkAll(p.child("origins"), t.Origins, checkOrigin)
	l.checkAll(p.child("cimd_hosts"), t.CIMDHosts, checkHost)
	l.checkAll(p.child("accounts").child("emails"), t.Accounts.Emails, checkEmail)
	l.checkAll(p.child("accounts").child("domains"), t.Accounts.Domains, checkDomain)
	l.checkAll(p.child("accounts").child("ids"), t.Accounts.IDs, checkAccountID)
	l.checkAll(p.child("accounts").child("organizations"), t.Accounts.Organizations, checkAccountID)
	if from := p.child("accounts").child("unverified_email_from"); len(t.Accounts.UnverifiedEmailFrom) > 0 {
		l.checkAll(from, t.Accounts.UnverifiedEmailFrom, checkAccountIssuer)
		if len(t.Accounts.Emails)+len(t.Accounts.Domains) == 0 {
			l.fault(from, problem{"changes nothing without emails or domains", "list the addresses or domains that may log in, or take it out"})
		}
	}
	l.checkAll(p.child("redirects").child("hosts"), t.Redirects.Hosts, checkHost)
	l.checkAll(p.child("redirects").child("uris"), t.Redirects.URIs, checkAppURI)
	look := p.child("look")
	l.checkIfSet(look.child("logo"), t.Look.Logo, checkLogo)
	l.checkIfSet(look.child("color"), t.Look.Color, checkColor)
	l.checkIfSet(look.child("support"), t.Look.Support, checkSupport)
	if t.Lifetimes.Refresh < t.Lifetimes.Access {
		l.fault(p.child("lifetimes").child("refresh"), problem{"must not be shorter than access", ""})
	}
	l.checkServers(p.child("resource_servers"), t.ResourceServers)
	for i, client := range t.Clients {
		at := p.child("clients").item(i)
		l.check(at.child("id"), client.ID, checkClientID)
		l.check(at.child("secret"), client.Secret.Reveal(), checkSharedSecret)
		if client.JWKSURI != "" {
			l.check(at.child("jwks_uri"), client.JWKSURI, checkJWKSURI)
			if !client.Secret.IsZero() {
				l.fault(at.child("jwks_uri"), problem{"stands beside a secret", "a client has one way to authenticate: take one out"})
			}
		}
		l.checkAll(at.child("redirect_uris"), client.RedirectURIs, checkRedirectURI)
		same := func(other Client) bool { return other.ID == client.ID }
		if first := slices.IndexFunc(t.Clients, same); first < i {
			l.fault(at.child("id"), problem{"is the same as that of item " + fmt.Sprint(first), "every client has its own id"})
		}
	}
}

// checkServer checks where the MCP server of the tenant at p is.
func (l *loader) checkServer(p path, t Tenant) {
	backend, resource := p.child("backend"), p.child("resource")
	switch {
	case t.Backend != "" && t.Resource != "":
		l.fault(resource, problem{"stands beside a backend", "behind the gateway the resource is the tenant's URL with /mcp: take one out"})
	case t.Resource != "":
		l.check(resource, t.Resource, checkIssuer)
		if len(t.ResourceServers) == 0 && !l.known(p.child("resource_servers")) {
			l.fault(resource, problem{"needs an entry in resource_servers", "without the gateway it is one of them who asks what a token is worth"})
		}
	case t.Backend != "":
		l.check(backend, t.Backend, checkBackend)
	case !l.known(backend) && !l.known(resource):
		l.fault(backend, problem{"is missing", "for example http://127.0.0.1:9000/mcp"})
	}
}

// checkBackends checks what the gateway before the tenant at p reaches, and
// what it says there.
func (l *loader) checkBackends(p path, t Tenant) {
	for _, name := range slices.Sorted(maps.Keys(t.Backends)) {
		at := p.child("backends").child(name)
		l.check(at, t.Backends[name], checkBackend)
		if !backendForm.MatchString(name) {
			l.fault(at, problem{"is no name for a backend", "use lower-case letters, digits, '_' and '-', a letter or digit first"})
		} else if t.Backend == "" && t.Resource != "" {
			l.fault(at, problem{"is behind no gateway", "this tenant has a resource elsewhere"})
		}
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(t.Inject)) {
		at := p.child("inject").child(name)
		l.check(at, t.Inject[name].Reveal(), checkInjected)
		folded := strings.Map(func(r rune) rune {
			if r < '0' || r > '9' && r < 'a' || r > 'z' {
				return '-'
			}
			return r
		}, strings.ToLower(name))
		if !headerForm.MatchString(name) {
			l.fault(at, problem{"is no name of a header", ""})
		} else if seen[folded] {
			l.fault(at, problem{"stands here in another spelling already", "capitals make no difference, nor does which character stands between letters and digits: take one out"})
		}
		seen[folded] = true
	}
}

// checkOwnBackends refuses backends of the tenant at p that are this server.
func (l *loader) checkOwnBackends(c *Config, names []string, p path, t Tenant) {
	own := func(backend string) *problem { return checkOwn(c, names, backend) }
	l.check(p.child("backend"), t.Backend, own)
	for _, name := range slices.Sorted(maps.Keys(t.Backends)) {
		l.check(p.child("backends").child(name), t.Backends[name], own)
	}
}

// checkTools checks the scopes of each tool at p. Without scopes of its own a
// tenant offers its provider's, which are not known here.
func (l *loader) checkTools(p path, t Tenant) {
	for _, tool := range slices.Sorted(maps.Keys(t.Tools)) {
		l.checkAll(p.child(tool), t.Tools[tool], func(scope string) *problem {
			if what := checkScope(scope); what != nil || len(t.Scopes) == 0 || slices.Contains(t.Scopes, scope) {
				return what
			}
			return &problem{"is none of this tenant's scopes", "nobody could be granted it; add it to scopes"}
		})
		if len(t.Tools[tool]) == 0 {
			l.fault(p.child(tool), problem{"lists no scope", "a tool that needs none is left out"})
		}
	}
}

// checkServers checks the resource servers at p.
func (l *loader) checkServers(p path, servers []ResourceServer) {
	for i, server := range servers {
		at := p.item(i).child("id")
		l.check(at, server.ID, checkServerID)
		l.check(p.item(i).child("secret"), server.Secret.Reveal(), checkSharedSecret)
		same := func(other ResourceServer) bool { return other.ID == server.ID }
		if first := slices.IndexFunc(servers, same); first < i {
			l.fault(at, problem{"is the same as that of item " + fmt.Sprint(first), "every resource server has its own id"})
		}
	}
}

// validateURLs checks server/url, the tenants' own, and that no two tenants
// share one.
func (l *loader) validateURLs(c *Config, names []string) {
	template := path{"server", "url"}
	var without []string // tenants that need server/url
	for _, name := range names {
		if t := c.Tenants[name]; t.URL != "" {
			l.check(path{"tenants", name, "url"}, t.URL, checkIssuer)
		} else if !l.known(path{"tenants", name, "url"}) {
			without = append(without, name)
		}
	}
	if c.Server.URL != "" {
		l.check(template, c.Server.URL, checkTemplate)
	} else if len(without) > 0 {
		l.fault(template, problem{"is missing, and tenant " + printable(without[0]) + " has no url of its own", "for example https://{tenant}.example.com"})
	}
	if l.known(template) {
		without = nil
	}
	for _, name := range without {
		if checkTenantName(name) == nil && checkIssuer(c.TenantURL(name)) != nil {
			l.fault(path{"tenants", name}, problem{"server/url makes no valid URL of this name", "use letters, digits and hyphens only, or give the tenant a url"})
		}
	}
	l.checkDistinct(c, names)
	l.checkCallback(c, names)
}

// checkCallback checks the callback that tenants share. Below a tenant it would
// hide a path of that tenant's.
func (l *loader) checkCallback(c *Config, names []string) {
	at := path{"server", "callback_url"}
	shared := c.Server.CallbackURL
	if shared != "" {
		l.check(at, shared, checkCallbackURL)
	}
	for _, name := range names {
		if c.Tenants[name].Callback == "shared" && shared == "" {
			l.fault(path{"tenants", name, "callback"}, problem{"is shared, and there is no server/callback_url", "for example https://mcp.example.com/callback"})
		}
		if issuer := c.TenantURL(name); issuer != "" && (shared == issuer || strings.HasPrefix(shared, issuer+"/")) {
			l.fault(at, problem{"is below tenant " + printable(name), "take a path, or a host, that is no tenant's"})
		}
	}
}

// checkDistinct compares hosts and paths: a request shows no scheme, and may
// leave out a scheme's own port.
func (l *loader) checkDistinct(c *Config, names []string) {
	seen := make(map[string]string, len(names))
	for _, name := range names {
		u, err := url.Parse(c.TenantURL(name))
		if err != nil || u.Host == "" {
			continue
		}
		key := strings.TrimSuffix(strings.TrimSuffix(u.Host, ":443"), ":80") + u.Path
		if first, taken := seen[key]; taken {
			p := path{"tenants", name}
			if c.Tenants[name].URL != "" {
				p = p.child("url")
			}
			l.fault(p, problem{"has the same URL as tenant " + printable(first), ""})
		} else {
			seen[key] = name
		}
	}
}
