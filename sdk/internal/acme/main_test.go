package main

import (
	"os"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk/sdktest"
)

func TestTranscripts(t *testing.T) { sdktest.Run(t, provider(), "testdata/*.txtar") }

// TestPage holds sdk/README.md to this package.
func TestPage(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\npackage main\n")
	if code == "" || !strings.Contains(string(page), "\npackage main\n"+code+"```") {
		t.Error("sdk/README.md does not show main.go as it is")
	}
}
