package issuers

import (
	"testing"
)

func TestIssuersOfManyOrganizations(t *testing.T) {
	for issuer, want := range map[string]bool{
		"https://login.microsoftonline.com/common/v2.0":                               true,
		"https://login.microsoftonline.com/organizations/v2.0":                        true,
		"https://LOGIN.microsoftonline.com/Organizations/v2.0":                        true,
		"https://login.microsoftonline.com:443/organizations/v2.0":                    true,
		"https://login.microsoftonline.com/consumers/v2.0":                            true,
		"https://login.microsoftonline.com/{tenantid}/v2.0":                           true,
		"https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0": true,
		"https://login.microsoftonline.us/common/v2.0":                                true,
		"https://login.partner.microsoftonline.cn/common/v2.0":                        true,
		"https://sts.windows.net/common/":                                             true,
		"https://login.microsoftonline.com/":                                          true,
		"https://login.microsoftonline.com/corp.example/v2.0":                         false,
		"https://login.microsoftonline.com/0f0e0d0c-6c67-4c5b-b112-36a304b66dad/v2.0": false,
		"https://corp.b2clogin.com/0f0e0d0c-6c67-4c5b-b112-36a304b66dad/v2.0":         false,
		"https://accounts.google.com":                                                 true,
		"accounts.google.com":                                                         true,
		"https://www.linkedin.com/oauth":                                              true,
		"https://appleid.apple.com":                                                   true,
		"https://gitlab.com":                                                          true,
		"https://gitlab.example.com":                                                  false,
		"https://sso.example.com/realms/common":                                       false,
		"https://corp.okta.com":                                                       false,
		"":                                                                            false,
	} {
		if got := ManyOrganizations(issuer); got != want {
			t.Errorf("%s: %v", issuer, got)
		}
	}
}
