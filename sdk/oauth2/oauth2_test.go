package oauth2_test

import (
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

// odd is an upstream that does everything that can be said in the table
// otherwise than RFC 6749.
func odd() *oauth2.Provider {
	return &oauth2.Provider{
		Info: sdk.Manifest{Name: "odd", Version: "1"},
		Config: oauth2.Config{
			AuthorizeURL:    "{settings.base}/authorize?v=2",
			TokenURL:        "{settings.base}/{settings.realm}/token",
			RefreshURL:      "{settings.base}/refresh",
			ClientAuth:      sdk.ClientSecretBasic,
			ScopeParam:      "user_scope",
			ScopeSeparator:  ",",
			AuthorizeParams: sdk.Form{{"access_type", "offline"}, {"client_id", "mine"}},
			TokenParams:     sdk.Form{{"resource", "r"}},
			RefreshParams:   sdk.Form{{"keep", "1"}},
			Headers:         []abi.Header{{"Odd-Version", "7"}},
			Accept:          "text/odd",
			Token: oauth2.TokenAnswer{
				Format:           oauth2.FormatJSON,
				AccessToken:      "/data/token",
				TokenType:        "/data/type",
				RefreshToken:     "/data/again",
				ExpiresIn:        "/data/life",
				RefreshExpiresIn: "/data/again_life",
				Scope:            "/data/scopes",
				ScopeSeparators:  "+ ",
			},
			Failure: oauth2.Failure{
				Code: "/status/code", Description: "/status/text", Success: "/ok",
				Kinds: map[string]string{"E7": abi.KindInvalidGrant, "access_denied": abi.KindInteractionRequired},
			},
			Identity: oauth2.Identity{ID: "/data/who/0", Name: "/data/who/1", Email: "/data/mail", Picture: "/data/face"},
		},
	}
}

func TestOdd(t *testing.T) { sdktest.Run(t, odd(), "testdata/*.txtar") }
