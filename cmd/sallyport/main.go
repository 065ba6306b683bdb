// Command sallyport is the OAuth gateway for remote MCP servers. Package main
// reads the command line and wires packages config, core and plugins together;
// it is the only place that sees all three. Each verb has a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/core/store"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the verb ran and did not succeed
	exitUsage  = 2 // the command line makes no sense
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, force := untilSignal(signals, func() { signal.Stop(signals) }) // a third signal kills the process
	os.Exit(run(ctx, os.Args[1:], system{out: os.Stdout, err: os.Stderr, environ: os.Environ(), faults: newFaults(os.Environ()), force: force}))
}

// system is what a verb sees of the process around it.
type system struct {
	out, err io.Writer
	environ  []string
	faults   faults
	force    context.Context       // ends when a verb that is ending has to end at once
	given    func(key string) bool // whether the operator set a key; nil: all are
	warnings []string              // found while the configuration was read
	store    store.Driver          // instead of the configuration's; nil: that one
	look     bool                  // make no file and no folder that is not there
}

// failure marks errors of a verb that ran, as against a wrong command line.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// verb adapts a function to cobra and marks its errors.
func verb(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := f(cmd, args); err != nil {
			return failure{err}
		}
		return nil
	}
}

// suggest finds misspelt verbs below cmd: cobra does so only for a root without
// Args, and exits with 0 below it.
func suggest(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		cmd.Args, cmd.SuggestionsMinimumDistance = knownVerb, 2
	}
	for _, below := range cmd.Commands() {
		suggest(below)
	}
}

// knownVerb refuses arguments of a command that only has verbs below it, with
// the verbs that may have been meant.
func knownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(text)
}

// showHelp is what a command does that only has verbs below it. Without a
// RunE cobra would take a misspelt verb for a wish for help, and exit with 0.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// run is the whole program.
func run(ctx context.Context, args []string, sys system) int {
	root := &cobra.Command{
		Use:           "sallyport",
		Short:         "The OAuth gateway for remote MCP servers",
		Long:          "Sallyport puts OAuth in front of remote MCP servers: towards MCP clients it is an\nauthorization server, towards the service behind it is a client, and what is\nparticular about that service is a plugin.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          showHelp,
	}
	root.Version = version()
	root.SetVersionTemplate(versionLine())
	root.SetOut(sys.out)
	root.SetErr(sys.err)
	root.AddCommand(serveCommand(sys), checkCommand(sys), demoCommand(sys), keyCommand(), clientCommand(sys), grantCommand(sys), tenantCommand(sys), storeCommand(sys), pluginCommand(sys), versionCommand(), compileCommand())
	suggest(root)
	root.SetArgs(idsLast(root, args))

	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, new(failure)):
		fmt.Fprintf(sys.err, "sallyport: %v\n", err)
		return exitFailed
	default:
		fmt.Fprintf(sys.err, "sallyport: %v\nTry: sallyport --help\n", err)
		return exitUsage
	}
}
