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
	})
	if err != nil || !strings.Contains(out.String(), "warning: old.wasm: its ABI names no secret_urls") || strings.Contains(out.String(), "warning: new.wasm") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
