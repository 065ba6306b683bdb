package main

import (
	"strings"
	"testing"
)

func TestPluginListMarksWhatMaySendSecretsAnywhere(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := printPlugins(&out, []listed{
		{File: "old.wasm", Name: "old", Digest: "sha256:0123456789ab", Secrets: "any host"},
		{File: "new.wasm", Name: "new", Digest: "sha256:0123456789ab", Secrets: "declared URLs"},
	}, false)
	if err != nil || !strings.Contains(out.String(), "warning: old.wasm: its ABI names no secret_urls") || strings.Contains(out.String(), "warning: new.wasm") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestPluginListOfAServer(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := printPlugins(&out, []listed{
		{File: "a.wasm", Size: 2e6, Name: "a", Version: "1.0.0", Digest: "sha256:0123456789ab", Tenants: []string{"music", "octo"}},
		{Name: "gone", Version: "1.0.0", Digest: "sha256:0123456789ac", Secrets: "any host"},
	}, true)
	for _, want := range []string{" FILE ", " TENANTS ", "2.00 MB  a.wasm", "music octo", "-        (deleted or replaced)", "warning: gone: its ABI"} {
		if err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("no %q (%v) in\n%s", want, err, out.String())
		}
	}
}
