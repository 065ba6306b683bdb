package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/seal"
)

func keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Server keys", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(&cobra.Command{
		Use:     "new",
		Short:   "Print a new server key: 32 random bytes in base64url",
		Long:    "Print a new server key. Everything Sallyport stores is sealed with it: keep it\nlike a password, and keep it, because without it every user logs in again.",
		Example: "  (umask 077; sallyport key new > /run/secrets/sallyport-key)",
		Args:    cobra.NoArgs,
		RunE: verb(func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), seal.NewKey().Reveal())
			return err
		}),
	})
	return cmd
}
