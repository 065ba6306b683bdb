// Package main is the provider for TIDAL: tokens of the authorization code
// flow, for apps with and without a client secret. It leaves client
// credentials, which belong to no user, out.
package main

import (
	"strings"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

const accountURL = "https://openapi.tidal.com/v2/users/me"

func init() { sdk.Register(provider()) }

func main() {}

// tidal is the table plus the one thing TIDAL does in its own way: the account
// comes as JSON:API, and its country with it.
type tidal struct {
	oauth2.Provider
}

func provider() *tidal {
	return &tidal{oauth2.Provider{Info: manifest(), Configure: configure}}
}

func configure(c *sdk.Conversation, cfg *oauth2.Config) error {
	*cfg = oauth2.Config{
		Upstream:     "tidal.com",
		AuthorizeURL: "https://login.tidal.com/authorize",
		TokenURL:     "https://auth.tidal.com/v1/oauth2/token",
		ClientAuth:   sdk.ClientSecretPost,
		PKCE:         true, // TIDAL calls the flow OAuth 2.1, which requires it
		RefreshScope: true, // and with a code, see Exchange
		Identity: oauth2.Identity{
			ID: "/data/id", Name: "/data/attributes/username", Email: "/data/attributes/email", EmailVerified: "/data/attributes/emailVerified",
		},
	}
	if c.Setting("public").Bool() {
		cfg.ClientAuth = sdk.ClientPublic
	}
	return nil
}

// Exchange redeems the code and looks up the account. The token answer has a
// user_id too, but only users/me says the country, which many calls of the API
// want as their countryCode.
func (p *tidal) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	cfg, err := p.Resolve(c)
	if err != nil {
		return nil, err
	}
	if err := cfg.Callback(in); err != nil {
		return nil, err
	}
	form := in.CodeForm()
	if len(in.Scopes) > 0 { // TIDAL's own SDK repeats them
		form.Add("scope", strings.Join(in.Scopes, " "))
	}
	answer, err := cfg.RequestToken(c, cfg.TokenURL, form)
	if err != nil {
		return nil, err
	}
	cred, err := cfg.Credential(c, answer)
	if err != nil {
		return nil, err
	}
	me, err := lookUp(c, cred.AccessToken)
	if err != nil {
		return nil, err
	}
	if country := me.Pointer("/data/attributes/country").Str(); country != "" {
		var extra tree.Object
		extra.Set("countryCode", tree.String(country))
		cred.Extra = extra.Value().Bytes()
	}
	cred.Account, err = cfg.ReadAccount(me)
	return cred, err
}

// lookUp asks who the token belongs to.
func lookUp(c *sdk.Conversation, token string) (tree.Value, error) {
	resp, err := c.Do(sdk.Get(accountURL).Bearer(token).Header("accept", "application/vnd.api+json"))
	if err != nil {
		return tree.Value{}, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return tree.Value{}, err
	}
	answer, unread := resp.JSON()
	switch {
	case resp.Status == 401: // 6001, 11001, 11002, 11003, 11101: expired, revoked or no token of TIDAL's
		return tree.Value{}, sdk.InvalidGrant("TIDAL did not accept its own token. Please connect again.", "users/me: status 401"+subStatus(answer))
	case resp.Status == 403:
		return tree.Value{}, sdk.InvalidScope("The permissions granted do not allow to see who you are.", "users/me: status 403; the scope user.read is needed")
	case !resp.OK():
		return tree.Value{}, resp.Unreadable("users/me" + subStatus(answer))
	}
	return answer, unread
}

// subStatus returns TIDAL's own number for an error as words for the log.
func subStatus(answer tree.Value) string {
	if n := answer.Get("sub_status").Text(); n != "" {
		return ", sub_status " + n
	}
	return ""
}
