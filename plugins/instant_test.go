package plugins

import (
	"encoding/json"
	"math"
	"testing"
)

// TestMomentsOfPluginsCanBeStored: RFC 3339, in which grants hold times, ends with
// the year 9999.
func TestMomentsOfPluginsCanBeStored(t *testing.T) {
	t.Parallel()
	for unix, none := range map[int64]bool{
		math.MinInt64: true, -1: true, 0: true, 1: false, 1_796_081_896: false, 253402300799: false, 253402300800: true, 1_796_081_896_172: true, math.MaxInt64: true,
	} {
		at := instant(unix)
		if _, err := json.Marshal(at); err != nil || at.IsZero() != none {
			t.Errorf("%d: %v, %v", unix, at, err)
		}
	}
}
