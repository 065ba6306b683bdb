package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/plugins"
)

func pluginCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Build and look at plugins", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(pluginBuildCommand(), pluginInspectCommand())
	return cmd
}

func pluginBuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build DIR...",
		Short: "Build providers to .wasm files with the stock Go toolchain",
		Long:  "Build compiles each provider package to DIR.wasm in the output folder, asks it\nto describe itself and puts the answer into the file, where a host finds it\nbefore it runs any code.",
		Example: "  sallyport plugin build ./providers/github\n" +
			"  sallyport plugin build -o /var/lib/sallyport/plugins ./providers/*",
		Args: cobra.MinimumNArgs(1),
	}
	out := cmd.Flags().StringP("out", "o", ".", "`folder` to write to")
	cmd.RunE = verb(func(cmd *cobra.Command, dirs []string) error {
		if err := os.MkdirAll(*out, 0o755); err != nil {
			return err
		}
		for _, dir := range dirs {
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			file := filepath.Join(*out, filepath.Base(abs)+".wasm")
			info, err := plugins.Build(cmd.Context(), plugins.BuildOptions{Dir: dir, Out: file, Log: cmd.ErrOrStderr()})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s %s  %.2f MB  %s\n",
				file, info.Manifest.Name, info.Manifest.Version, float64(info.Size)/1e6, info.Digest)
		}
		return nil
	})
	return cmd
}

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
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(map[string]any{"path": info.Path, "digest": info.Digest, "size": info.Size, "manifest": info.Manifest})
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
