package tenant

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/upstream"
)

func TestAccountsAdmit(t *testing.T) {
	t.Parallel()
	policy := Accounts{
		Emails: []string{"Ada@music.example"}, Domains: []string{"Corp.example"}, IDs: []string{"u-1"}, Organizations: []string{"T1"},
	}
	verified := func(email string) upstream.Account {
		return upstream.Account{ID: "x", Email: email, EmailVerified: true}
	}
	for name, c := range map[string]struct {
		policy  Accounts
		account upstream.Account
		why     string
	}{
		"vouched for":                 {vouching("https://sso.corp.example"), upstream.Account{ID: "x", Email: "bob@corp.example"}, ""},
		"vouched for, another domain": {vouching("https://sso.corp.example"), upstream.Account{ID: "x", Email: "bob@evil.example"}, notListed},
		"vouched for, no address":     {vouching("https://sso.corp.example"), upstream.Account{ID: "x"}, noEmail},
		"another issuer vouched for":  {vouching("https://sso.corp.example/"), upstream.Account{ID: "x", Email: "bob@corp.example"}, unverified},
		"nobody listed":               {Accounts{}, upstream.Account{ID: "x"}, ""},
		"its id":                      {policy, upstream.Account{ID: "u-1"}, ""},
		"its id in another case":      {policy, upstream.Account{ID: "U-1"}, noEmail},
		"its id as part of another":   {policy, upstream.Account{ID: "u-12"}, noEmail},
		"its e-mail address":          {policy, verified("ada@music.example"), ""},
		"in another case":             {policy, verified("ADA@Music.EXAMPLE"), ""},
		"not verified":                {policy, upstream.Account{ID: "x", Email: "ada@music.example"}, unverified},
		"verified, but none":          {policy, verified(""), noEmail},
		"another address":             {policy, verified("bob@music.example"), notListed},
		"with a tag":                  {policy, verified("ada+x@music.example"), notListed},
		"its domain":                  {policy, verified("bob@corp.example"), ""},
		"its domain in another case":  {policy, verified("bob@CORP.EXAMPLE"), ""},
		"its domain, not verified":    {policy, upstream.Account{ID: "x", Email: "bob@corp.example"}, unverified},
		"a subdomain":                 {policy, verified("bob@mail.corp.example"), notListed},
		"a longer domain":             {policy, verified("bob@evilcorp.example"), notListed},
		"a domain behind it":          {policy, verified("bob@corp.example.evil.example"), notListed},
		"a dot behind it":             {policy, verified("bob@corp.example."), notListed},
		"two at signs":                {policy, verified("bob@evil.example@corp.example"), notListed},
		"a quoted address in it":      {policy, verified(`"bob@evil.example"@corp.example`), notListed},
		"no local part":               {policy, verified("@corp.example"), notListed},
		"no at sign":                  {policy, verified("corp.example"), notListed},
		"the Kelvin sign":             {Accounts{Domains: []string{"kelvin.example"}}, verified("bob@\u212aelvin.example"), notListed},
		"the long s":                  {Accounts{Emails: []string{"s@a.example"}}, verified("\u017f@a.example"), notListed},
		"its organization":            {policy, upstream.Account{ID: "x", Organizations: []string{"T0", "T1"}}, ""},
		"the same in another case":    {policy, upstream.Account{ID: "x", Organizations: []string{"t1"}}, noEmail},
		"an organization for an id":   {Accounts{IDs: []string{"T1"}}, upstream.Account{ID: "x", Organizations: []string{"T1"}}, notListed},
		"an id for an organization":   {Accounts{Organizations: []string{"u-1"}}, upstream.Account{ID: "u-1"}, notListed},
		"an address for a domain":     {Accounts{Domains: []string{"ada@corp.example"}}, verified("ada@corp.example"), notListed},
		"unverified, yet by its id":   {policy, upstream.Account{ID: "u-1", Email: "bob@corp.example"}, ""},
		"unverified, by organization": {policy, upstream.Account{ID: "x", Email: "bob@corp.example", Organizations: []string{"T1"}}, ""},
	} {
		ok, why := c.policy.Admits(c.account, "https://sso.corp.example")
		if ok != (c.why == "") || why != c.why {
			t.Errorf("%s: %v %q, want %q", name, ok, why, c.why)
		}
	}
}

// vouching admits addresses of corp.example although an issuer does not verify
// them.
func vouching(issuer string) Accounts {
	return Accounts{Domains: []string{"corp.example"}, UnverifiedEmailFrom: []string{issuer}}
}

func TestNoVouchingWithoutAnIssuer(t *testing.T) {
	t.Parallel()
	if ok, why := vouching("").Admits(upstream.Account{ID: "x", Email: "bob@corp.example"}, ""); ok || why != unverified {
		t.Errorf("an upstream without an issuer: %v %q", ok, why)
	}
}

func TestVouchingIsForOneOrganizationsIssuer(t *testing.T) {
	t.Parallel()
	const own = "https://sso.corp.example"
	for name, c := range map[string]struct {
		upstream upstream.Description
		want     string
	}{
		"the tenant's own":    {upstream.Description{Issuer: own}, ""},
		"none that is told":   {upstream.Description{Name: "github"}, "provider github does not say which issuer"},
		"another":             {upstream.Description{Issuer: own + "/"}, "the issuer of this tenant's accounts, which is " + own + "/"},
		"many organizations'": {upstream.Description{Issuer: own, ManyOrganizations: true}, "serves many organizations"},
	} {
		err := vouching(own).Check(c.upstream)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := (Accounts{Domains: []string{"corp.example"}}).Check(upstream.Description{ManyOrganizations: true}); err != nil {
		t.Errorf("without an entry: %v", err)
	}
}

func TestAccountsNeed(t *testing.T) {
	t.Parallel()
	for want, policy := range map[string]Accounts{
		"name":                      {IDs: []string{"u-1"}},
		"name email email_verified": {Domains: []string{"corp.example"}},
		"name email":                vouching("https://sso.corp.example"),
		"name organizations":        {Organizations: []string{"T1"}},
		"name email email_verified organizations": {Emails: []string{"ada@corp.example"}, Organizations: []string{"T1"}},
	} {
		if got := strings.Join(policy.Needs(), " "); got != want {
			t.Errorf("%+v needs %s, want %s", policy, got, want)
		}
	}
}
