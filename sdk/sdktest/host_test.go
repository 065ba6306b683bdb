package sdktest_test

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

// scripted is a provider that does what the callback's query says.
type scripted struct{ manifest sdk.Manifest }

func (s scripted) Manifest() sdk.Manifest { return s.manifest }

func (s scripted) Authorize(_ *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	return strings.ReplaceAll(in.Prompt, "{state}", in.State), nil
}

func (s scripted) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	if url := in.Query.Get("url"); url != "" {
		r := sdk.NewRequest(in.Query.Get("method"), url)
		if name := in.Query.Get("header"); name != "" {
			r.Header(name, "x")
		}
		if auth := in.Query.Get("auth"); auth != "" {
			r.Auth(auth)
		}
		if _, err := c.Do(r); err != nil {
			return nil, err
		}
	}
	if kind := in.Query.Get("kind"); kind != "" {
		return nil, sdk.Fail(kind, "")
	}
	if id := in.Query.Get("id"); id != "" {
		return &sdk.Credential{AccessToken: in.Query.Get("token"), Account: &sdk.Account{ID: id}}, nil
	}
	return &sdk.Credential{AccessToken: "at"}, nil
}

func (s scripted) Refresh(*sdk.Conversation, sdk.RefreshInput) (*sdk.Credential, error) {
	return &sdk.Credential{AccessToken: "at", Account: &sdk.Account{ID: "other"}}, nil
}

func sound() sdk.Manifest {
	return sdk.Manifest{Name: "scripted", Version: "1", Hosts: []string{"up.test"}, Capabilities: sdk.Capabilities{PKCE: true, Refresh: true}}
}

func exchangeOf(query string) string {
	return "-- call --\nop: exchange\n\n{\"query\": [" + query + "]}\n-- response --\n200\n"
}

// TestReplayRefusesWhatAHostRefuses: an author learns in a test what a server
// would refuse of a request and a result.
func TestReplayRefusesWhatAHostRefuses(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ text, want string }{
		"a host that is not in the manifest": {exchangeOf(`["method","GET"],["url","https://other.test/"]`), "other.test:443, which is not among the manifest's hosts"},
		"http":                               {exchangeOf(`["method","GET"],["url","http://up.test/"]`), "use https"},
		"no URL":                             {exchangeOf(`["method","GET"],["url","up.test"]`), "not a URL"},
		"a method":                           {exchangeOf(`["method","TRACE"],["url","https://up.test/"]`), `the method "TRACE"`},
		"a cookie":                           {exchangeOf(`["method","GET"],["url","https://up.test/"],["header","cookie"]`), "header Cookie"},
		"a hop-by-hop header":                {exchangeOf(`["method","GET"],["url","https://up.test/"],["header","connection"]`), "header Connection"},
		"a header that HTTP does not allow":  {exchangeOf(`["method","GET"],["url","https://up.test/"],["header","a b"]`), "HTTP does not allow"},
		"a client authentication":            {exchangeOf(`["method","POST"],["url","https://up.test/"],["auth","digest"]`), `unknown client authentication "digest"`},
		"a secret in the body of a GET":      {exchangeOf(`["method","GET"],["url","https://up.test/"],["auth","post"]`), "in the body of a GET"},
		"two ways to authenticate":           {exchangeOf(`["method","GET"],["url","https://up.test/"],["auth","basic"],["header","authorization"]`), "leave one out"},
		"an error kind":                      {exchangeOf(`["kind","whatever"]`), `unknown error kind "whatever"`},
		"no account":                         {exchangeOf(``), "no account id"},
		"a token that no header can carry":   {exchangeOf(`["id","7"],["token","a b"]`), "cannot be sent in a header"},
		"another account": {"-- call --\nop: refresh\n\n" + `{"credential": {"access_token": "a", "refresh_token": "r", "account": {"id": "7"}}}` + "\n",
			"another account"},
		"no state":            {authorizeOf("https://up.test/a?code_challenge=ch"), "given state"},
		"two states":          {authorizeOf("https://up.test/a?state={state}&state=x&code_challenge=ch"), "given state"},
		"no challenge":        {authorizeOf("https://up.test/a?state={state}"), "code_challenge"},
		"a fragment":          {authorizeOf("https://up.test/a?state={state}&code_challenge=ch#x"), "not a usable URL"},
		"a login at http":     {authorizeOf("http://up.test/a?state={state}&code_challenge=ch"), "use https"},
		"a login elsewhere":   {authorizeOf("https://other.test/a?state={state}&code_challenge=ch"), "not among the manifest's hosts"},
		"a section misspelt":  {strings.Replace(exchangeOf(`["id","7"],["token","a"]`), "-- response", "-- answer", 1), `unknown section "answer"`},
		"an unknown call key": {"-- call --\nop: exchange\nsed: 1\n", `no "sed"`},
		"a URL with a user":   {exchangeOf(`["method","GET"],["url","https://a@up.test/"]`), "no user part"},
	} {
		if got, err := sdktest.Replay(native(scripted{sound()}), c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q\n%s", what, err, c.want, got)
		}
	}
	for what, text := range map[string]string{
		"a request":              exchangeOf(`["method","GET"],["url","https://up.test/"],["id","7"],["token","a"]`),
		"a private host by http": strings.Replace(exchangeOf(`["method","GET"],["url","http://up.test:80/"],["id","7"],["token","a"]`), "op: exchange", "op: exchange\nprivate-host: up.test:80", 1),
		"a login":                authorizeOf("https://up.test/a?state={state}&code_challenge=ch"),
	} {
		if _, err := sdktest.Replay(native(scripted{sound()}), text); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func authorizeOf(url string) string {
	return "-- call --\nop: authorize\n\n" + `{"state": "st", "scopes": [], "code_challenge": "ch", "prompt": "` + url + `"}` + "\n"
}

func TestReplayRefusesManifestsThatAHostRefuses(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		change func(*sdk.Manifest)
		want   string
	}{
		"a name":             {func(m *sdk.Manifest) { m.Name = "acme-" }, "no hyphen last"},
		"a host":             {func(m *sdk.Manifest) { m.Hosts = []string{"https://up.test"} }, "use host, host:port"},
		"refresh left out":   {func(m *sdk.Manifest) { m.Capabilities.Refresh = false }, "never calls refresh"},
		"revoke is not here": {func(m *sdk.Manifest) { m.Capabilities.Revoke = true }, "no Revoke method"},
	} {
		m := sound()
		c.change(&m)
		_, err := sdktest.Replay(native(scripted{m}), "-- call --\nop: refresh\n\n{}\n")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	table := &oauth2.Provider{Info: sound(), Config: oauth2.Config{
		AuthorizeURL: "https://up.test/a", TokenURL: "https://up.test/t", Failure: oauth2.Failure{Kinds: map[string]string{"E1": "gone"}},
	}}
	if _, err := sdktest.Replay(native(table), "-- call --\nop: refresh\n\n{}\n"); err == nil || !strings.Contains(err.Error(), `unknown error kind "gone"`) {
		t.Errorf("a kind in the table: %v", err)
	}
}
