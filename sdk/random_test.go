package sdk_test

import (
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

// randomOf returns what a provider reads from Random in two parts.
func randomOf(t *testing.T, seed string) string {
	t.Helper()
	p := fake{func(c *sdk.Conversation, _ sdk.ExchangeInput) (*sdk.Credential, error) {
		b := make([]byte, 20)
		if _, err := io.ReadFull(c.Random(), b[:7]); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c.Random(), b[7:]); err != nil {
			return nil, err
		}
		return &sdk.Credential{AccessToken: hex.EncodeToString(b)}, nil
	}}
	doc, err := sdktest.EncodeInput(abi.Input{ABI: abi.Version, Op: abi.OpExchange, Seed: seed, Settings: abi.Raw("{}"), Input: abi.Raw("{}"), Steps: []abi.Step{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	first := sdk.Run(p, doc)
	if string(first) != string(sdk.Run(p, doc)) {
		t.Error("two calls with one seed read other bytes")
	}
	return string(first[4:])
}

// TestRandomIsTheSeeds fixes the bytes of one seed: a provider must read the
// same natively and in the sandbox, and from one release to the next.
func TestRandomIsTheSeeds(t *testing.T) {
	t.Parallel()
	zero, one := randomOf(t, strings.Repeat("0", 64)), randomOf(t, "01"+strings.Repeat("0", 62))
	if zero == one {
		t.Error("two seeds give the same bytes")
	}
	if want := "614fe68b2524daabb990097b192155b4bb7a1328"; !strings.Contains(zero, want) {
		t.Errorf("got %s, want %s", zero, want)
	}
	randomOf(t, "") // a host that gives no seed
}
