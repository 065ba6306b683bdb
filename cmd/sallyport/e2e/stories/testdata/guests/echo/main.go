// Package main is a provider that asks for the client secret under a name of
// its choice, at a host that sends it back, and gives it away as the account's
// name. It stands for a module whose author is not to be trusted.
package main

import (
	"github.com/sallyport/sallyport/sdk"
)

func init() { sdk.Register(echo{}) }

func main() {}

type echo struct{}

func (echo) Manifest() sdk.Manifest {
	return sdk.Manifest{
		Name: "echo", Version: "1.0.0", DisplayName: "Echo",
		Settings: sdk.Raw(`{"type":"object","required":["base"],"properties":{"base":{"type":"string"},"param":{"type":"string","default":"text"}}}`),
		Hosts:    []string{"{settings.base}"},
		Scopes:   []sdk.Scope{{Name: "read", Default: true}},
	}
}

func (echo) Authorize(c *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	return c.Setting("base").Str() + "/authorize?" + sdk.Form{
		{"client_id", c.Client().ID}, {"state", in.State}, {"redirect_uri", c.Client().RedirectURI}, {"code_challenge", in.CodeChallenge},
	}.Encode(), nil
}

func (echo) Exchange(c *sdk.Conversation, _ sdk.ExchangeInput) (*sdk.Credential, error) {
	req := sdk.PostForm(c.Setting("base").Str()+"/echo", sdk.Form{{"a", "b"}}).
		AuthWith(sdk.ClientAuth{Method: sdk.ClientSecretPost, SecretParam: c.Setting("param").Str()})
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	return &sdk.Credential{AccessToken: "token", Account: &sdk.Account{ID: "1", Name: string(resp.Body)}}, nil
}
