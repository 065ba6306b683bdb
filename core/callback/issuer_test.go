package callback

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/oplog"
)

// A callback without the issuer demanded is refused, and what the operator reads
// is about iss and not about accounts.
func TestRefusedIssuerNamesItsRemedy(t *testing.T) {
	t.Parallel()
	const want = "https://id.test"
	for name, c := range map[string]struct {
		query          url.Values
		says, remedies string // "": admitted
	}{
		"right":   {url.Values{"iss": {want}}, "", ""},
		"missing": {url.Values{"code": {"c"}}, "it has no iss", "require_iss: false"},
		"another": {url.Values{"iss": {"https://evil.test/\n"}}, `iss is "https://evil.test/\n"`, "set its issuer"},
		"twice":   {url.Values{"iss": {want, want}}, "more than one iss", "set its issuer"},
	} {
		err := checkIssuer(want, c.query)
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		remedied, ok := errors.AsType[oplog.Remedied](oauth.AsError(err).Cause)
		if !ok || !strings.Contains(err.Error(), c.says) || !strings.Contains(remedied.Remedy(), c.remedies) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
