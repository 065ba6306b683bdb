package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestSchemaNamesCommandsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../core/store/SCHEMA.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "| `sallyport client unblock` |") {
		t.Error("the row blocked does not say which command ends a block")
	}
	root := &cobra.Command{Use: "sallyport"}
	root.AddCommand(clientCommand(system{}), grantCommand(system{}), tenantCommand(system{}), storeCommand(system{}), keyCommand(), pluginCommand(system{}))
	for _, m := range regexp.MustCompile("`sallyport ([a-z]+(?: [a-z]+)*)`").FindAllStringSubmatch(string(page), -1) {
		words := strings.Fields(m[1])
		if cmd, rest, err := root.Find(words); err != nil || len(rest) > 0 || cmd == nil {
			t.Errorf("SCHEMA.md names sallyport %s, which is not a command", m[1])
		}
	}
}

// TestFuzzCommandsBoundMinimizing fails for a command of the documents that
// would make a few runs a second: without the flag the go command spends most of
// a short run on making its inputs shorter.
func TestFuzzCommandsBoundMinimizing(t *testing.T) {
	t.Parallel()
	found := 0
	for _, pattern := range []string{"../../Makefile", "../../*.md", "../../*/*.md", "../../sdk/*/*.md", "templates/provider/*"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if text, err := os.ReadFile(file); err == nil { // a folder is not read
				for line := range strings.Lines(string(text)) {
					if !strings.Contains(line, " -fuzz ") {
						continue
					}
					if found++; !strings.Contains(line, " -fuzzminimizetime 10x") {
						t.Errorf("%s: %s has no -fuzzminimizetime 10x", file, strings.TrimSpace(line))
					}
				}
			}
		}
	}
	if found < 2 {
		t.Errorf("%d fuzz commands found, want those of the Makefile and of sdk/README.md", found)
	}
}
