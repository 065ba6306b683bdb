package main

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/sdktest"
)

func TestTranscripts(t *testing.T) { sdktest.Run(t, provider(), "testdata/*.txtar") }

func FuzzAnswers(f *testing.F) { sdktest.Fuzz(f, provider()) }

// TestSettingsNameEveryClientAuth: the host refuses a setting that the schema does
// not list.
func TestSettingsNameEveryClientAuth(t *testing.T) {
	var schema struct {
		Properties map[string]struct{ Enum []string }
	}
	if err := json.Unmarshal(provider().Manifest().Settings, &schema); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{sdk.ClientSecretPost, sdk.ClientSecretBasic, sdk.ClientPublic, sdk.PrivateKeyJWT, sdk.ClientSecretJWT} {
		if !slices.Contains(schema.Properties["client_auth"].Enum, method) {
			t.Errorf("client_auth cannot be %s", method)
		}
	}
	for _, setting := range []string{"revoke_url", "token_params", "refresh_params", "error_kinds", "refresh_scope", "discovery_url"} {
		if _, ok := schema.Properties[setting]; !ok {
			t.Errorf("there is no setting %s", setting)
		}
	}
}

func TestIssuerIsTheOneSet(t *testing.T) {
	const base, number = "https://login.microsoftonline.com/", "9188040d-6c67-4c5b-b112-36a304b66dad"
	for _, tt := range []struct {
		set, says string
		many      bool
		want      bool
	}{
		{"https://id.test", "https://id.test", false, true},
		{"https://id.test", "https://id.test/", false, false},
		{"https://id.test", "", false, false},
		{base + "common/v2.0", base + "{tenantid}/v2.0", true, true},
		{base + "common/v2.0", base + "{tenantid}/v2.0", false, false},
		{base + "common/v2.0", base + number + "/v2.0", true, false},
		{base + "consumers/v2.0", base + number + "/v2.0", true, true},
		{base + "acme.test/v2.0", base + number + "/v2.0", true, true},
		{base + "acme.test/v2.0", base + "{tenantid}/v2.0", true, false},
		{base + "acme.test/v2.0", base + "other.test/v2.0", true, false},
		{base + number + "/v2.0", base + "0" + number[1:] + "/v2.0", true, false},
		{base + "acme.test/v2.0", "https://evil.test/" + number + "/v2.0", true, false},
		{base + "common/v2.0", base + "x/{tenantid}/v2.0", true, false},
	} {
		s := settled{issuer: tt.set, manyTenants: tt.many}
		if got := s.is(tt.says); got != tt.want {
			t.Errorf("set %s, says %s, many tenants %v: %v", tt.set, tt.says, tt.many, got)
		}
	}
}

func TestEndpointsThatAreTrusted(t *testing.T) {
	s := settled{issuer: "https://id.test/realm", hosts: []string{"id.test", "api.test:8443"}}
	plain := settled{issuer: "http://127.0.0.1:9000", hosts: []string{"127.0.0.1:9000", "api.test"}}
	for _, tt := range []struct {
		s    settled
		url  string
		want bool
	}{
		{s, "https://id.test/token", true},
		{s, "https://ID.test/token", true},
		{s, "https://api.test:8443/token", true},
		{s, "https://api.test/token", false},
		{s, "http://id.test/token", false},
		{s, "https://id.test@evil.test/token", false},
		{s, "https://evil.test/id.test", false},
		{s, "https://evil.test\\@id.test/", false},
		{s, "https://evil.test#@id.test/", false},
		{s, "https://id.test.evil.test/", false},
		{s, "https://id.test/{settings.issuer}", false},
		{s, "id.test/token", false},
		{plain, "http://127.0.0.1:9000/token", true},
		{plain, "https://api.test/token", true},
		{plain, "http://api.test/token", false},
	} {
		if got := tt.s.trusts(tt.url); got != tt.want {
			t.Errorf("%s at %s: %v", tt.url, tt.s.issuer, got)
		}
	}
}
