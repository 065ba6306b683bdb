package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
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
		fmt.Fprintf(w, "name      %s %s (%s)\n", plain(m.Name), plain(m.Version), plain(m.DisplayName))
		fmt.Fprintf(w, "file      %s, %.2f MB\n", plain(info.Path), float64(info.Size)/1e6)
		fmt.Fprintf(w, "digest    %s\n", info.Digest)
		fmt.Fprintf(w, "abi       %s\n", plain(m.ABI))
		fmt.Fprintf(w, "hosts     %s\n", plain(strings.Join(m.Hosts, " ")))
		fmt.Fprintf(w, "can       pkce=%v refresh=%v revoke=%v identity=%v\n",
			m.Capabilities.PKCE, m.Capabilities.Refresh, m.Capabilities.Revoke, m.Capabilities.Identity)
		for _, s := range m.Scopes {
			fmt.Fprintf(w, "scope     %-24s %s\n", plain(s.Name), plain(s.Description))
		}
		return printSettings(w, json.RawMessage(m.Settings))
	})
	return cmd
}

// setting is a property of a settings schema, as far as it is printed.
type setting struct {
	Type        any                 `json:"type"`
	Description string              `json:"description"`
	Default     json.RawMessage     `json:"default"`
	Enum        []json.RawMessage   `json:"enum"`
	Required    []string            `json:"required"`
	Properties  map[string]*setting `json:"properties"`
}

// printSettings prints a settings schema, one setting a line, by name.
func printSettings(w io.Writer, schema json.RawMessage) error {
	if len(schema) == 0 {
		return nil
	}
	var s setting
	if err := json.Unmarshal(schema, &s); err != nil {
		return fmt.Errorf("the schema of the settings cannot be read: %w", err)
	}
	s.print(w, "")
	return nil
}

// print prints the properties below a name.
func (s *setting) print(w io.Writer, above string) {
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		if p == nil {
			continue
		}
		fmt.Fprintf(w, "setting   %-24s %s\n", plain(above+name), plain(p.words(slices.Contains(s.Required, name))))
		p.print(w, above+name+"/")
	}
}

// words describes a setting: what it takes, its default, and its description.
func (s *setting) words(required bool) string {
	var facts []string
	switch t := s.Type.(type) {
	case string:
		facts = append(facts, t)
	case []any:
		facts = append(facts, strings.Trim(fmt.Sprint(t...), "[]"))
	}
	for _, one := range s.Enum {
		facts = append(facts, string(one))
	}
	if required {
		facts = append(facts, "required")
	}
	if len(s.Default) > 0 {
		facts = append(facts, "default "+string(s.Default))
	}
	text := s.Description
	if len(facts) > 0 {
		text = strings.TrimSpace("(" + strings.Join(facts, ", ") + ") " + text)
	}
	return text
}
