package core_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// withAccounts has a policy at the tenant music and none at octo.
func withAccounts(_ *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
	tenants[0].Accounts = tenant.Accounts{Domains: []string{"music.example"}}
	f.Accounts = map[string]upstream.Account{
		"ada":     {ID: "u-1", Name: "Ada", Email: "ada@Music.example", EmailVerified: true},
		"mallory": {ID: "u-2", Name: "Mallory", Email: "ceo@music.example"},
		"bob":     {ID: "u-3", Name: "Bob", Email: "bob@elsewhere.example", EmailVerified: true},
	}
}

func TestOnlyAdmittedAccountsLogIn(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, withAccounts, onMemory(driver))
	tokens := s.Login(t, s.Browser(), "ada")
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("an admitted account: %d %s", a.Status, a.Body)
	}
	before := driver.Keys("")
	for name, why := range map[string]string{"mallory": "does not say that it is verified", "bob": "no entry of accounts"} {
		answer := s.Code(t, s.Browser(), "music", s.AuthorizeQuery("music", tokens.ClientID), name)
		if answer.Get("error") != "access_denied" || answer.Get("code") != "" || !strings.Contains(answer.Get("error_description"), "may not use this server") ||
			strings.Contains(answer.Get("error_description"), "verified") {
			t.Errorf("%s: %v", name, answer)
		}
		id := map[string]string{"mallory": "u-2", "bob": "u-3"}[name]
		line := lineWith(s.Audit(), `"sub":"`+id+`"`)
		if !strings.Contains(line, `"action":"account_refused"`) || !strings.Contains(line, why) || strings.Contains(line, "@") {
			t.Errorf("%s: audit %s", name, line)
		}
	}
	if driver.Keys("") != before {
		t.Errorf("%d records before and %d after two refusals", before, driver.Keys(""))
	}
	if got := s.Fake.Revoked(); len(got) != 0 {
		t.Errorf("revoked at the upstream, perhaps with what other tenants hold: %v", got)
	}
	if answer := s.Code(t, s.Browser(), "octo", s.AuthorizeQuery("octo", s.Register(t, "octo")), "bob"); answer.Get("code") == "" {
		t.Errorf("a tenant without a policy: %v", answer)
	}
}

func TestOperatorAnswersForUnverifiedAddresses(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
		f.Issuer = "https://sso.music.example"
		tenants[0].Accounts = tenant.Accounts{Domains: []string{"music.example"}, UnverifiedEmailFrom: []string{f.Issuer}}
		f.Accounts = map[string]upstream.Account{
			"ada":  {ID: "u-1", Name: "Ada", Email: "ada@music.example"},
			"bob":  {ID: "u-2", Name: "Bob", Email: "bob@elsewhere.example"},
			"carl": {ID: "u-3", Name: "Carl"},
		}
	})
	tokens := s.Login(t, s.Browser(), "ada")
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("an address that the operator answers for: %d %s", a.Status, a.Body)
	}
	for name, why := range map[string]string{"bob": "no entry of accounts", "carl": "sent no e-mail address"} {
		if answer := s.Code(t, s.Browser(), "music", s.AuthorizeQuery("music", tokens.ClientID), name); answer.Get("error") != "access_denied" {
			t.Errorf("%s: %v", name, answer)
		}
		if id := map[string]string{"bob": "u-2", "carl": "u-3"}[name]; !strings.Contains(lineWith(s.Audit(), `"sub":"`+id+`"`), why) {
			t.Errorf("%s: audit %s", name, s.Audit())
		}
	}
}

// lineWith returns the first line that holds text.
func lineWith(log, text string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// A provider learns at each login what the tenant needs of an account.
func TestProviderIsToldWhatTheTenantNeeds(t *testing.T) {
	t.Parallel()
	told := make(chan []string, 1)
	s := coretest.New(t, withAccounts, func(_ *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
		tenants[0].Provider = tellingNeeds{upstreamtest.Provider{Fake: f}, told}
	})
	s.Login(t, s.Browser(), "ada")
	if got := <-told; !slices.Equal(got, []string{"name", "email", "email_verified"}) {
		t.Errorf("the provider is told to find %q", got)
	}
}

// tellingNeeds tells what an exchange is asked to find.
type tellingNeeds struct {
	upstreamtest.Provider
	told chan []string
}

func (p tellingNeeds) Exchange(ctx context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	p.told <- req.Needs
	return p.Provider.Exchange(ctx, req)
}
