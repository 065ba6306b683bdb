package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestProductionBuildHasNoFaults looks at what is compiled without tags.
func TestProductionBuildHasNoFaults(t *testing.T) {
	t.Parallel()
	files := func(tags string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "go", "list", "-tags", tags, "-f", "{{.GoFiles}}", ".").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if got := files(""); strings.Contains(got, "faults_on.go") || !strings.Contains(got, "faults_off.go") {
		t.Errorf("a production build is made of %s", got)
	}
	if got := files("faults"); !strings.Contains(got, "faults_on.go") {
		t.Errorf("the test build is made of %s", got)
	}
}
