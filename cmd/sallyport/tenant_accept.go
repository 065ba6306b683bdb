package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/admin"
)

func tenantAcceptCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "accept NAME",
		Short: "Apply the change of upstream that waits for a tenant",
		Long: "Accept applies a change of a tenant's provider, client_id or settings that leads to\n" +
			"another upstream than the grants of its users, and that waits for that reason; see\n" +
			"tenant list. The users of the old upstream have to log in again. After a restart with\n" +
			"such a change it ends the 15 minutes in which their calls get 503 instead of 401.\n\n" +
			"If the change leads to the same upstream under another address, add the identity of\n" +
			"the old one to tenants/NAME/formerly instead: then no user has to log in again. To\n" +
			"undo the change, put the old settings back.\n\n" +
			"The command needs the running server, and asks it at the socket that --socket,\n" +
			"SALLYPORT_ADMIN_SOCKET or server/admin_socket of the configuration names. Of several\n" +
			"replicas each reads its own configuration: run the command at each.",
		Example: "  sallyport tenant accept -c sallyport.yaml music",
		Args:    cobra.ExactArgs(1),
	}
	flags := addAdminFlags(cmd, sys)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		done, err := flags.accept(cmd, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), done)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "the change of upstream of %s is applied at replica %s: %s\n", done.Tenant, done.Replica, done.summary())
		return err
	})
	return cmd
}

// accept has the running server accept the change that waits for a tenant.
func (f adminFlags) accept(cmd *cobra.Command, name string) (done accepted, err error) {
	o, err := f.dial(cmd)
	if errors.Is(err, admin.ErrNoServer) || err == nil && o == nil {
		return done, f.needsServer(cmd, name)
	}
	if err != nil {
		return done, err
	}
	err = o.remote.Accept(cmd.Context(), name, &done)
	done.Replica = o.server.Replica
	return done, err
}

// needsServer says why no change can be accepted now, and what can be done
// without a server.
func (f adminFlags) needsServer(cmd *cobra.Command, name string) error {
	path, _, err := f.socketPath(cmd)
	why := "no server answers at the admin socket " + path
	if err != nil || path == "" {
		why = "server/admin_socket is off"
	}
	return fmt.Errorf("accepting a change needs the running server, and %s; start the server and run the command again, "+
		"or, if the change leads to the same upstream under another address, add the identity of the old one to tenants/%s/formerly", why, name)
}

// accepted is what tenant accept did.
type accepted struct {
	Tenant string         `json:"tenant"`
	Change *waitingChange `json:"change,omitempty"` // nil: the server is of another version
	// Replica is the server that was asked; only the command sets it.
	Replica string `json:"replica,omitempty"`
}

// summary says what the change means for users.
func (a accepted) summary() string {
	if a.Change == nil {
		return "users of the old upstream log in again"
	}
	return fmt.Sprintf("users of %s log in again at %s", a.Change.stranded(), a.Change.to())
}

// accept is admin.Config.Accept.
func (d *deployment) accept(ctx context.Context, name string) (any, error) {
	done := accepted{Tenant: name}
	if c, ok := d.undecided()[name]; ok {
		done.Change = &c
	}
	return done, d.acceptTenant(ctx, name)
}
