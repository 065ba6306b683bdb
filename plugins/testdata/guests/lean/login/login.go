// Package login is an ordinary provider of two requests. It stands apart from
// its module so that a benchmark can run the same code natively.
package login

import "github.com/sallyport/sallyport/sdk"

// Provider logs in and looks the user up.
type Provider struct{}

// Manifest implements sdk.Provider.
func (Provider) Manifest() sdk.Manifest {
	return sdk.Manifest{Name: "lean", Version: "1.0.0", DisplayName: "Lean", Hosts: []string{"a.example"}}
}

// Authorize implements sdk.Provider.
func (Provider) Authorize(c *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	return "https://a.example/authorize?state=" + in.State, nil
}

// Exchange implements sdk.Provider.
func (Provider) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	token, err := c.Do(sdk.PostForm("https://a.example/token", in.CodeForm()))
	if err != nil {
		return nil, err
	}
	t, err := token.JSON()
	if err != nil {
		return nil, err
	}
	user, err := c.Do(sdk.Get("https://a.example/user").Bearer(t.Get("access_token").Str()))
	if err != nil {
		return nil, err
	}
	u, err := user.JSON()
	if err != nil {
		return nil, err
	}
	return &sdk.Credential{
		AccessToken: t.Get("access_token").Str(), RefreshToken: t.Get("refresh_token").Str(),
		Account: &sdk.Account{ID: u.Get("id").Str(), Name: u.Get("name").Str()},
	}, nil
}
