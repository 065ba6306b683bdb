package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/tenant"
)

// blockedFor is how long an operator's block lasts: as good as for ever.
const blockedFor = 10 * 365 * 24 * time.Hour

func clientCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{Use: "client", Short: "Clients of a tenant", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(clientBlockCommand(sys))
	return cmd
}

func clientBlockCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "block TENANT CLIENT_ID",
		Short: "Block a client at a tenant and end all its grants",
		Long: "Block makes a client id unknown at one tenant, wherever the client comes from:\n" +
			"the configuration, a registration, or the URL of its metadata document. Its\n" +
			"logins are refused from then on, and its grants end, access tokens included.\n" +
			needsServerStopped,
		Example: "  sallyport client block -c sallyport.yaml music https://client.example/metadata.json",
		Args:    cobra.ExactArgs(2),
	}
	files := configFlags(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(cmd, sys, *files)
		if err != nil {
			return err
		}
		ended, err := blockClient(cmd.Context(), cfg, sys, args[0], args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "blocked at %s; %d grants ended\n", args[0], ended)
		return err
	})
	return cmd
}

// blockClient writes the record before it ends the grants, so that none is
// made in between that stays. It returns how many it ended.
func blockClient(ctx context.Context, cfg *config.Config, sys system, tenantName, id string) (ended int, err error) {
	if err := checkTenant(cfg, tenantName); err != nil {
		return 0, err
	}
	if id == "" {
		return 0, errors.New("the client id is empty")
	}
	err = withRecords(ctx, cfg, sys, func(r *records) error {
		clients := client.NewRegistry(client.Config{Keys: r.keys, Store: r.store, Fetch: fetch.New(fetch.Config{})})
		if err := clients.Block(ctx, &tenant.Tenant{Name: tenantName}, id, blockedFor); err != nil {
			return err
		}
		all, err := r.grants.DeleteClient(ctx, tenantName, id)
		r.ended(ctx, tenantName, all...)
		ended = len(all)
		return err
	})
	return ended, err
}
