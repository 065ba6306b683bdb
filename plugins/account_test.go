package plugins

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

func TestAccountsThatAreTooLongAreRefused(t *testing.T) {
	t.Parallel()
	of := func(n int) string { return strings.Repeat("x", n) }
	for what, c := range map[string]struct {
		account abi.Account
		want    string
	}{
		"all that may be":           {abi.Account{ID: of(512), Name: of(1024), Email: of(320), Picture: of(2048)}, ""},
		"an id of 100 KB":           {abi.Account{ID: of(100_000)}, "its account id is longer than 512 bytes"},
		"a name":                    {abi.Account{ID: "1", Name: of(1025)}, "its account name is longer than 1024 bytes"},
		"an e-mail address":         {abi.Account{ID: "1", Email: of(321)}, "its e-mail address is longer than 320 bytes"},
		"a picture":                 {abi.Account{ID: "1", Picture: of(2049)}, "its picture is longer than 2048 bytes"},
		"two hundred organizations": {abi.Account{ID: "1", Organizations: make([]string, 201)}, "it has more than 200 organizations"},
		"an organization":           {abi.Account{ID: "1", Organizations: []string{of(513)}}, "its organization is longer than 512 bytes"},
	} {
		err := rules.CheckExchange(abi.Credential{AccessToken: "at", Account: &c.account})
		if (err != nil) != (c.want != "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestCredentialsThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	of := func(n int) string { return strings.Repeat("x", n) }
	for what, c := range map[string]struct {
		change func(*abi.Credential)
		want   string
	}{
		"all that may be": {func(c *abi.Credential) {
			c.AccessToken, c.RefreshToken, c.Extra = of(32<<10), of(32<<10), abi.Raw(`"`+of(64<<10-2)+`"`)
		}, ""},
		"an access token":      {func(c *abi.Credential) { c.AccessToken = of(32<<10 + 1) }, "its access token is longer than 32768 bytes"},
		"a refresh token":      {func(c *abi.Credential) { c.RefreshToken = of(32<<10 + 1) }, "its refresh token is longer than 32768 bytes"},
		"a token type":         {func(c *abi.Credential) { c.TokenType = of(65) }, "its token type is longer than 64 bytes"},
		"what a provider adds": {func(c *abi.Credential) { c.Extra = abi.Raw(`"` + of(64<<10) + `"`) }, "its extra is longer than 65536 bytes"},
		"a thousand scopes":    {func(c *abi.Credential) { c.Scopes = make([]string, 1001) }, "its credential has more than 1000 scopes"},
		"a scope":              {func(c *abi.Credential) { c.Scopes = []string{of(16<<10 + 1)} }, "its list of scopes is longer than 16384 bytes"},
	} {
		credential := abi.Credential{AccessToken: "at", Account: &abi.Account{ID: "1"}}
		c.change(&credential)
		for name, err := range map[string]error{"exchange": rules.CheckExchange(credential), "refresh": rules.CheckRefresh(credential, "1")} {
			if (err != nil) != (c.want != "") || err != nil && err.Error() != c.want {
				t.Errorf("%s, %s: %v", what, name, err)
			}
		}
	}
}

func TestLongURLsAreRefused(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"https://a.example/?q=" + strings.Repeat("x", 16<<10-21):   true,
		"https://a.example/?q=" + strings.Repeat("x", 16<<10-20):   false,
		"https://" + strings.Repeat("x", 253) + ":65535/":          true,
		"https://" + strings.Repeat("x", 100_000) + ".example/":    false,
		"https://" + strings.Repeat("x", 260) + ".example/profile": false,
	} {
		if err := rules.CheckRequest(&abi.Request{Method: "GET", URL: address}); (err == nil) != good {
			t.Errorf("%d bytes, %.40s: %v", len(address), address, err)
		}
	}
}

// TestWordsOfAProviderAreBounded: what a provider says travels in a redirect and
// stands in the log; it may repeat what an upstream sent.
func TestWordsOfAProviderAreBounded(t *testing.T) {
	t.Parallel()
	c := &conversation{secret: newRedactor(Binding{ClientSecret: seal.NewSecret("hunter2hunter2")}, nil)}
	long := strings.Repeat("é", 100_000)
	err := c.ended(t.Context(), &abi.Error{Kind: abi.KindAccessDenied, Message: strings.Repeat("é", 254) + "hunter2hunter2" + long, Detail: long})
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok || len(e.Message) > maxMessage+len("…") || len(e.Detail) > maxDetail+len("…") || !utf8.ValidString(e.Message+e.Detail) {
		t.Errorf("message of %d bytes, detail of %d", len(e.Message), len(e.Detail))
	}
	if strings.Contains(e.Message, "hunt") {
		t.Errorf("the beginning of a secret: %q", e.Message[len(e.Message)-20:])
	}
}
