package oauth2

import (
	"testing"

	"github.com/sallyport/sallyport/sdk/tree"
)

// TestInstants: a moment is read as it is sent, in whatever unit, and one without
// an end is not one that has passed.
func TestInstants(t *testing.T) {
	t.Parallel()
	const want = 1_796_081_896
	for text, at := range map[string]int64{
		`1796081896`: want, `"1796081896"`: want, `1796081896.172`: want, `1796081896172`: want, `1796081896172277`: want, `1796081896172277123`: want,
		`"2026-12-01T00:00:00Z"`: 1796083200, `253402300799`: 0, `"9999-12-31T23:59:59Z"`: 0, `9999999999999999999`: 0, `"9999-12-31T23:59:59-12:00"`: 0,
		`0`: 0, `-1`: 0, `null`: 0, `""`: 0, `"never"`: 0, `true`: 0, `1e300`: 0, `-1e300`: 0, `32503680001`: 32503680001, `"0001-01-01T00:00:00Z"`: 0, `[]`: 0,
	} {
		v, err := tree.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := instant(v); got != at {
			t.Errorf("%s: %d, want %d", text, got, at)
		}
	}
}
