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
