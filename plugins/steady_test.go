package plugins

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestManifestThatChangesWithTimeIsNotBuilt(t *testing.T) {
	t.Parallel()
	_, err := Build(t.Context(), BuildOptions{Dir: "testdata/guests/timed", Out: filepath.Join(t.TempDir(), "timed.wasm")})
	if err == nil || !strings.Contains(err.Error(), "keep the time and random values out of Manifest") {
		t.Errorf("got %v", err)
	}
}

// TestManifestThatChangesWithTimeIsNotLoaded: a module that other tools packed
// is not to be built again, which would not help.
func TestManifestThatChangesWithTimeIsNotLoaded(t *testing.T) {
	t.Parallel()
	wasm, err := BuildOptions{Dir: "testdata/guests/timed"}.compile(t.Context(), filepath.Join(t.TempDir(), "module.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	s := newShelf(t, map[string][]byte{"timed.wasm": AppendManifest(wasm, []byte(manifestOf("timed", "1.0.0", anySettings, "a.example")))})
	if fault := s.fault(); !strings.Contains(fault, "keep the time and random values out of Manifest") {
		t.Errorf("got %s", fault)
	}
}
