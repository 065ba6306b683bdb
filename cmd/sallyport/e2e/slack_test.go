package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

// slackTokens logs in to emulate's Slack: as two users, as the bot that one of
// them installed, with a code that was used before and with a wrong secret. Like
// its GitHub it serves a made-up token as a user of its own, who is none of these.
func slackTokens(ctx context.Context, t *testing.T, w *world, s site) {
	const users, bot, wrong = "users", "bot", "wrong"
	upstream := startEmulate(t, "slack", map[string]any{
		"team": map[string]any{"name": "Compilers", "domain": "compilers"},
		"users": []map[string]any{
			{"name": "lovelace", "real_name": "Ada Lovelace", "email": "ada@example.test"},
			{"name": "hopper", "real_name": "Grace Hopper", "email": "grace@example.test"},
		},
		"oauth_apps": []map[string]any{{
			"client_id": s.app, "client_secret": secret, "app_id": "A000000001", "name": "Sallyport",
			"redirect_uris": []string{s.callback(users), s.callback(bot), s.callback(wrong)},
			"scopes":        []string{"chat:write"}, "user_scopes": []string{"users:read"}, "bot_name": "porter",
		}},
	})
	chat := tenant{
		Name: users, Provider: "slack", Settings: fmt.Sprintf(`{ base_url: "%s" }`, upstream),
		App: s.app, Secret: secret, Scopes: `["users:read"]`, Upstream: upstream,
		Backend: startBackend(t, slackUser(upstream)),
	}
	porter, stranger := chat, chat
	porter.Name, porter.Scopes = bot, `["chat:write"]`
	porter.Settings = fmt.Sprintf(`{ base_url: "%s", token: bot }`, upstream)
	stranger.Name, stranger.Secret = wrong, "not the secret"
	g := newGateway(ctx, t, w, s, boltStore(t), chat, porter, stranger)

	ids := slackIDs(ctx, t, upstream)
	seen := &tamperer{}
	for _, name := range []string{"hopper", "lovelace"} {
		browser := demo.NewBrowser(pickSlackUser(ids[name]), seen)
		who, err := connectWith(ctx, t, g.mcpURL(users), browser).Whoami(ctx)
		wantSlack(t, who, err, name, ids[name])
		wantSubject(t, g, users, slackTeam+"/"+ids[name])
	}

	pick := pickSlackUser(ids["hopper"])
	who, err := connect(ctx, t, g.mcpURL(bot), pick).Whoami(ctx)
	if err != nil || who.Name != "porter" {
		t.Errorf("whoami with a bot token: expected porter, got %+v (%v)", who, err)
	}
	wantSubject(t, g, bot, slackTeam+"/"+ids["hopper"]) // a bot works for whoever installed it

	g.wantRefused(ctx, "a code used before", users, "invalid_grant", demo.NewBrowser(pick, &tamperer{inject: seen.code}))
	g.wantRefused(ctx, "a wrong secret", wrong, "misconfigured", demo.NewBrowser(pick, nil))
}

// slackTeam is the id of the workspace, which is always the same.
const slackTeam = "T000000001"

// slackIDs returns the ids of all users by name. They differ from run to run.
func slackIDs(ctx context.Context, t *testing.T, api string) map[string]string {
	t.Helper()
	var list struct{ Members []struct{ ID, Name string } }
	if err := ask(ctx, http.MethodPost, api+"/api/users.list", "Bearer made-up", &list); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, user := range list.Members {
		ids[user.Name] = user.ID
	}
	if who, err := slackUser(api)(ctx, "Bearer made-up"); err != nil || who.Name == "hopper" || who.Name == "lovelace" {
		t.Fatalf("the upstream serves a made-up token as %+v (%v): this test would prove nothing", who, err)
	}
	return ids
}

// pickSlackUser approves on Sallyport's consent page and logs in at emulate.
// Its page has a form for each user; the user is a hidden field.
func pickSlackUser(id string) demo.Fill {
	return func(f *demo.Form) error {
		if f.Has("decision") {
			return f.Press("decision", "approve")
		}
		f.Values.Set("user_id", id)
		return nil
	}
}

// wantSlack fails unless the tool said that this user is calling.
func wantSlack(t *testing.T, got demo.Profile, err error, name, id string) {
	t.Helper()
	if want := (demo.Profile{Sub: id, Name: name}); err != nil || got != want {
		t.Fatalf("whoami: expected %+v, got %+v (%v)", want, got, err)
	}
}

// slackUser looks up the user of a token with the Web API.
func slackUser(api string) lookup {
	return func(ctx context.Context, authorization string) (demo.Profile, error) {
		var who struct {
			OK          bool
			Error, User string
			UserID      string `json:"user_id"`
		}
		err := ask(ctx, http.MethodPost, api+"/api/auth.test", authorization, &who)
		if err == nil && !who.OK {
			err = fmt.Errorf("slack said %s", who.Error)
		}
		return demo.Profile{Sub: who.UserID, Name: who.User}, err
	}
}
