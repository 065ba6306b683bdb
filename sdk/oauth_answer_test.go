package sdk_test

import (
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
)

// An unknown code in a 4xx is not an outage; a known one means the same
// everywhere, in capitals too.
func TestUnknownOAuthErrorsCountByStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		code   string
		want   string
	}{
		{400, "not_allowed", abi.KindMisconfigured},
		{403, "not_allowed", abi.KindMisconfigured},
		{0, "not_allowed", abi.KindUnavailable},
		{200, "not_allowed", abi.KindUnavailable},
		{500, "not_allowed", abi.KindUnavailable},
		{408, "not_allowed", abi.KindUnavailable},
		{425, "not_allowed", abi.KindUnavailable},
		{400, "server_error", abi.KindUnavailable},
		{400, "temporarily_unavailable", abi.KindUnavailable},
		{400, "invalid_grant", abi.KindInvalidGrant},
		{500, "invalid_grant", abi.KindInvalidGrant},
		{400, "INVALID_GRANT", abi.KindInvalidGrant},
		{400, "expired_token", abi.KindInvalidGrant},
		{401, "BAD_REFRESH_TOKEN", abi.KindInvalidGrant},
		{400, "Invalid_Client", abi.KindMisconfigured},
	} {
		if e, want := sdk.OAuthAnswer(c.status, c.code, ""), c.code == "temporarily_unavailable"; e.Certain != want {
			t.Errorf("%d %s: certain %t", c.status, c.code, e.Certain)
		}
		if got := sdk.OAuthAnswer(c.status, c.code, "").Kind; got != c.want {
			t.Errorf("%d %s: %s, want %s", c.status, c.code, got, c.want)
		}
	}
}
