package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/plugins"
)

// compileVerb is the program as the compiler of one module. A module made to
// exhaust or crash the compiler takes this process with it and no other.
const compileVerb = "compile-module"

func compileCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    compileVerb + " DIR",
		Short:  "Compile a module from standard input into DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
	}
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		if err := limitProcess(); err != nil {
			return err
		}
		code, err := io.ReadAll(cmd.InOrStdin())
		if err != nil {
			return err
		}
		return plugins.Compile(cmd.Context(), args[0], code)
	})
	return cmd
}

// childCompiler returns the Compiler that runs this program's compileVerb. The
// child gets no environment: there are secrets in ours.
func childCompiler() (plugins.Compiler, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, dir string, code []byte) error {
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, self, compileVerb, dir)
		cmd.Args[0] = "sallyport"
		cmd.Env = []string{}
		cmd.Stdin = bytes.NewReader(code)
		cmd.Stderr = &said
		err := cmd.Run()
		if _, ended := errors.AsType[*exec.ExitError](err); ended {
			line, _, _ := strings.Cut(strings.TrimPrefix(said.String(), "sallyport: "), "\n")
			return fmt.Errorf("the compiler's process ended with %w: %s", err, line)
		}
		return err
	}, nil
}
