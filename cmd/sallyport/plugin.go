package main

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/plugins"
)

func pluginCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "Write, build, try and look at plugins", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(pluginNewCommand(), pluginBuildCommand(), pluginTestCommand(sys), pluginCallCommand(sys),
		pluginInspectCommand(), pluginListCommand(sys))
	return cmd
}

// workbench is how a plugin is run outside of a server: compiled as a server
// does it, and kept where a server of this user keeps it.
func workbench(sys system, privateHosts ...string) (plugins.Config, error) {
	compile, err := childCompiler()
	if err != nil {
		return plugins.Config{}, err
	}
	return plugins.Config{
		Compile:  compile,
		CacheDir: cacheDir(config.Plugins{}, func(string) {}, sys),
		Fetch:    fetch.New(fetch.Config{PrivateHosts: privateHosts, UserAgent: "sallyport/" + version()}),
	}, nil
}

// printJSON writes v for machines.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// grouped writes a number with commas, as people read them.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	var out strings.Builder
	for i, digit := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(digit)
	}
	return out.String()
}
