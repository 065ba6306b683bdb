package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// What a list shows can be given as it is, though it begins with a hyphen.
func TestIDsMayBeginWithAHyphen(t *testing.T) {
	t.Parallel()
	const one, two = "-HyY7DxIsMCNHa5dA6k2wQ", "--yY7DxIsMCNHa5dA6k2wQ"
	root := &cobra.Command{Use: "sallyport"}
	root.AddCommand(clientCommand(system{}), grantCommand(system{}))
	for name, c := range map[string]struct{ args, want []string }{
		"in front of a flag":     {[]string{"client", "block", "music", one, "-c", "f"}, []string{"client", "block", "music", "-c", "f", "--", one}},
		"two hyphens":            {[]string{"grant", "revoke", "-c", "f", "music", two}, []string{"grant", "revoke", "-c", "f", "music", "--", two}},
		"behind a switch":        {[]string{"client", "block", "music", "--force", one}, []string{"client", "block", "music", "--force", "--", one}},
		"the value of a flag":    {[]string{"grant", "revoke", "music", "--account", one}, nil},
		"and of a short one":     {[]string{"client", "list", "-c", one, "music"}, nil},
		"behind -- already":      {[]string{"client", "block", "music", "--", one}, nil},
		"none":                   {[]string{"client", "block", "music", "HyY7DxIsMCNHa5dA6k2wQQ"}, nil},
		"a flag, and no id":      {[]string{"client", "block", "music", "x", "--force"}, nil},
		"something else misread": {[]string{"client", "block", "music", "-HyY7"}, nil},
		"a verb that is not":     {[]string{"clients", one}, nil},
	} {
		if c.want == nil {
			c.want = c.args
		}
		if got := idsLast(root, c.args); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"client", "block", "-c", "/nowhere/sallyport.yaml", "music", two}, system{out: &out, err: &errs}); code != exitFailed || strings.Contains(errs.String(), "flag") {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}
