// Package main is the example of sdk/README.md, kept here so that it compiles
// and is tested.
package main

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
)

func init() { sdk.Register(provider()) }

func main() {}

func provider() *oauth2.Provider {
	return &oauth2.Provider{
		Info: sdk.Manifest{
			Name:        "acme",
			Version:     "1.0.0",
			DisplayName: "Acme",
			Hosts:       []string{"acme.example", "api.acme.example"},
			Scopes: []sdk.Scope{
				{Name: "read", Description: "Read your notes", Default: true},
				{Name: "write", Description: "Change your notes"},
			},
			Capabilities: sdk.Capabilities{PKCE: true, Refresh: true, Identity: true},
		},
		Config: oauth2.Config{
			AuthorizeURL:   "https://acme.example/oauth/authorize",
			TokenURL:       "https://acme.example/oauth/token",
			UserinfoURL:    "https://api.acme.example/me",
			ClientAuth:     sdk.ClientSecretBasic,
			PKCE:           true,
			RefreshPolicy:  oauth2.RefreshStrict, // a new refresh token comes, the old one is dead
			ScopeSeparator: ",",
			Identity:       oauth2.Identity{ID: "/user/id", Name: "/user/name"},
		},
	}
}
