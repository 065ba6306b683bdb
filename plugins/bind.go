package plugins

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// Binding is what a tenant adds to a plugin.
type Binding struct {
	Tenant       string
	Settings     map[string]any // as JSON would have them
	ClientID     string
	ClientSecret seal.Secret // empty: a public client
	ClientKey    seal.Secret // private key for private_key_jwt, PEM or JWK; empty: none
	RedirectURI  string      // our callback, as registered at the upstream
	Hosts        []string    // of those in the manifest, which may be asked; nil: all
	Scopes       []string    // that users are asked for; nil: the plugin's defaults
}

// bound is a tenant's Provider. It outlives the module behind it: when that is
// swapped, the next conversation is with its successor.
type bound struct {
	name    string // of the provider
	pinned  bool
	binding Binding
	current atomic.Pointer[provider]
}

var _ upstream.Provider = (*bound)(nil)

// Bind finds the plugin that ref names (see Lookup), checks a tenant's
// settings, first against the manifest's schema and then by the plugin's own
// check, and returns the plugin as that tenant's Provider. The error names
// every fault of the settings.
//
// A Provider bound without a pin follows its plugin's replacements, and keeps
// its plugin in service, until it is given to Release.
func (h *Host) Bind(ctx context.Context, ref string, binding Binding) (upstream.Provider, error) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	m, err := h.lookup(ref)
	if err != nil {
		return nil, err
	}
	p, err := m.bindChecked(ctx, binding)
	if err != nil {
		return nil, fmt.Errorf("plugins: %w", err)
	}
	b := &bound{name: m.manifest.Name, pinned: strings.Contains(ref, "@"), binding: binding}
	b.current.Store(p)
	h.boundMu.Lock()
	defer h.boundMu.Unlock()
	h.bound = append(h.bound, b)
	return b, nil
}

// Release says that Providers which Bind returned are not in force any more:
// they do not decide about replacements of their plugin, and do not keep it in
// service. A conversation that one of them holds goes on.
func (h *Host) Release(providers ...upstream.Provider) {
	h.boundMu.Lock()
	defer h.boundMu.Unlock()
	h.bound = slices.DeleteFunc(h.bound, func(b *bound) bool {
		return slices.Contains(providers, upstream.Provider(b))
	})
}

// bindings lists the Providers that are in force.
func (h *Host) bindings() []*bound {
	h.boundMu.Lock()
	defer h.boundMu.Unlock()
	return slices.Clone(h.bound)
}

// rebind moves every unpinned Provider of a name to another module, all or
// none. Unless the operator accepts it, none may ask for more by it; none may
// come to another upstream, because its users granted access to this one.
func (h *Host) rebind(ctx context.Context, name string, to *Module, accept bool) error {
	type move struct {
		of *bound
		to *provider
	}
	var moves []move
	for _, b := range h.bindings() {
		if b.name != name || b.pinned {
			continue
		}
		p, err := to.bindChecked(ctx, b.binding)
		if err != nil {
			return err
		}
		before := b.current.Load()
		if more := p.widens(before); len(more) > 0 && !accept {
			return fmt.Errorf("%w: tenant %s would %s", ErrWidened, b.binding.Tenant, strings.Join(more, "; "))
		}
		if !p.named.follows(before.named) {
			return fmt.Errorf("%w: for tenant %s it is %s, until now it was %s", ErrOtherUpstream, b.binding.Tenant, p.named, before.named)
		}
		if !p.named.keepsCallbackIssuer(before.named) {
			return fmt.Errorf("%w: for tenant %s callbacks would carry the iss %q, until now %q (RFC 9207)", ErrOtherUpstream, b.binding.Tenant, p.named.callbackIssuer, before.named.callbackIssuer)
		}
		moves = append(moves, move{b, p})
	}
	for _, m := range moves {
		m.of.current.Store(m.to)
	}
	return nil
}

func without(list, minus []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(minus, s) })
}

// bindChecked is bind and the plugin's own check, which may say more closely
// what it is for this tenant.
func (m *Module) bindChecked(ctx context.Context, b Binding) (*provider, error) {
	p, err := m.bind(b)
	if err != nil {
		return nil, fmt.Errorf("tenant %s, plugin %s: %w", b.Tenant, m.manifest.Name, err)
	}
	result, err := operation[abi.CheckResult](ctx, p, abi.OpCheck, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("tenant %s, plugin %s refuses its settings: %w", b.Tenant, m.manifest.Name, err)
	}
	if result.Hosts != nil {
		p.hosts = common(p.hosts, result.Hosts)
	}
	if err := p.named.answer(result); err != nil {
		return nil, fmt.Errorf("tenant %s, plugin %s: %w", b.Tenant, m.manifest.Name, err)
	}
	if result.PKCE != nil {
		p.manifest.Capabilities.PKCE = *result.PKCE
	}
	p.issuer, p.manyOrganizations = result.Issuer, result.ManyOrganizations
	p.manifest.DisplayName = cmp.Or(result.DisplayName, p.manifest.DisplayName)
	p.manifest.HomePage = cmp.Or(result.HomePage, p.manifest.HomePage)
	if result.Scopes != nil {
		p.manifest.Scopes = result.Scopes
	}
	if result.Refresh != nil {
		p.manifest.Refresh = *result.Refresh
	}
	return p, nil
}

func (m *Module) bind(b Binding) (*provider, error) {
	settings, text, err := m.settings.fill(b.Settings)
	if err != nil {
		return nil, err
	}
	hosts, err := rules.Hosts(m.manifest.Hosts, settings)
	if err != nil {
		return nil, err
	}
	if len(b.Hosts) > 0 {
		hosts = common(hosts, b.Hosts)
	}
	places, err := resolveSecretPlaces(m.manifest, settings, b.ClientID)
	if err != nil {
		return nil, err
	}
	p := &provider{module: m, binding: b, manifest: m.manifest, settings: text, hosts: hosts, places: places}
	p.secrets.add(b.ClientSecret.Reveal())
	p.named.settings = m.settings.upstreamSettings(&m.manifest, settings)
	p.manifest.DisplayName = cmp.Or(settled(m.manifest.DisplayName, settings), m.manifest.Name)
	p.manifest.HomePage = settled(m.manifest.HomePage, settings)
	if !b.ClientKey.IsZero() {
		if p.key, err = parseClientKey(b.ClientKey); err != nil {
			return nil, fmt.Errorf("client key: %w", err)
		}
	}
	return p, nil
}

// common returns those of hosts that are among others too.
func common(hosts, others []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(h string) bool {
		return !slices.ContainsFunc(others, func(o string) bool { return sameHost(h, o) })
	})
}

// enter begins a conversation with the module of the moment.
func (b *bound) enter() (*provider, error) {
	for p := b.current.Load(); ; {
		err := p.module.acquire()
		if err == nil {
			return p, nil
		}
		next := b.current.Load()
		if next == p {
			return nil, &upstream.Error{Kind: upstream.Unavailable, Err: err}
		}
		p = next // it was swapped in between
	}
}

// Describe implements upstream.Provider.
func (b *bound) Describe() upstream.Description { return b.current.Load().Describe() }

// Authorize implements upstream.Provider.
func (b *bound) Authorize(ctx context.Context, req upstream.AuthorizeRequest) (string, error) {
	p, err := b.enter()
	if err != nil {
		return "", err
	}
	defer p.module.release()
	return p.Authorize(ctx, req)
}

// Exchange implements upstream.Provider.
func (b *bound) Exchange(ctx context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	p, err := b.enter()
	if err != nil {
		return nil, err
	}
	defer p.module.release()
	return p.Exchange(ctx, req)
}

// Refresh implements upstream.Provider.
func (b *bound) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	p, err := b.enter()
	if err != nil {
		return nil, err
	}
	defer p.module.release()
	return p.Refresh(ctx, req)
}

// Revoke implements upstream.Provider.
func (b *bound) Revoke(ctx context.Context, cred *upstream.Credential) error {
	p, err := b.enter()
	if err != nil {
		return err
	}
	defer p.module.release()
	return p.Revoke(ctx, cred)
}
