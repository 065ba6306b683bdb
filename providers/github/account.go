package main

import (
	"slices"

	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/tree"
)

// Exchange adds to the account what the scopes allow to see: the e-mail address
// that GitHub has verified (that of the profile may be any, or none), and the
// organizations, by their numbers, since a name that is given up can be taken
// by anybody. GitHub Apps have permissions instead of scopes and are not asked.
func (p *github) Exchange(c *sdk.Conversation, in sdk.ExchangeInput) (*sdk.Credential, error) {
	cred, err := p.Provider.Exchange(c, in)
	if err != nil {
		return nil, err
	}
	granted := func(scopes ...string) bool {
		return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(cred.Scopes, s) })
	}
	if granted("user:email", "user") {
		list, err := p.list(c, cred.AccessToken, "/user/emails")
		if err != nil {
			return nil, err
		}
		for _, email := range list {
			if email.Get("primary").Bool() && email.Get("verified").Bool() {
				cred.Account.Email, cred.Account.EmailVerified = email.Get("email").Str(), true
			}
		}
	}
	if granted("read:org", "write:org", "admin:org", "user") {
		list, err := p.list(c, cred.AccessToken, "/user/orgs?per_page=100")
		if err != nil {
			return nil, err
		}
		for _, organization := range list {
			cred.Account.Organizations = append(cred.Account.Organizations, organization.Get("id").Text())
		}
	}
	return cred, nil
}

// list asks the API for a list. One that is kept from this token, by a policy
// of the enterprise or by an old server, is an empty one.
func (p *github) list(c *sdk.Conversation, token, path string) ([]tree.Value, error) {
	_, api, err := roots(c)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(apiRequest("GET", api+path).Bearer(token).Idempotent())
	if err != nil {
		return nil, err
	}
	if err := resp.Overload(c.Now()); err != nil {
		return nil, err
	}
	switch resp.Status {
	case 200:
	case 403, 404:
		return nil, nil
	default:
		return nil, resp.Unreadable(path)
	}
	v, err := resp.JSON()
	return v.Array(), err
}
