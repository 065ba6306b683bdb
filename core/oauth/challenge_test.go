package oauth

import (
	"slices"
	"strings"
	"testing"
)

func TestChallengedScopes(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		`Bearer error="insufficient_scope", scope="a b"`: "a b",
		`bearer scope=a`: "a",
		`Bearer scope = "a" , error = insufficient_scope`:                      "a",
		`Basic realm="x, Bearer scope=\"no\"", Bearer realm="y", scope="a\"b"`: `a"b`,
		`Negotiate abc==, Bearer scope="a"`:                                    "a",
		`DPoP scope="a"`:                                                       "",
		`Bearer error="invalid_token", scope="a"`:                              "",
		`Bearer scope="a`:                                                      "",
		`Bearer`:                                                               "",
		``:                                                                     "",
	} {
		if got := strings.Join(ChallengedScopes([]string{sent}), " "); got != want {
			t.Errorf("%s: %q, want %q", sent, got, want)
		}
	}
}

// FuzzChallengedScopes wants an end, and scopes that stand in the challenge.
func FuzzChallengedScopes(f *testing.F) {
	for _, seed := range []string{`Bearer error="insufficient_scope", scope="a b"`, `Basic realm="x\"", Bearer scope=a,`, `Negotiate abc==`, `Bearer ="=`, "a\t=\t\"\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, scope := range ChallengedScopes([]string{text}) {
			if scope == "" || scope == OfflineAccess || !strings.Contains(strings.ReplaceAll(text, `\`, ""), strings.ReplaceAll(scope, `\`, "")) {
				t.Errorf("%q: scope %q", text, scope)
			}
		}
		if !slices.Equal(ChallengedScopes([]string{text}), ChallengedScopes([]string{text})) {
			t.Errorf("%q: two answers", text)
		}
	})
}
