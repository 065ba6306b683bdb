package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
)

// needsServerStopped is for the help of commands that open the store.
const needsServerStopped = "A bolt store has one process at a time: stop the server first."

// records is the store of a configuration, opened for a command that looks
// after what is kept there: no plugin is loaded and no upstream is asked.
type records struct {
	*deployment
	keys   *seal.Keyring
	grants *grant.Store
	audit  *audit.Log
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
	var auditErr, keysErr error
	r.audit, auditErr = r.openAudit(system{out: sys.err, err: sys.err})
	r.keys, keysErr = openKeys(cfg.Keys)
	if err := errors.Join(auditErr, keysErr, r.openStore(ctx)); err != nil {
		return r, err
	}
	r.grants = grant.NewStore(r.store, r.keys, nil)
	return r, nil
}

// withRecords runs f on the opened records of a configuration.
func withRecords(ctx context.Context, cfg *config.Config, sys system, f func(*records) error) error {
	r, err := openRecords(ctx, cfg, sys)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.close())
}

// ended writes the audit lines of grants that an operator ended.
func (r *records) ended(ctx context.Context, tenantName string, all ...grant.Entry) {
	for _, e := range all {
		r.audit.Record(ctx, audit.Event{
			Action: audit.Ended, Tenant: tenantName, Client: e.ClientHash, Subject: e.Subject, Grant: e.ID, Reason: "operator",
		})
	}
}

func checkTenant(cfg *config.Config, name string) error {
	if _, ok := cfg.Tenants[name]; !ok {
		return fmt.Errorf("the configuration has no tenant %q", name)
	}
	return nil
}
