package sdk

import (
	"encoding/hex"
	"io"
	"testing"
)

// TestRandomIsTheStreamOfTheRustSDK: sdk/rust/src/random.rs has the same bytes.
func TestRandomIsTheStreamOfTheRustSDK(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ seed, first, later string }{
		{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "7c39343fea79690327bc89ebc253d40c", "4a8a24111fc61588145f0de09201975c6c9f8dd54e31a3410d7412be30d35fff"},
		{"", "614fe68b2524daabb990097b192155b4", "43697297b8e20998ea2ee130a5393266960a21dcc9303593806dda7d4fdda746"},
	} {
		b := make([]byte, 4096)
		if _, err := io.ReadFull(newRandom(c.seed), b); err != nil {
			t.Fatal(err)
		}
		if first, later := hex.EncodeToString(b[:16]), hex.EncodeToString(b[984:1016]); first != c.first || later != c.later {
			t.Errorf("%q: %s, %s", c.seed, first, later)
		}
	}
}
