package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/tenant"
)

func tenantCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{Use: "tenant", Short: "Tenants of a configuration", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(tenantListCommand(sys), tenantAcceptCommand(sys))
	return cmd
}

func tenantListCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "List the tenants and the URL that users paste into a client",
		Long: "List asks the running server, at the socket that --socket, SALLYPORT_ADMIN_SOCKET or\n" +
			"server/admin_socket of the configuration names, what it serves, which tenants are\n" +
			"down and why, and which changes of upstream wait for tenant accept. If no server\n" +
			"answers, it reads the configuration and nothing else: neither store nor plugins\n" +
			"have to be there. See check for whether the tenants would be served.",
		Example: "  sallyport tenant list -c sallyport.yaml\n" +
			"  sallyport tenant list -c sallyport.yaml --json | jq -r '.[] | .url'",
		Args: cobra.NoArgs,
	}
	flags := addAdminFlags(cmd, sys)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		var all []listedTenant
		o, err := flags.dial(cmd)
		switch {
		case err != nil:
			return err
		case o != nil:
			err = o.remote.Tenants(cmd.Context(), &all)
		default:
			var cfg *config.Config
			if cfg, err = loadConfig(cmd, sys, *flags.files); err == nil {
				all = configuredTenants(cfg)
			}
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		printReplica(cmd.OutOrStdout(), o)
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "TENANT\tPROVIDER\tURL\tBACKEND")
		for _, r := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Tenant, r.Provider, r.URL, r.Backend)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		for _, r := range all {
			if r.Down != "" {
				fmt.Fprintf(cmd.OutOrStdout(), "down: %s: %s\n", r.Tenant, r.Down)
			}
			if r.Waiting != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "waiting: %s: %s\n", r.Tenant, r.Waiting)
			}
		}
		return nil
	})
	return cmd
}

// configuredTenants lists the tenants of a configuration.
func configuredTenants(cfg *config.Config) []listedTenant {
	all := []listedTenant{}
	for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
		c := cfg.Tenants[name]
		issuer := cfg.TenantURL(name)
		all = append(all, listedTenant{
			Tenant: name, Name: c.Name, URL: cmp.Or(c.Resource, issuer+tenant.MCPPath), Issuer: issuer, Provider: c.Provider, Backend: c.Backend,
		})
	}
	return all
}
