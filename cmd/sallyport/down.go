package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// downProvider stands for the provider of a tenant that is down. No request
// reaches it, because core refuses them first.
type downProvider struct{ name string }

var _ upstream.Provider = downProvider{}

var errDown = &upstream.Error{Kind: upstream.Unavailable, Detail: "the tenant is down"}

// Describe implements upstream.Provider.
func (p downProvider) Describe() upstream.Description {
	return upstream.Description{Name: p.name, DisplayName: p.name}
}

// Authorize implements upstream.Provider.
func (downProvider) Authorize(context.Context, upstream.AuthorizeRequest) (string, error) {
	return "", errDown
}

// Exchange implements upstream.Provider.
func (downProvider) Exchange(context.Context, upstream.ExchangeRequest) (*upstream.Credential, error) {
	return nil, errDown
}

// Refresh implements upstream.Provider.
func (downProvider) Refresh(context.Context, upstream.RefreshRequest) (*upstream.Credential, error) {
	return nil, errDown
}

// Revoke implements upstream.Provider.
func (downProvider) Revoke(context.Context, *upstream.Credential) error { return errDown }

// downTenant is what answers 503 at the address of a tenant that cannot be
// served. It takes part in no shared callback.
func (d *deployment) downTenant(name string, c config.Tenant, why error) *tenant.Tenant {
	provider, _, _ := strings.Cut(c.Provider, "@")
	t := &tenant.Tenant{
		Name: name, DisplayName: c.Name, Issuer: d.cfg.TenantURL(name), Provider: downProvider{provider}, External: c.Resource,
		Redirects: oauth.DefaultRedirects(), Lifetimes: tenant.DefaultLifetimes(), Down: oneLine(why),
	}
	if t.DisplayName == "" {
		t.DisplayName = name
	}
	if c.Resource == "" {
		t.Backend = &url.URL{Scheme: "http", Host: "invalid"}
	}
	return t
}

// tenants turns the config's tenants into core's, each with its provider. One
// that cannot be served is down if mayBeDown says so; else it is a fault.
func (d *deployment) tenants(ctx context.Context, mayBeDown func(name string) bool) (*tenant.Set, error) {
	var all []*tenant.Tenant
	var faults []error
	d.providers, d.down = map[string]upstream.Provider{}, map[string]error{}
	for _, name := range slices.Sorted(maps.Keys(d.cfg.Tenants)) {
		c := d.cfg.Tenants[name]
		t, err := d.tenant(ctx, name, c)
		if err == nil {
			err = t.Check() // what depends on the provider, such as the scopes of tools
		}
		switch {
		case err != nil && mayBeDown(name):
			d.down[name] = err
			t = d.downTenant(name, c, err)
		case err != nil:
			faults = append(faults, err)
			continue
		}
		all = append(all, t)
	}
	set, err := tenant.NewSet(all...)
	return set, errors.Join(append(faults, err)...)
}

// startTenants makes the tenants for a start: those that cannot be served are
// down, unless that is all of them.
func (d *deployment) startTenants(ctx context.Context) (*tenant.Set, error) {
	set, err := d.tenants(ctx, func(string) bool { return true })
	if err == nil && len(d.down) > 0 && len(d.down) == len(d.cfg.Tenants) {
		return nil, d.downFaults()
	}
	return set, err
}

// downFaults is why tenants are down, one a line.
func (d *deployment) downFaults() error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(d.down)) {
		faults = append(faults, d.down[name])
	}
	return errors.Join(faults...)
}

// logDown tells the operator which tenants are down.
func (d *deployment) logDown() {
	for _, name := range slices.Sorted(maps.Keys(d.down)) {
		d.log.Error("tenant is down: its address answers 503; the other tenants are served", "tenant", name, "error", oneLine(d.down[name]),
			"remedy", "mend what the error says; the server reads the configuration again by itself")
	}
}

// release gives the providers up that are not in force any more.
func (d *deployment) release(before, inForce map[string]upstream.Provider) {
	for name, p := range before {
		if inForce[name] != p {
			d.host.Release(p)
		}
	}
}

// unreachable lists what each login of a tenant would be refused at, by the
// tenant's settings. It asks the DNS.
func (d *deployment) unreachable(ctx context.Context) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(d.providers)) {
		if err := d.host.CheckAddresses(ctx, d.providers[name]); err != nil {
			faults = append(faults, fmt.Errorf("tenants/%s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}
