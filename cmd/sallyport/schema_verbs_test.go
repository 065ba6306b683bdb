package main

import (
	"os"
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
