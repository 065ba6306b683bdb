package oauth

import (
	"slices"
	"strings"
)

// PromptNone is the prompt of a client that wants its user to see nothing.
const PromptNone = "none"

// ParsePrompt reads a prompt parameter (OpenID Connect Core §3.1.2.1) and
// returns PromptNone or what is to be asked at the upstream: login,
// select_account, both with a space between, or "". Consent is asked here every
// time, so asking for it changes nothing; what we do not know is ignored.
func ParsePrompt(s string) (string, error) {
	values := strings.Fields(s)
	if slices.Contains(values, PromptNone) {
		if len(values) > 1 {
			return "", Errorf(InvalidRequest, "prompt=none allows no other value beside it")
		}
		return PromptNone, nil
	}
	return strings.Join(Intersect([]string{"login", "select_account"}, values), " "), nil
}
