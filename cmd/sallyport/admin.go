package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/admin"
	"github.com/sallyport/sallyport/core/store/bolt"
)

// asksServer is for the help of commands that look at or change what is stored.
const asksServer = "The command asks the running server, at the socket that --socket, SALLYPORT_ADMIN_SOCKET\n" +
	"or server/admin_socket of the configuration names, and needs no secret then. If no server\n" +
	"answers, it opens the store of the configuration itself."

// adminFlags are the flags by which a command finds a server or its store.
type adminFlags struct {
	sys    system
	files  *[]string
	socket *string
}

func addAdminFlags(cmd *cobra.Command, sys system) adminFlags {
	return adminFlags{sys, configFlags(cmd), cmd.Flags().String("socket", "", "admin socket of the running server: `path`")}
}

// opened is a server that answers or a store that is open.
type opened struct {
	admin.Operations
	remote *admin.Remote // nil: the store is open
	server admin.Server  // of remote
	close  func() error
}

// scope says whose state a command on the store is about.
func (o *opened) scope() string {
	if o.remote == nil {
		return "the store; no server was asked"
	}
	return "all replicas"
}

// socketPath returns the socket to ask; named reports whether the operator
// named it for this command. An empty path means no socket.
func (f adminFlags) socketPath(cmd *cobra.Command) (path string, named bool, err error) {
	if *f.socket != "" {
		return *f.socket, true, nil
	}
	for _, pair := range f.sys.environ {
		if path, ok := strings.CutPrefix(pair, config.SocketVariable+"="); ok && path != "" {
			return path, true, nil
		}
	}
	path, err = config.AdminSocket(config.Options{Files: *f.files, Environ: f.sys.environ, Flags: cmd.Flags()})
	return path, false, err
}

// dial asks the running server. It returns nil if no server answers and the
// operator named no socket.
func (f adminFlags) dial(cmd *cobra.Command) (*opened, error) {
	path, named, err := f.socketPath(cmd)
	if err != nil {
		return nil, fmt.Errorf("the admin socket cannot be found: %w; name it with --socket", err)
	}
	if path == "" {
		return nil, nil
	}
	remote, server, err := admin.Dial(cmd.Context(), path)
	switch {
	case err == nil:
		return &opened{Operations: remote, remote: remote, server: server, close: func() error { return nil }}, nil
	case errors.Is(err, admin.ErrNoServer) && !named:
		return nil, nil
	case errors.Is(err, admin.ErrNoServer):
		return nil, fmt.Errorf("%w; start the server, or leave the socket out and name the configuration with -c to open its store", err)
	}
	return nil, err
}

// open asks the running server, or opens the store if no server answers.
func (f adminFlags) open(cmd *cobra.Command) (*opened, error) {
	if o, err := f.dial(cmd); o != nil || err != nil {
		return o, err
	}
	cfg, err := loadConfig(cmd, f.sys, *f.files)
	if err != nil {
		return nil, err
	}
	r, err := openRecords(cmd.Context(), cfg, f.sys)
	if errors.Is(err, bolt.ErrHeld) {
		return nil, heldWithoutSocket(cfg, err)
	}
	if err != nil {
		return nil, err
	}
	return &opened{Operations: r.admin().For(admin.Actor{UID: os.Getuid()}), close: r.close}, nil
}

// heldWithoutSocket explains a store that a server holds which does not answer.
func heldWithoutSocket(cfg *config.Config, held error) error {
	path := cfg.SocketPath()
	if path == "" {
		return fmt.Errorf("%w; or let that server answer commands: server/admin_socket is off", held)
	}
	return fmt.Errorf("%w; or let that server answer commands at its admin socket: no server answers at %s, and the log of that server says why", held, path)
}

// with runs f on what open returns and closes it.
func (f adminFlags) with(cmd *cobra.Command, run func(ctx context.Context, o *opened) error) error {
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	return errors.Join(run(cmd.Context(), o), o.close())
}

// counted writes a number with its noun.
func counted[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(int64(n)) + " " + noun + "s"
}

// printReplica names the server that answered, for what differs from replica to
// replica.
func printReplica(w io.Writer, o *opened) {
	if o != nil && o.remote != nil {
		fmt.Fprintf(w, "replica %s, version %s\n", o.server.Replica, o.server.Version)
	}
}
