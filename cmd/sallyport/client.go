package main

import (
	"cmp"
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/admin"
)

func clientCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{Use: "client", Short: "Clients of a tenant", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(clientListCommand(sys), clientBlockCommand(sys), clientUnblockCommand(sys))
	return cmd
}

func clientListCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list TENANT",
		Short: "List the clients of a tenant that have grants or are blocked",
		Long: "List shows each client with the hash of its client id, which client block takes.\n" +
			"A client that registered and has no grant is stored nowhere and not listed.\n" + asksServer,
		Example: "  sallyport client list -c sallyport.yaml music\n" +
			"  sallyport client list -c sallyport.yaml music --json | jq -r '.[] | select(.blocked) | .client'",
		Args: cobra.ExactArgs(1),
	}
	flags := addAdminFlags(cmd, sys)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		return flags.with(cmd, func(ctx context.Context, o *opened) error {
			all, err := o.Clients(ctx, args[0])
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "CLIENT HASH\tNAME\tGRANTS\tUSED\tBLOCKED")
			for _, c := range all {
				fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", c.Client, plain(c.Name), c.Grants, moment(c.LastUsed), moment(c.Blocked))
			}
			return table.Flush()
		})
	})
	return cmd
}

// moment writes a time that may be missing, or be there and not known.
func moment(t *time.Time) string {
	switch {
	case t == nil:
		return ""
	case t.IsZero():
		return "yes"
	}
	return minute(*t)
}

func clientBlockCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "block TENANT CLIENT",
		Short: "Block a client at a tenant and end all its grants",
		Long: "Block makes a client unknown at one tenant, wherever the client comes from: the\n" +
			"configuration, a registration, or the URL of its metadata document. Its logins are\n" +
			"refused from then on, and its grants end, access tokens included.\n\n" +
			"CLIENT is the client id, or the hash of it that client list, grant list and the\n" +
			"audit log show. What names no known client is refused, because a misspelt id would\n" +
			"block nothing; --force takes it all the same.\n" + asksServer,
		Example: "  sallyport client block -c sallyport.yaml music https://client.example/metadata.json\n" +
			"  sallyport client block -c sallyport.yaml music 3fXq0mVZ5oZ1u8x0y2bN4w",
		Args: cobra.ExactArgs(2),
	}
	flags := addAdminFlags(cmd, sys)
	force := cmd.Flags().Bool("force", false, "also block an id, or a hash, that no known client has")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		return flags.with(cmd, func(ctx context.Context, o *opened) error {
			b, err := o.Block(ctx, admin.ClientRef{Tenant: args[0], Client: args[1], Force: *force})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s (%s) is %s at %s; %s ended (%s)\n", cmp.Or(plain(b.Name), "client"), b.Client,
				map[bool]string{true: "blocked", false: "still blocked"}[b.Changed], args[0], counted(b.Grants, "grant"), o.scope())
			return err
		})
	})
	return cmd
}

func clientUnblockCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unblock TENANT CLIENT",
		Short: "End the block of a client; its users log in again",
		Long: "Unblock takes the client id, or the hash of it that client list shows. Grants that\n" +
			"the block ended stay ended. A registration that its client deleted is blocked as\n" +
			"well, and becomes valid again.\n" + asksServer,
		Example: "  sallyport client unblock -c sallyport.yaml music 3fXq0mVZ5oZ1u8x0y2bN4w",
		Args:    cobra.ExactArgs(2),
	}
	flags := addAdminFlags(cmd, sys)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		return flags.with(cmd, func(ctx context.Context, o *opened) error {
			b, err := o.Unblock(ctx, admin.ClientRef{Tenant: args[0], Client: args[1]})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s (%s) is no longer blocked at %s (%s)\n", cmp.Or(plain(b.Name), "client"), b.Client, args[0], o.scope())
			return err
		})
	})
	return cmd
}
