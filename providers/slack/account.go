package main

import (
	"github.com/sallyport/sallyport/sdk"
	"github.com/sallyport/sallyport/sdk/oauth2"
	"github.com/sallyport/sallyport/sdk/tree"
)

// account asks Slack whose token it is and holds that against the token
// answer. A user's identifier is unique within a team only, so the account's
// is organization (if there is one), team, user.
func account(c *sdk.Conversation, cfg *oauth2.Config, token string, answer tree.Value) (*sdk.Account, error) {
	prefix := ""
	r := sdk.PostForm(cfg.UserinfoURL, nil).Idempotent()
	if c.Setting("flow").Str() == "openid" {
		prefix = "https://slack.com/" // of the claims, wherever they come from
		r = sdk.Get(cfg.UserinfoURL)
	}
	me, err := call(c, r.Bearer(token))
	if err != nil {
		return nil, err
	}
	told := func(name string) string { return me.Get(prefix + name).Str() }
	userID := answer.Pointer("/authed_user/id").Str()
	team := answer.Pointer("/team/id").Str()
	organization := or(answer.Pointer("/enterprise/id").Str(), told("enterprise_id"))
	switch {
	case answer.Get("is_enterprise_install").Bool():
		team = "" // installed in all of the organization: users are its own
	case team == "":
		team = told("team_id")
	case told("team_id") != team:
		return nil, another("team")
	}
	found := &sdk.Account{
		Name:    or(me.Get("name").Str(), me.Get("user").Str()),
		Email:   me.Get("email").Str(),
		Picture: me.Get("picture").Str(),

		EmailVerified: me.Get("email_verified").Bool(),
	}
	switch {
	case wanted(c) == bot: // whose user is the bot itself
		found.Name = or(answer.Pointer("/team/name").Str(), answer.Pointer("/enterprise/name").Str())
	case userID == "":
		userID = told("user_id")
	case told("user_id") != userID:
		return nil, another("user")
	}
	if userID == "" || organization+team == "" {
		return nil, sdk.Unavailable("Slack did not say who you are.", "no user or no team in the answers")
	}
	for _, part := range []string{organization, team} {
		if part != "" {
			found.ID += part + "/"
			found.Organizations = append(found.Organizations, part)
		}
	}
	found.ID += userID
	return found, nil
}

func another(what string) error {
	return sdk.Unavailable("Slack did not say who you are.", "the token belongs to another "+what+" than its answer says")
}

// or returns a, or b if a is empty.
func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
