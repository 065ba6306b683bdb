package tenant

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/core/upstream"
)

// Accounts says which of the upstream's accounts may log in: those that any
// entry of any list names, or everybody if there is none. A domain is the whole
// part behind the @; its subdomains are others.
type Accounts struct {
	Emails        []string // in any case
	Domains       []string // of e-mail addresses, in any case
	IDs           []string // exactly
	Organizations []string // exactly

	// UnverifiedEmailFrom are issuers whose addresses count although they do not
	// say that they are verified.
	UnverifiedEmailFrom []string
}

// Why an account is not admitted, for the audit line.
const (
	notListed  = "no entry of accounts names it"
	unverified = "accounts names its e-mail address, but the upstream does not say that it is verified"
	noEmail    = "the upstream sent no e-mail address, which accounts decides by; ask for the scope that has it, such as email"
)

// Needs returns the members of an account that a login has to learn: the name,
// which pages show, and what this policy decides by.
func (p Accounts) Needs() []string {
	needs := []string{"name"}
	switch {
	case p.byEmail() && len(p.UnverifiedEmailFrom) > 0:
		needs = append(needs, "email")
	case p.byEmail():
		needs = append(needs, "email", "email_verified")
	}
	if len(p.Organizations) > 0 {
		needs = append(needs, "organizations")
	}
	return needs
}

// Check refuses to vouch for e-mail addresses of an upstream that is not the one
// named, or at which anybody can have an account.
func (p Accounts) Check(d upstream.Description) error {
	for _, issuer := range p.UnverifiedEmailFrom {
		switch {
		case d.Issuer == "":
			return fmt.Errorf("accounts/unverified_email_from: the provider %s does not say which issuer its accounts are from; use the provider oidc, or oauth2 with its setting issuer, or list accounts by ids", d.Name)
		case d.Issuer != issuer:
			return fmt.Errorf("accounts/unverified_email_from: %s is not the issuer of this tenant's accounts, which is %s; write that, or take the entry out", issuer, d.Issuer)
		case d.ManyOrganizations:
			return fmt.Errorf("accounts/unverified_email_from: %s serves many organizations, so an address that it has not verified can be anybody's; "+
				"name the issuer of your own organization, or one that the provider's settings hold to your organization, or list accounts by ids or organizations", issuer)
		}
	}
	return nil
}

// vouched reports whether the operator answers for an issuer's addresses.
func (p Accounts) vouched(issuer string) bool {
	return issuer != "" && slices.Contains(p.UnverifiedEmailFrom, issuer)
}

// byEmail reports whether an e-mail address can admit an account.
func (p Accounts) byEmail() bool { return len(p.Emails)+len(p.Domains) > 0 }

// Admits tells whether an account may log in, and if not, why. An e-mail
// address counts only if the upstream says that it is verified, or the operator
// answers for its issuer: otherwise a user could write down another one's.
func (p Accounts) Admits(a upstream.Account, issuer string) (ok bool, why string) {
	if len(p.Emails)+len(p.Domains)+len(p.IDs)+len(p.Organizations) == 0 || slices.Contains(p.IDs, a.ID) {
		return true, ""
	}
	for _, organization := range a.Organizations {
		if slices.Contains(p.Organizations, organization) {
			return true, ""
		}
	}
	switch {
	case p.byEmail() && a.Email == "":
		return false, noEmail
	case !p.namesEmail(a.Email):
		return false, notListed
	case !a.EmailVerified && !p.vouched(issuer):
		return false, unverified
	}
	return true, ""
}

func (p Accounts) namesEmail(email string) bool {
	// From the first @ on: an address with two of them, which is read in more
	// than one way, has a domain that nobody lists.
	local, domain, _ := strings.Cut(email, "@")
	if local == "" {
		return false
	}
	return slices.ContainsFunc(p.Emails, func(e string) bool { return sameFold(e, email) }) ||
		slices.ContainsFunc(p.Domains, func(d string) bool { return sameFold(d, domain) })
}

// sameFold compares without regard to the case of ASCII letters. Unicode's
// folding would make an s of the long s and a k of the Kelvin sign, and an
// address with one of these belongs to somebody else.
func sameFold(a, b string) bool {
	lower := func(s string) string {
		return strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, s)
	}
	return lower(a) == lower(b)
}
