package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/tenant"
)

func tenantCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{Use: "tenant", Short: "Tenants of a configuration", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(tenantListCommand(sys))
	return cmd
}

func tenantListCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "List the tenants and the URL that users paste into a client",
		Long: "List reads the configuration and nothing else: neither store nor plugins have to\n" +
			"be there, and the server may run. See check for whether they would be served.",
		Example: "  sallyport tenant list -c sallyport.yaml\n" +
			"  sallyport tenant list -c sallyport.yaml --json | jq -r '.[] | .url'",
		Args: cobra.NoArgs,
	}
	files := configFlags(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(cmd, sys, *files)
		if err != nil {
			return err
		}
		type row struct {
			Tenant   string `json:"tenant"`
			Name     string `json:"name"`
			URL      string `json:"url"` // what users paste into a client
			Issuer   string `json:"issuer"`
			Provider string `json:"provider"`
			Backend  string `json:"backend,omitempty"`
		}
		all := []row{}
		for _, name := range slices.Sorted(maps.Keys(cfg.Tenants)) {
			c := cfg.Tenants[name]
			issuer := cfg.TenantURL(name)
			all = append(all, row{name, c.Name, cmp.Or(c.Resource, issuer+tenant.MCPPath), issuer, c.Provider, c.Backend})
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "TENANT\tPROVIDER\tURL\tBACKEND")
		for _, r := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Tenant, r.Provider, r.URL, r.Backend)
		}
		return table.Flush()
	})
	return cmd
}
