package upstream

import (
	"strings"
	"testing"
)

func TestIdentityTellsAppsApart(t *testing.T) {
	t.Parallel()
	seen := map[Identity][]string{}
	for _, parts := range [][]string{
		{"oauth2", "c", "https://a.example"}, {"oauth2", "c", "https://b.example"}, {"oauth2", "d", "https://a.example"},
		{"oidc", "c", "https://a.example"}, {"oauth2c", "", "https://a.example"}, {"oauth2", "chttps://a.example", ""},
	} {
		id := NewIdentity(parts[0], parts[1], parts[2])
		if before := seen[id]; before != nil {
			t.Errorf("%q and %q have one identity", before, parts)
		}
		seen[id] = parts
		if !IsIdentity(string(id)) {
			t.Errorf("%s is not written as an identity", id)
		}
	}
	for _, text := range []string{"", "up_", "https://a.example", "up_AAAA", strings.Repeat("A", 22), "up_" + strings.Repeat("!", 22)} {
		if IsIdentity(text) {
			t.Errorf("%q is written as an identity", text)
		}
	}
}

func TestAccountKeyHashHoldsBothParts(t *testing.T) {
	t.Parallel()
	a, b := AccountKey{Issuer: "up_a", ID: "42"}, AccountKey{Issuer: "up_b", ID: "42"}
	if a.Hash() == b.Hash() || a.Hash() == (AccountKey{Issuer: "up_a", ID: "43"}).Hash() || a.Hash() != (AccountKey{Issuer: "up_a", ID: "42"}).Hash() {
		t.Error("an account's hash is not that of its issuer and id")
	}
	if (AccountKey{Issuer: "up_a4", ID: "2"}).Hash() == a.Hash() {
		t.Error("the parts of an account run into each other")
	}
}
