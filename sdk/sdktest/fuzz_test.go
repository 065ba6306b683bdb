package sdktest

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
)

// careless is a provider with the faults that Fuzz looks for: which one is
// what the upstream answers.
type careless struct{ sdk.Provider }

func (careless) Manifest() sdk.Manifest { return sdk.Manifest{Name: "careless", Version: "1"} }

func (careless) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	for {
		resp, err := c.Do(sdk.Get("https://up.test/"))
		if err != nil {
			return nil, err
		}
		switch string(resp.Body) {
		case "panic":
			panic("careless")
		case "bug":
			return nil, sdk.Bug("", "careless")
		case "leak":
			return nil, sdk.Unavailable("bad code "+in.Query.Get("code"), "")
		case "again":
			continue
		}
		return &sdk.Credential{AccessToken: "at"}, nil
	}
}

func TestFuzzFindsFaults(t *testing.T) {
	call := func(input []byte) ([]byte, error) { return sdk.Run(careless{}, input), nil }
	s, err := readStory(call, "-- call --\nop: exchange\n\n"+`{"query": [["code", "c0de"]]}`+"\n-- response --\n200\n\nfine\n")
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		"fine": "", "panic": "bug of its own", "bug": "bug of its own", "leak": "holds a secret", "again": "does not end",
	} {
		got := s.changed(0, 200, "content-type: text/plain", []byte(body)).hold(call)
		if got == "" != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
