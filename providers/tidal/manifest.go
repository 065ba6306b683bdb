package main

import "github.com/sallyport/sallyport/sdk"

const settings = `{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "public": {
      "type": "boolean", "default": false,
      "description": "The TIDAL app has no client secret; PKCE alone proves who redeems a code"
    }
  }
}`

func manifest() sdk.Manifest {
	return sdk.Manifest{
		Name:        "tidal",
		Version:     "1.1.0",
		DisplayName: "TIDAL",
		HomePage:    "https://developer.tidal.com",
		Settings:    sdk.Raw(settings),
		Hosts:       []string{"login.tidal.com", "auth.tidal.com", "openapi.tidal.com"},
		SecretURLs:  []string{"https://auth.tidal.com/v1/oauth2/token"},
		Scopes: []sdk.Scope{
			{Name: "user.read", Description: "See your profile and your country", Default: true},
			{Name: "collection.read", Description: "See your collection of albums, artists and tracks"},
			{Name: "collection.write", Description: "Change your collection of albums, artists and tracks"},
			{Name: "playlists.read", Description: "See your playlists"},
			{Name: "playlists.write", Description: "Create, change and delete your playlists"},
			{Name: "search.read", Description: "Search TIDAL for you"},
			{Name: "recommendations.read", Description: "See what TIDAL recommends to you"},
			{Name: "entitlements.read", Description: "See what your subscription includes"},
			{Name: "playback", Description: "Play music with your subscription"},
		},
		// TIDAL documents no revocation. Its refresh tokens stay the same, so
		// the refresh rules are the zero ones.
		Capabilities: sdk.Capabilities{PKCE: true, Refresh: true, Identity: true},
	}
}
