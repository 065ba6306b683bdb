// Package main is a provider that computes without end if its settings say so.
package main

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

func init() {
	sdk.Register(&spin{oauth2.Provider{
		Info: sdk.Manifest{
			Name: "spin", Version: "1.0.0", DisplayName: "Spin",
			Settings: sdk.Raw(`{"type":"object","required":["base"],"properties":{"base":{"type":"string"},"spin":{"type":"boolean","default":false}}}`),
			Hosts:    []string{"{settings.base}"},
			Scopes:   []sdk.Scope{{Name: "read", Default: true}},
		},
		Configure: configure,
	}})
}

func main() {}

type spin struct{ oauth2.Provider }

// Authorize goes through a sequence that has no end.
func (p *spin) Authorize(c *sdk.Conversation, in sdk.AuthorizeInput) (string, error) {
	for c.Setting("spin").Bool() {
		continue
	}
	return p.Provider.Authorize(c, in)
}

func configure(c *sdk.Conversation, cfg *oauth2.Config) error {
	base := c.Setting("base").Str()
	*cfg = oauth2.Config{
		AuthorizeURL: base + "/authorize", TokenURL: base + "/token", UserinfoURL: base + "/me",
		ClientAuth: sdk.ClientPublic, PKCE: true, Identity: oauth2.Identity{ID: "/id", Name: "/name"},
	}
	return nil
}
