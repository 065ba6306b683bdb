package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/plugins"
)

func pluginInspectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "inspect FILE",
		Short:   "Print what a plugin says about itself; none of its code runs",
		Example: "  sallyport plugin inspect github.wasm\n  sallyport plugin inspect --json github.wasm | jq .manifest.hosts",
		Args:    cobra.ExactArgs(1),
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		info, err := plugins.Inspect(args[0])
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		if *asJSON {
			return printJSON(w, map[string]any{"path": info.Path, "digest": info.Digest, "size": info.Size, "manifest": info.Manifest})
		}
		m := info.Manifest
		fmt.Fprintf(w, "name      %s %s (%s)\n", m.Name, m.Version, m.DisplayName)
		fmt.Fprintf(w, "file      %s, %.2f MB\n", info.Path, float64(info.Size)/1e6)
		fmt.Fprintf(w, "digest    %s\n", info.Digest)
		fmt.Fprintf(w, "abi       %s\n", m.ABI)
		fmt.Fprintf(w, "hosts     %s\n", strings.Join(m.Hosts, " "))
		fmt.Fprintf(w, "can       pkce=%v refresh=%v revoke=%v identity=%v\n",
			m.Capabilities.PKCE, m.Capabilities.Refresh, m.Capabilities.Revoke, m.Capabilities.Identity)
		for _, s := range m.Scopes {
			fmt.Fprintf(w, "scope     %-24s %s\n", s.Name, s.Description)
		}
		return nil
	})
	return cmd
}
