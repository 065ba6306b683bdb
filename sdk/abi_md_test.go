package sdk_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

// TestWorkedExample holds the dumps in ABI.md against the code: the provider
// answers the first with the second and the third with the fourth.
func TestWorkedExample(t *testing.T) {
	page, err := os.ReadFile("ABI.md")
	if err != nil {
		t.Fatal(err)
	}
	var documents [][]byte
	for i, block := range strings.Split(string(page), "```") {
		if i%2 == 1 {
			documents = append(documents, undump(t, block))
		}
	}
	if len(documents) != 4 {
		t.Fatalf("ABI.md has %d dumps, want 4", len(documents))
	}
	p := &oauth2.Provider{Config: oauth2.Config{
		AuthorizeURL: "https://up.example/authorize",
		TokenURL:     "https://up.example/token",
		ClientAuth:   sdk.ClientSecretBasic,
	}}
	for i := 0; i < 4; i += 2 {
		if got := sdk.Run(p, documents[i]); !bytes.Equal(got, documents[i+1]) {
			t.Errorf("the answer to dump %d is\n%s", i+1, hex.Dump(got))
		}
	}
}

// undump reads what hex.Dump writes.
func undump(t *testing.T, text string) []byte {
	t.Helper()
	var out []byte
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		digits, _, _ := strings.Cut(line[min(8, len(line)):], "|")
		b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, b...)
	}
	return out
}
