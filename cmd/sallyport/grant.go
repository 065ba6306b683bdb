package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/admin"
)

func grantCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{Use: "grant", Short: "What users have connected", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(grantListCommand(sys), grantRevokeCommand(sys))
	return cmd
}

func grantListCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "List grants: who connected which client, since when",
		Long: "List reads every grant of all tenants, or of one. One in the state needs_login works\n" +
			"again when its user logs in; --json has the reason. The tokens of one in the state\n" +
			"refused are refused although its record is there: it was revoked by time (not_before),\n" +
			"its time is over (gone), or it is of another upstream than the tenant's settings name\n" +
			"(other_upstream). List shows no token and cannot:\n" +
			"what seals them is in the tokens of the client. With --json it prints one object a\n" +
			"line, so that a million grants can be read one by one.\n" + asksServer,
		Example: "  sallyport grant list -c sallyport.yaml --tenant music\n" +
			"  sallyport grant list -c sallyport.yaml --json | jq -r 'select(.client_name == \"Inspector\") | .id'",
		Args: cobra.NoArgs,
	}
	flags := addAdminFlags(cmd, sys)
	var only admin.GrantFilter
	cmd.Flags().StringVar(&only.Tenant, "tenant", "", "grants of this `tenant` only")
	cmd.Flags().StringVar(&only.Account, "account", "", "grants of this account only, by its `id` at the upstream")
	asJSON := cmd.Flags().Bool("json", false, "print JSON, one object a line")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		return flags.with(cmd, func(ctx context.Context, o *opened) error { return listGrants(ctx, o, sys, only, *asJSON) })
	})
	return cmd
}

func listGrants(ctx context.Context, o *opened, sys system, only admin.GrantFilter, asJSON bool) error {
	show, flush := tableOfGrants(sys.out)
	if asJSON {
		show, flush = func(g admin.Grant) error { return json.NewEncoder(sys.out).Encode(g) }, func() error { return nil }
	}
	unreadable, err := o.Grants(ctx, only, show)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(unreadable)) {
		fmt.Fprintf(sys.err, "%s: %s cannot be read with the server's keys; put the key that is missing back into keys\n", name, counted(unreadable[name], "grant"))
	}
	return flush()
}

// tableOfGrants writes for people.
func tableOfGrants(w io.Writer) (show func(admin.Grant) error, flush func() error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(table, "TENANT\tID\tSTATE\tACCOUNT\tNAME\tCLIENT\tCLIENT HASH\tCREATED\tUSED\tENDS")
	return func(g admin.Grant) error {
			_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", g.Tenant, g.ID, stateOf(g), plain(g.Account), plain(g.AccountName),
				plain(g.ClientName), g.Client, minute(g.Created), minute(g.LastUsed), minute(g.Expires))
			return err
		}, func() error {
			if err != nil {
				return err
			}
			return table.Flush()
		}
}

// stateOf is the state in one word, with its reason where there is one.
func stateOf(g admin.Grant) string {
	switch {
	case g.Refused != "":
		return g.State + "(" + plain(g.Refused) + ")"
	case g.LoginReason != nil:
		return g.State + "(" + plain(g.LoginReason.Kind) + ")"
	}
	return g.State
}

// minute writes a time for a table.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// plain replaces what could steer the operator's terminal in texts that others
// chose.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

func grantRevokeCommand(sys system) *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use:   "revoke TENANT (ID | --account ACCOUNT)",
		Short: "End a grant, or all of an account",
		Long: "Revoke deletes a grant by its id, or every grant of an account at a tenant. The\n" +
			"client's tokens are worth nothing from then on, and the upstream token, which\n" +
			"only they could unseal, is lost; the upstream itself is not told, so its own list\n" +
			"of connected applications may show the connection until it runs out.\n" + asksServer,
		Example: "  sallyport grant revoke -c sallyport.yaml music 3fXq0mVZ5oZ1u8x0y2bN4w\n" +
			"  sallyport grant revoke -c sallyport.yaml music --account u-1815",
	}
	flags := addAdminFlags(cmd, sys)
	cmd.Flags().StringVar(&account, "account", "", "end every grant of this account, by its `id` at the upstream")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if account != "" {
			return cobra.ExactArgs(1)(cmd, args)
		}
		return cobra.ExactArgs(2)(cmd, args)
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		which := admin.Revocation{Tenant: args[0], Account: account}
		if account == "" {
			which.ID = args[1]
		}
		return flags.with(cmd, func(ctx context.Context, o *opened) error {
			ended, err := o.Revoke(ctx, which)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s ended at %s (%s)\n", counted(ended.Grants, "grant"), which.Tenant, o.scope())
			return err
		})
	})
	return cmd
}
