package oauth2

import (
	"testing"

	"github.com/sallyport/sallyport/sdk/tree"
)

// TestMembersAreNames: a detail lists the names in an answer and none of its
// values, not even one that was read as a name.
func TestMembersAreNames(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"token_type":"bearer","data":{"token":"s3cret","expires-in":5}}`:          "its members: token_type, data, data/token, data/expires-in",
		`{"eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9.c2ln":"x","scope":"a"}`:             "its members: scope",
		`{"0123456789abcdef0123456789abcdef0":"x"}`:                                 "it has no members",
		`{"ok":true,"by_user":{"ada@music.example":{"id":1},"U-1":{"token":"s3"}}}`: "its members: ok, by_user, by_user/U-1",
		`{"a b":1,"":2,"gho_secret":""}`:                                            "it has no members",
		`["s3cret"]`:                                                                "it has no members",
	} {
		answer, err := tree.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := members(answer); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
