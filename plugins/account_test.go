package plugins

import (
	"strings"
	"testing"

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
