package sdktest

import (
	"cmp"
	"errors"
	"fmt"
	"go/build"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Imports looks at the packages that the provider in dir imports, for the system
// that a module runs on. broken are those that cannot work in the sandbox and do
// work in go test, so that a test shows another provider than a server runs; heavy
// are those that work and make the module large. Each says what to use instead. A
// folder without Go files has neither.
func Imports(dir string) (broken, heavy []string, err error) {
	target := build.Default
	target.GOOS, target.GOARCH, target.CgoEnabled = "wasip1", "wasm", false
	pkg, err := target.ImportDir(dir, 0)
	if _, none := errors.AsType[*build.NoGoError](err); none {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sdktest: imports of %s: %w", dir, err)
	}
	if !pkg.IsCommand() { // a module is built from a package main
		return nil, nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(pkg.ImportPos)) {
		file := filepath.Base(pkg.ImportPos[name][0].Filename)
		root, _, _ := strings.Cut(name, "/")
		if why := cmp.Or(unusable()[name], unusable()[root+"/..."]); why != "" {
			broken = append(broken, fmt.Sprintf("%s imports %s: %s", file, name, why))
		}
		if why := large()[name]; why != "" {
			heavy = append(heavy, fmt.Sprintf("%s imports %s: %s", file, name, why))
		}
	}
	return broken, heavy, nil
}

// unusable are packages that need what a module does not have.
func unusable() map[string]string {
	const (
		os      = "a plugin has no files, environment and processes, and go test has yours; take what it needs from the tenant's settings"
		network = "a plugin has no network of its own; make requests with Conversation.Do"
	)
	return map[string]string{"os": os, "os/...": os, "syscall": os, "net": network}
}

// large are packages with which a module grows by a multiple.
func large() map[string]string {
	return map[string]string{
		"encoding/json": "the module grows by half and calls get slower; read and write JSON with sdk/tree",
		"fmt":           "the module grows and calls get slower; join text with + and package strconv",
		"net/http":      "the module grows by several times, and its client reaches nothing; make requests with Conversation.Do",
	}
}
