package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/admin"
	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
)

func storeRestoreCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Fill an empty store from a backup",
		Long: "Restore checks a backup page by page, copies every record that has not expired into\n" +
			"the store of the configuration, bolt or Redis, and reads all of them back. Stop all\n" +
			"servers first, and start them afterwards with the keys of the time of the backup.\n" +
			"FILE stays as it is.\n\n" +
			"The store has to be empty, and there is no flag against that: a mixture of two\n" +
			"states would bring revoked grants back. Move a bolt file away first; for Redis name\n" +
			"another prefix (?prefix=) or database, or delete the keys. A restore that was\n" +
			"interrupted begins again with an empty store. Records of a format that this release\n" +
			"does not know are refused before anything is written.",
		Example: "  sallyport store restore -c sallyport.yaml /var/backups/sallyport-2026-11-30.db",
		Args:    cobra.ExactArgs(1),
	}
	flags := addAdminFlags(cmd, sys)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		done, err := flags.restore(cmd, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), done)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s restored and read back, %s bytes\n", counted(done.Verified, "record"), grouped(done.Bytes))
		return err
	})
	return cmd
}

// restore fills the configuration's store from a backup.
func (f adminFlags) restore(cmd *cobra.Command, file string) (done migrated, err error) {
	ctx := cmd.Context()
	if o, err := f.dial(cmd); err != nil || o != nil {
		if err == nil {
			err = fmt.Errorf("the server %s runs on this store; stop all servers first", o.server.Replica)
		}
		return done, err
	}
	if _, err := bolt.Verify(ctx, file); err != nil {
		return done, err
	}
	cfg, err := loadConfig(cmd, f.sys, *f.files)
	if err != nil {
		return done, err
	}
	source, err := bolt.OpenFile(bolt.Config{Path: file, Now: f.sys.faults.now})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	r, err := openRecords(ctx, cfg, f.sys)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := refuseNewer(ctx, source, r.keys); err != nil {
		return done, err
	}
	m := migration{now: f.sys.faults.clock(), p: newProgress(f.sys.err, f.sys.faults.clock())}
	done, err = m.run(ctx, source, r.store)
	m.p.end()
	switch {
	case errors.Is(err, errNotEmpty):
		return done, errors.New("the store has records already, and a restore needs an empty one: move the bolt file away, or name another prefix or database of the Redis")
	case errors.Is(err, errInterrupted):
		return done, fmt.Errorf("%w; empty the store and run the restore again", errors.Unwrap(err))
	case err != nil:
		return done, err
	}
	r.audit.Record(ctx, audit.Event{Action: audit.Restored, Operator: admin.Actor{UID: os.Getuid()}.String()})
	return done, r.sayUnreadable(ctx, f.sys)
}

// refuseNewer refuses a backup with records of a newer release, which this one
// could neither read nor change.
func refuseNewer(ctx context.Context, source store.Exporter, keys *seal.Keyring) error {
	err := source.Export(ctx, func(r store.Record) error { return store.CheckFormat(keys, r) })
	if newer, ok := errors.AsType[*store.NewerError](err); ok {
		return fmt.Errorf("nothing is restored: the backup has a %s record of format %d, and sallyport %s knows formats up to %d; run the restore and the server with the release that made the backup, or a newer one",
			newer.Kind, newer.Format, version(), newer.Known)
	}
	return err
}

// sayUnreadable says of which tenants the restored grants need a key that the
// configuration does not have.
func (r *records) sayUnreadable(ctx context.Context, sys system) error {
	grants := grant.NewStore(r.store, r.keys, nil)
	for _, name := range slices.Sorted(maps.Keys(r.cfg.Tenants)) {
		n, err := grants.Unreadable(ctx, name)
		if err != nil {
			return err
		}
		if n > 0 {
			fmt.Fprintf(sys.err, "%s: %s cannot be read with the server's keys; put the key of the time of the backup into keys\n", name, counted(n, "grant"))
		}
	}
	return nil
}
