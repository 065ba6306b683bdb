package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/store/redis"
)

func storeCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Back up and move what is stored", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(storeBackupCommand(sys), storeRestoreCommand(sys), storeMigrateCommand(sys))
	return cmd
}

// openDriver opens the store at an address, which chooses the driver. A nil now
// is the real clock.
func openDriver(ctx context.Context, address config.Secret, now func() time.Time) (store.Driver, error) {
	if path, ok := boltFile(address); ok {
		d, err := bolt.Open(ctx, bolt.Config{Path: path, Now: now})
		if err != nil {
			return nil, err // not an interface around a nil pointer
		}
		return d, nil
	}
	d, err := redis.Open(ctx, address.Reveal())
	if err != nil {
		return nil, err
	}
	return d, nil
}

// boltFile is the file of a store that is one.
func boltFile(address config.Secret) (path string, ok bool) {
	return strings.CutPrefix(address.Reveal(), "bolt://")
}

// openExisting opens a store that is to be read: a file that is missing is not
// made.
func openExisting(ctx context.Context, address config.Secret) (store.Driver, error) {
	if err := existing(address); err != nil {
		return nil, err
	}
	return openDriver(ctx, address, nil)
}

// storePlace names a store without its secrets.
func storePlace(address config.Secret) string {
	if path, ok := boltFile(address); ok {
		return path
	}
	return redis.Place(address.Reveal())
}
