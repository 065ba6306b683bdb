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

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/grant"
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
		Long: "List reads every grant of the configuration's tenants, or of one. It shows no\n" +
			"token and cannot: what seals them is in the tokens of the client. With --json it\n" +
			"prints one object a line, so that a million grants can be read one by one.\n" +
			needsServerStopped,
		Example: "  sallyport grant list -c sallyport.yaml --tenant music\n" +
			"  sallyport grant list -c sallyport.yaml --json | jq -r 'select(.client_name == \"Inspector\") | .id'",
		Args: cobra.NoArgs,
	}
	files := configFlags(cmd)
	var only grantFilter
	cmd.Flags().StringVar(&only.tenant, "tenant", "", "grants of this `tenant` only")
	cmd.Flags().StringVar(&only.account, "account", "", "grants of this account only, by its `id` at the upstream")
	asJSON := cmd.Flags().Bool("json", false, "print JSON, one object a line")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(cmd, sys, *files)
		if err != nil {
			return err
		}
		return listGrants(cmd.Context(), cfg, sys, only, *asJSON)
	})
	return cmd
}

// grantFilter picks grants; empty fields pick all.
type grantFilter struct{ tenant, account string }

func listGrants(ctx context.Context, cfg *config.Config, sys system, only grantFilter, asJSON bool) error {
	names := slices.Sorted(maps.Keys(cfg.Tenants))
	if only.tenant != "" {
		if err := checkTenant(cfg, only.tenant); err != nil {
			return err
		}
		names = []string{only.tenant}
	}
	show, flush := tableOfGrants(sys.out)
	if asJSON {
		show, flush = func(tenantName string, e grant.Entry) error { return printGrantJSON(sys.out, tenantName, e) }, func() error { return nil }
	}
	return withRecords(ctx, cfg, sys, func(r *records) error {
		for _, name := range names {
			unreadable, err := r.grants.Each(ctx, name, func(e grant.Entry) error {
				if only.account != "" && e.Subject != only.account {
					return nil
				}
				return show(name, e)
			})
			if err != nil {
				return err
			}
			if unreadable > 0 {
				fmt.Fprintf(sys.err, "%s: %d grants cannot be read with the keys of this configuration\n", name, unreadable)
			}
		}
		return flush()
	})
}

// tableOfGrants writes for people.
func tableOfGrants(w io.Writer) (show func(tenantName string, e grant.Entry) error, flush func() error) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(table, "TENANT\tID\tSTATE\tACCOUNT\tNAME\tCLIENT\tCREATED\tUSED\tENDS")
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	return func(tenantName string, e grant.Entry) error {
			_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", tenantName, e.ID, e.State, plain(e.Subject), plain(e.AccountName),
				plain(e.ClientName), day(e.Created), day(e.LastUsed), day(e.Expires))
			return err
		}, func() error {
			if err != nil {
				return err
			}
			return table.Flush()
		}
}

// plain keeps what others chose from steering the operator's terminal.
func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return unicode.ReplacementChar
	}, s)
}

func printGrantJSON(w io.Writer, tenantName string, e grant.Entry) error {
	return json.NewEncoder(w).Encode(struct {
		Tenant      string      `json:"tenant"`
		ID          string      `json:"id"`
		State       grant.State `json:"state"`
		Account     string      `json:"account"`
		AccountName string      `json:"account_name,omitempty"`
		Client      string      `json:"client"` // hash of the client id, as in the audit log
		ClientName  string      `json:"client_name,omitempty"`
		RedirectURI string      `json:"redirect_uri"`
		Scopes      []string    `json:"scopes"`
		Created     time.Time   `json:"created"`
		LastUsed    time.Time   `json:"last_used"`
		Expires     time.Time   `json:"expires"`
	}{
		tenantName, e.ID, e.State, e.Subject, e.AccountName, e.ClientHash, e.ClientName, e.RedirectURI, e.Scopes,
		e.Created.UTC(), e.LastUsed.UTC(), e.Expires.UTC(),
	})
}

func grantRevokeCommand(sys system) *cobra.Command {
	var account string
	cmd := &cobra.Command{
		Use:   "revoke TENANT (ID | --account ACCOUNT)",
		Short: "End a grant, or all of an account",
		Long: "Revoke deletes a grant by its id, or every grant of an account at a tenant. The\n" +
			"client's tokens are worth nothing from then on, and the upstream token, which\n" +
			"only they could unseal, is lost; the upstream itself is not told, so its own list\n" +
			"of connected applications may show the connection until it runs out.\n" +
			needsServerStopped,
		Example: "  sallyport grant revoke -c sallyport.yaml music 3fXq0mVZ5oZ1u8x0y2bN4w\n" +
			"  sallyport grant revoke -c sallyport.yaml music --account u-1815",
	}
	files := configFlags(cmd)
	cmd.Flags().StringVar(&account, "account", "", "end every grant of this account, by its `id` at the upstream")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if account != "" {
			return cobra.ExactArgs(1)(cmd, args)
		}
		return cobra.ExactArgs(2)(cmd, args)
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(cmd, sys, *files)
		if err != nil {
			return err
		}
		tenantName := args[0]
		if err := checkTenant(cfg, tenantName); err != nil {
			return err
		}
		return withRecords(cmd.Context(), cfg, sys, func(r *records) error {
			var ended []grant.Entry
			var err error
			if account != "" {
				ended, err = r.grants.DeleteAccount(cmd.Context(), tenantName, account)
			} else {
				ended, err = r.endOne(cmd.Context(), tenantName, args[1])
			}
			r.ended(cmd.Context(), tenantName, ended...)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d grants ended at %s\n", len(ended), tenantName)
			return err
		})
	})
	return cmd
}

func (r *records) endOne(ctx context.Context, tenantName, id string) ([]grant.Entry, error) {
	e, err := r.grants.Delete(ctx, tenantName, id)
	if grant.ReasonOf(err) == grant.Gone {
		return nil, fmt.Errorf("%s has no grant %q", tenantName, id)
	}
	if err != nil {
		return nil, err
	}
	return []grant.Entry{e}, nil
}
