package main

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/admin"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

// records is the store of a configuration, opened for a command that looks
// after what is kept there: no plugin is loaded and no upstream is asked.
type records struct {
	*deployment
	keys *seal.Keyring
}

// openRecords opens what cfg names. What the audit would write to standard
// output, which is the command's, goes to standard error.
func openRecords(ctx context.Context, cfg *config.Config, sys system) (r *records, err error) {
	r = &records{deployment: &deployment{cfg: cfg, log: hclog.NewNullLogger()}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
			r = nil
		}
	}()
	var keysErr error
	auditErr := r.openAudit(system{out: sys.err, err: sys.err})
	r.keys, keysErr = openKeys(cfg.Keys)
	if err := errors.Join(auditErr, keysErr, r.openStore(ctx)); err != nil {
		return r, err
	}
	return r, nil
}

// admin returns the operations on the store.
func (r *records) admin() *admin.Records {
	return &admin.Records{
		Store:   grant.NewStore(r.store, r.keys, nil),
		Clients: client.NewRegistry(client.Config{Keys: r.keys, Store: r.store, Fetch: fetch.New(fetch.Config{UserAgent: "sallyport/" + version()})}),
		Audit:   r.audit,
		Tenant: func(name string) *tenant.Tenant {
			c, ok := r.cfg.Tenants[name]
			if !ok {
				return nil
			}
			return &tenant.Tenant{
				Name: name, Clients: knownClients(c), ClientDocuments: tenant.ClientDocuments{Off: c.CIMD == "off", Hosts: c.CIMDHosts},
				Lifetimes: tenant.Lifetimes{Absolute: c.Lifetimes.Absolute},
			}
		},
		Names: func() []string { return slices.Sorted(maps.Keys(r.cfg.Tenants)) },
	}
}

// knownClients returns the pre-registered clients of a tenant.
func knownClients(c config.Tenant) (all []tenant.Client) {
	for _, known := range c.Clients {
		all = append(all, tenant.Client{
			ID: known.ID, Name: known.Name, Secret: seal.NewSecret(known.Secret.Reveal()), JWKSURI: known.JWKSURI, RedirectURIs: known.RedirectURIs,
		})
	}
	return all
}
