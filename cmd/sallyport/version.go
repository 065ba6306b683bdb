package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/sdk/abi"
)

// version is the version of the module this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Example: "  sallyport version", Args: cobra.NoArgs,
		RunE: verb(func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionLine())
			return err
		}),
	}
}

// versionLine is what version and --version print.
func versionLine() string {
	return fmt.Sprintf("sallyport %s (plugin ABI %s, %s %s/%s)\n", version(), abi.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
