package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/plugins"
)

func pluginListCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list (-c FILE | --dir DIR)",
		Short: "List the plugins of a folder, and what is refused there",
		Long: "List loads every .wasm file of a plugin folder as serve does and prints what it\n" +
			"is; a file that serve would refuse is listed with the reason. Refused files are\n" +
			"no failure here: see check for that.\n" +
			"With -c, a running server is asked first, at the socket that --socket,\n" +
			"SALLYPORT_ADMIN_SOCKET or server/admin_socket names: it lists what it has in\n" +
			"service, the tenants that use it, and what it refuses.",
		Example: "  sallyport plugin list --dir plugins/dist\n" +
			"  sallyport plugin list -c sallyport.yaml --json | jq -r '.[] | select(.refused) | .file'",
		Args: cobra.NoArgs,
	}
	flags := addAdminFlags(cmd, sys)
	dir := cmd.Flags().String("dir", "", "the plugin `folder`")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.MarkFlagsOneRequired("config", "dir", "socket")
	cmd.MarkFlagsMutuallyExclusive("config", "dir")
	cmd.MarkFlagsMutuallyExclusive("socket", "dir")
	cmd.RunE = verb(func(cmd *cobra.Command, _ []string) error {
		var o *opened
		var all []listed
		var err error
		if *dir == "" {
			if o, err = flags.dial(cmd); err != nil {
				return err
			}
		}
		if o != nil {
			err = o.remote.Plugins(cmd.Context(), &all)
		} else {
			all, err = flags.listFolder(cmd, *dir)
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		printReplica(cmd.OutOrStdout(), o)
		return printPlugins(cmd.OutOrStdout(), all, o != nil)
	})
	return cmd
}

// listFolder lists a folder, or that of the configuration.
func (f adminFlags) listFolder(cmd *cobra.Command, folder string) ([]listed, error) {
	strict := false
	if folder == "" {
		cfg, err := loadConfig(cmd, f.sys, *f.files)
		if err != nil {
			return nil, err
		}
		folder, strict = cfg.Plugins.Dir, cfg.Plugins.Strict
	}
	return listPlugins(cmd.Context(), f.sys, folder, strict)
}

// listed is one file of a plugin folder, or a plugin in service.
type listed struct {
	File    string   `json:"file,omitempty"`
	Name    string   `json:"name,omitempty"`
	Version string   `json:"version,omitempty"`
	Digest  string   `json:"digest,omitempty"`
	Size    int      `json:"size,omitempty"` // bytes
	Hosts   []string `json:"hosts,omitempty"`
	Secrets string   `json:"secrets,omitempty"` // where the client secret may go: declared URLs or any host
	Tenants []string `json:"tenants,omitempty"` // of the running server that use it
	Refused string   `json:"refused,omitempty"` // why it is not in service
}

// listPlugins loads a folder's plugins and returns its files by name.
func listPlugins(ctx context.Context, sys system, dir string, strict bool) (all []listed, err error) {
	cfg, err := workbench(sys)
	if err != nil {
		return nil, err
	}
	cfg.Dirs, cfg.Strict = []string{dir}, strict
	host, err := plugins.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, host.Close(context.WithoutCancel(ctx))) }()
	paths, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.wasm"))
	if err != nil {
		return nil, err
	}
	faults := host.Faults()
	all = []listed{}
	for _, path := range paths {
		l := listed{File: path}
		info, err := plugins.Inspect(path)
		if err == nil {
			m := info.Manifest
			l.Name, l.Version, l.Digest, l.Size, l.Hosts = m.Name, m.Version, info.Digest, info.Size, m.Hosts
			l.Secrets = secretPlaces(info)
		}
		if i := slices.IndexFunc(faults, func(f plugins.Fault) bool { return f.Path == path }); i >= 0 {
			l.Refused = refusal(faults[i])
		}
		all = append(all, l)
	}
	return all, nil
}

// escapeGlob makes a path stand for itself in a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// printPlugins writes for people. Of a server's plugins it shows the tenants.
func printPlugins(w io.Writer, all []listed, served bool) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	users := ""
	if served {
		users = "TENANTS\t"
	}
	fmt.Fprintf(table, "NAME\tVERSION\tDIGEST\tSIZE\tFILE\t%sHOSTS\n", users)
	for _, l := range all {
		if l.Refused != "" {
			continue
		}
		size := fmt.Sprintf("%.2f MB", float64(l.Size)/1e6)
		if l.Size == 0 {
			size = "-"
		}
		if served {
			users = cmp.Or(strings.Join(l.Tenants, " "), "-") + "\t"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s%s\n", l.Name, l.Version, shortDigest(l.Digest),
			size, cmp.Or(l.File, "(deleted or replaced)"), users, strings.Join(l.Hosts, " "))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, l := range all {
		if l.Refused == "" && l.Secrets == "any host" {
			fmt.Fprintf(w, "warning: %s: its ABI names no secret_urls, so it may send the client secret to each of its hosts; build it with the SDK of this release\n", cmp.Or(l.File, l.Name))
		}
		if l.Refused != "" {
			fmt.Fprintf(w, "refused: %s: %s\n", l.File, l.Refused)
		}
	}
	return nil
}

// shortDigest is enough of a digest to tell files apart by eye.
func shortDigest(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }
