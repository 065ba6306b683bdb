package sdk_test

import (
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

// checked is a provider that refuses nothing and names its upstream.
type checked struct{ fake }

func (checked) Check(*sdk.Conversation) error { return nil }

func (checked) UpstreamIdentity(*sdk.Conversation) (string, error) { return "up.example", nil }

// describing answers check itself.
type describing struct {
	oauth2.Provider
	result sdk.CheckResult
}

func (d *describing) Describe(*sdk.Conversation) (*sdk.CheckResult, error) { return &d.result, nil }

func TestCheckNamesTheUpstream(t *testing.T) {
	t.Parallel()
	table := oauth2.Provider{Config: oauth2.Config{AuthorizeURL: "https://up.example/a", TokenURL: "https://up.example/t"}}
	refreshElsewhere, named := table, table
	refreshElsewhere.Config.RefreshURL = "https://up.example/r"
	named.Config.Upstream = "up.example"
	off := false
	for name, c := range map[string]struct {
		p    sdk.Provider
		want string
	}{
		"a Checker":            {checked{}, `{"identity":"up.example"}`},
		"a table":              {&table, `{"identity":"https://up.example/t"}`},
		"another refresh URL":  {&refreshElsewhere, `{"identity":"https://up.example/t https://up.example/r"}`},
		"a table with a name":  {&named, `{"identity":"up.example"}`},
		"a Describer":          {&describing{Provider: table, result: sdk.CheckResult{PKCE: &off, CallbackIssuer: "i"}}, `{"identity":"https://up.example/t","pkce":false,"callback_issuer":"i"}`},
		"a Describer's answer": {&describing{Provider: table, result: sdk.CheckResult{Identity: "other"}}, `{"identity":"other"}`},
	} {
		if out, _ := call(t, c.p, abi.OpCheck, `{}`); string(out.Result) != c.want {
			t.Errorf("%s: %s, want %s", name, out.Result, c.want)
		}
	}
}
