package oauth2_test

import (
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

// manifest is one that allows what the tables here do.
func manifest(name string) sdk.Manifest {
	return sdk.Manifest{Name: name, Version: "1", Hosts: []string{"odd.test", "up.test"},
		Capabilities: sdk.Capabilities{Refresh: true, Revoke: true, Identity: true}}
}

// odd is an upstream that does everything that can be said in the table
// otherwise than RFC 6749.
func odd() *oauth2.Provider {
	return &oauth2.Provider{
		Info: manifest("odd"),
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

func TestOdd(t *testing.T) { sdktest.Run(t, odd(), "testdata/odd/*.txtar") }

// TestKnobs turns each knob of the table by itself; what it does stands in the
// folder of its name.
func TestKnobs(t *testing.T) {
	for name, turn := range map[string]func(*oauth2.Config){
		"rename": func(c *oauth2.Config) {
			c.Rename = map[string]string{
				"client_id": "client_key", "client_secret": "client_pass", "code": "auth_code", "refresh_token": "renewal",
				"response_type": "-", "redirect_uri": "-", "grant_type": "-",
			}
		},
		"json": func(c *oauth2.Config) {
			c.Body, c.ClientAuth = oauth2.BodyJSON, sdk.ClientSecretUser
			c.TokenParams = sdk.Form{{"resource", "r"}, {"grant_type", "mine"}}
		},
		"prompt": func(c *oauth2.Config) {
			c.Prompts, c.AuthorizeParams = []string{"select_account"}, sdk.Form{{"prompt", "consent"}}
		},
		"scopes": func(c *oauth2.Config) {
			c.ScopeSeparator, c.SecondScopeParam, c.SecondScopes = ",", "user_scope", []string{"u1", "u2", "u3"}
			c.DefaultScopes, c.TokenScope, c.RefreshScope, c.RefreshRedirectURI = []string{"d", "u3"}, true, true, true
		},
		"callback": func(c *oauth2.Config) {
			c.Query = oauth2.CallbackQuery{Code: "spapi_oauth_code", Scope: "scope", Keep: []string{"realmId", "absent"}}
			c.Token.Keep = sdk.Form{{"url", "/instance/url"}, {"n", "/instance/n"}}
		},
		"life": func(c *oauth2.Config) {
			c.Token.Lifetime, c.Token.RefreshLifetime, c.Token.GrantLifetime = 60, 120, 100
		},
		"success": func(c *oauth2.Config) { c.Failure.Success, c.Failure.SuccessValue = "/code", "0" },
		"success-is-code": func(c *oauth2.Config) {
			c.Failure = oauth2.Failure{Success: "/status", SuccessValue: "0", Code: "/status", Description: "/error"}
		},
		"moments": func(c *oauth2.Config) { c.Token.ExpiresAt = "/until" },
		"tenant":  func(c *oauth2.Config) { c.Identity.Tenant = "/team/id" },
		"who-url": func(c *oauth2.Config) { c.UserinfoURL = "https://up.test/tokens/{access_token}" },
		"who-body": func(c *oauth2.Config) {
			c.UserinfoURL, c.Identity.Body = "https://up.test/graphql", `{"query":"{ me }"}`
		},
		"who-introspect": func(c *oauth2.Config) {
			c.UserinfoURL, c.Identity.Introspect = "https://up.test/introspect", true
		},
		"who-bad-body": func(c *oauth2.Config) { c.UserinfoURL, c.Identity.Body = "https://up.test/graphql", "{ me }" },
		"jwt": func(c *oauth2.Config) {
			c.ClientAuth, c.Audience, c.Rename = sdk.PrivateKeyJWT, "https://up.test", map[string]string{"client_id": "app"}
		},
		"none":   func(c *oauth2.Config) { c.RefreshPolicy = oauth2.RefreshNone },
		"issuer": func(c *oauth2.Config) { c.Issuer, c.Query.Issuer = "https://up.test", true },
		"revoke-form": func(c *oauth2.Config) {
			c.Revocation = oauth2.Revocation{Param: "access", AccessToken: true, ClientAuth: sdk.ClientSecretBasic}
		},
		"revoke-url": func(c *oauth2.Config) {
			c.RevokeURL = "https://up.test/{client_id}/{refresh_token}"
			c.Revocation = oauth2.Revocation{Shape: oauth2.RevokeURL, Method: "DELETE"}
		},
		"revoke-bearer": func(c *oauth2.Config) { c.Revocation.Shape = oauth2.RevokeBearer },
		"revoke-json": func(c *oauth2.Config) {
			c.RevokeURL = "https://up.test/apps/{client_id}/token"
			c.Revocation = oauth2.Revocation{Shape: oauth2.RevokeJSON, Method: "DELETE", Param: "access_token", AccessToken: true, ClientAuth: sdk.ClientSecretBasic}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := oauth2.Config{
				AuthorizeURL: "https://up.test/authorize", TokenURL: "https://up.test/token", RevokeURL: "https://up.test/revoke", PKCE: true,
			}
			turn(&cfg)
			sdktest.Run(t, &oauth2.Provider{Info: manifest(name), Config: cfg}, "testdata/"+name+"/*.txtar")
		})
	}
}

func TestRefreshRules(t *testing.T) {
	for policy, want := range map[string]sdk.RefreshRules{
		oauth2.RefreshNone:     {},
		oauth2.RefreshStable:   {},
		oauth2.RefreshTolerant: {Rotates: true},
		oauth2.RefreshGraced:   {Rotates: true, SingleUse: true, GraceSeconds: 600},
		oauth2.RefreshStrict:   {Rotates: true, SingleUse: true},
		oauth2.RefreshUnknown:  {Rotates: true, SingleUse: true},
	} {
		cfg := oauth2.Config{RefreshPolicy: policy, RefreshGrace: 600}
		if got := cfg.RefreshRules(); got != want {
			t.Errorf("%q: %+v, want %+v", policy, got, want)
		}
	}
}

// TestRefreshPolicyReachesTheManifest: the table says once what refreshing does to
// the old token, and the careful answer is the default.
func TestRefreshPolicyReachesTheManifest(t *testing.T) {
	can := sdk.Capabilities{Refresh: true}
	for what, c := range map[string]struct {
		p    oauth2.Provider
		want sdk.RefreshRules
	}{
		"no policy": {oauth2.Provider{Info: sdk.Manifest{Capabilities: can}}, sdk.RefreshRules{Rotates: true, SingleUse: true}},
		"tolerant": {oauth2.Provider{Info: sdk.Manifest{Capabilities: can}, Config: oauth2.Config{RefreshPolicy: oauth2.RefreshTolerant}},
			sdk.RefreshRules{Rotates: true}},
		"graced": {oauth2.Provider{Info: sdk.Manifest{Capabilities: can}, Config: oauth2.Config{RefreshPolicy: oauth2.RefreshGraced, RefreshGrace: 60}},
			sdk.RefreshRules{Rotates: true, SingleUse: true, GraceSeconds: 60}},
		"the manifest's own": {oauth2.Provider{Info: sdk.Manifest{Capabilities: can, Refresh: sdk.RefreshRules{Rotates: true}}}, sdk.RefreshRules{Rotates: true}},
		"no refresh":         {oauth2.Provider{}, sdk.RefreshRules{}},
	} {
		if got := c.p.Manifest().Refresh; got != c.want {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
}
