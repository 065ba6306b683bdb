package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func checkCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "check -c FILE",
		Short:   "Do all that serve does, but listen",
		Long:    "Check reads the configuration, opens the store, loads the plugins and has them\njudge their settings. Whatever is wrong is printed, all of it, and nothing is\nleft behind. Where cimd is on it also fetches the metadata documents of widely used\nclients, and warns of those that cannot be reached from here.",
		Example: "  sallyport check -c sallyport.yaml",
		Args:    cobra.NoArgs,
	}
	files := configFlags(cmd)
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(cmd, sys, *files)
		if err != nil {
			return err
		}
		cfg.Log.Level = "off" // what is wrong comes back as the error, once
		d, err := assemble(cmd.Context(), cfg, sys)
		if err != nil {
			return err
		}
		for _, warning := range warnDocuments(cmd.Context(), d.fetch.Do, cfg) {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
		}
		tenants, modules := d.server.Tenants().Len(), len(d.host.Modules())
		// Serve goes on without a plugin file that no tenant needs; here it counts.
		if err := errors.Join(d.refused(), d.close()); err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "ok: %d tenants, %d plugins\n", tenants, modules)
		return err
	})
	return cmd
}
