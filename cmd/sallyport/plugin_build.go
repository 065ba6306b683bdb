package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/plugins"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

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
			if err := warnOfImports(cmd.ErrOrStderr(), dir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s  %s %s  %.2f MB  %s\n",
				file, info.Manifest.Name, info.Manifest.Version, float64(info.Size)/1e6, info.Digest)
		}
		return nil
	})
	return cmd
}

// warnOfImports writes which packages a provider imports that a module cannot use,
// or that make it large.
func warnOfImports(w io.Writer, dir string) error {
	broken, heavy, err := sdktest.Imports(dir)
	for _, what := range slices.Concat(broken, heavy) {
		fmt.Fprintf(w, "warning: %s\n", what)
	}
	return err
}
