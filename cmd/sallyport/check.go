package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/admin"
	"github.com/sallyport/sallyport/core/store"
)

func checkCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Do all that serve does, but listen",
		Long: "Check reads the configuration, opens the store, loads the plugins and has them\n" +
			"check their settings. Everything that is wrong is printed, and nothing is left\n" +
			"behind. A server may run on the same store: one that has a bolt file open is asked,\n" +
			"at its admin socket, to check the store itself. Check also begins a login at each\n" +
			"tenant's upstream, without a browser, and where cimd is on fetches the metadata\n" +
			"documents of widely used clients. It warns of what fails there.",
		Example: "  sallyport check -c sallyport.yaml",
		Args:    cobra.NoArgs,
	}
	files := configFlags(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		cfg, origins, warnings, err := loadTrusted(cmd, sys, *files)
		if err != nil {
			return err
		}
		sys.given, sys.warnings = origins.Set, warnings
		cfg.Log.Level = "off" // what is wrong comes back as the error, once
		sys.look = true
		if sys.store, err = askAboutStore(cmd.Context(), cfg); err != nil {
			return err
		}
		if sys.store == nil {
			if sys.store, err = futureStore(cfg); err != nil {
				return err
			}
		}
		d, err := assemble(cmd.Context(), cfg, sys)
		if err != nil {
			return err
		}
		d.checkAdmin(cmd.Context())
		for _, warning := range d.warned {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
		}
		for _, warning := range warnDocuments(cmd.Context(), d.fetch.Do, cfg) {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
		}
		for _, warning := range warnLogins(cmd.Context(), d.server.Tenants()) {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
		}
		tenants, modules := d.server.Tenants().Len(), len(d.host.Modules())
		// Serve goes on without a plugin file or a tenant; here each counts.
		if err := errors.Join(d.canListen(cmd.Context()), d.downFaults(), d.unreachable(cmd.Context()), d.refused(), d.close()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %s, %s\n", counted(tenants, "tenant"), counted(modules, "plugin"))
		return err
	})
	return cmd
}

// askAboutStore has the server that holds the configuration's bolt store check
// it, and returns what stands for the store here. It returns nil where this
// process can open the store itself.
func askAboutStore(ctx context.Context, cfg *config.Config) (store.Driver, error) {
	path := cfg.SocketPath()
	if _, isFile := boltFile(cfg.Store); !isFile || path == "" {
		return nil, nil
	}
	remote, server, err := admin.Dial(ctx, path)
	if errors.Is(err, admin.ErrNoServer) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := remote.CheckStore(ctx)
	if err != nil {
		return nil, fmt.Errorf("the store of the running server %s: %w", server.Replica, err)
	}
	if state.Place != storePlace(cfg.Store) {
		return nil, nil
	}
	return heldStore{}, nil
}

// canListen opens the listeners of serve and closes them. An address in use is
// taken for that of the running server.
func (d *deployment) canListen(ctx context.Context) error {
	try := func(address, key, flag string) error {
		l, err := listen(ctx, address, key, flag)
		if errors.Is(err, errInUse) {
			return nil
		}
		if err != nil {
			return err
		}
		return l.Close()
	}
	err := try(d.cfg.Server.Listen, "server/listen", "--listen")
	if address := d.cfg.Server.OperatorListen; address != "" && address != "off" && d.isGiven("server/operator_listen") {
		err = errors.Join(err, try(address, "server/operator_listen", "--operator-listen"))
	}
	return err
}

// futureStore returns what stands for a bolt file that the first start will make,
// and nil for every other store. A file that check made would belong to the user
// who ran it, which may be root, and not to the server's.
func futureStore(cfg *config.Config) (store.Driver, error) {
	path, isFile := boltFile(cfg.Store)
	if !isFile {
		return nil, nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, nil // what is wrong with it, opening it finds out
	}
	if err := canMake(path); err != nil {
		return nil, fmt.Errorf("store: %s cannot be made: %w; name a folder that this user can write, or run check as the user of the server", path, err)
	}
	return heldStore{}, nil
}

// canMake reports whether this process could make a file, and the folders that
// are missing above it. It leaves nothing behind.
func canMake(path string) error {
	for {
		above := filepath.Dir(path)
		if above == path {
			return fs.ErrNotExist
		}
		path = above
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is not a folder", path)
		}
		return writable(path)
	}
}

// heldStore stands for a store that another process has open, or that is yet to
// be made: it is empty and takes no record.
type heldStore struct{}

var _ store.Driver = heldStore{}

var errHeldStore = errors.New("the running server has the store open")

// Get implements store.Driver.
func (heldStore) Get(context.Context, string) ([]byte, error) { return nil, store.ErrNotFound }

// Swap implements store.Driver.
func (heldStore) Swap(context.Context, string, []byte, []byte, time.Duration) error {
	return errHeldStore
}

// Take implements store.Driver.
func (heldStore) Take(context.Context, string) ([]byte, error) { return nil, store.ErrNotFound }

// Scan implements store.Driver.
func (heldStore) Scan(context.Context, string, func(string) error) error { return nil }

// Ping implements store.Driver.
func (heldStore) Ping(context.Context) error { return nil }

// Close implements store.Driver.
func (heldStore) Close() error { return nil }
