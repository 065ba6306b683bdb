package profiles

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/coretest"
)

// fault is what a proxy, or a server that is not ours, does to an answer.
type fault struct {
	name   string
	tamper func(t *testing.T, at stage, address string, a *coretest.Answer)
	stops  []string // clients that give up
	passes []string // clients that do not notice
}

// faults hold one for each rule of strictness, and a few that stop everybody.
// They are why the server is tested for what it must not do.
func faults() []fault {
	return []fault{
		{
			name:   "a null member in the metadata",
			tamper: member(atMetadata, "service_documentation", nil),
			stops:  []string{"Cursor", "Inspector", "OpenCode", "Smithery"}, passes: []string{"VS Code by registration", "Codex by registration"},
		},
		{
			name:   "a null member in a registration",
			tamper: member(atRegistration, "client_uri", nil),
			stops:  []string{"Cursor", "Claude Code by registration"}, passes: []string{"VS Code by registration"},
		},
		{
			name:   "a registration that does not say what was registered",
			tamper: without(atRegistration, "redirect_uris"),
			stops:  []string{"Cursor", "Codex by registration"},
		},
		{
			name:   "no secret for who has to have one",
			tamper: without(atRegistration, "client_secret"),
			stops:  []string{"Perplexity", "Claude by registration", "Copilot Studio"},
		},
		{
			name: "an issuer with a slash at its end",
			tamper: edit(atMetadata, func(m map[string]any) {
				m["issuer"] = m["issuer"].(string) + "/"
			}),
			stops: []string{"Codex by document", "ChatGPT by document", "Claude by document", "Perplexity"}, passes: []string{"Cursor", "VS Code by document"},
		},
		{
			name:   "no word of S256",
			tamper: without(atMetadata, "code_challenge_methods_supported"),
			stops:  []string{"Codex by document", "ChatGPT by registration"}, passes: []string{"Cursor", "Claude by document"},
		},
		{
			name: "metadata that is down at its first address",
			tamper: func(_ *testing.T, at stage, address string, a *coretest.Answer) {
				if at == atMetadata && strings.Contains(address, "oauth-authorization-server") {
					a.Status = http.StatusServiceUnavailable
				}
			},
			stops: []string{"Cursor", "Claude Code by document"}, passes: []string{"VS Code by document", "Claude by document"},
		},
		{
			name: "an OpenID document without keys, and no other",
			tamper: func(t *testing.T, at stage, address string, a *coretest.Answer) {
				if at == atMetadata && strings.Contains(address, "oauth-authorization-server") {
					a.Status = http.StatusNotFound
					return
				}
				without(atMetadata, "jwks_uri")(t, at, address, a)
			},
			stops: []string{"Cursor", "Le Chat"}, passes: []string{"VS Code by document"},
		},
		{
			name: "a resource with a slash at its end",
			tamper: edit(atResource, func(m map[string]any) {
				m["resource"] = m["resource"].(string) + "/"
			}),
			stops: []string{"Claude by document", "Claude Code by document", "VS Code by document"}, passes: []string{"Cursor", "Perplexity"},
		},
		{
			name:   "metadata of another resource",
			tamper: member(atResource, "resource", "https://mcp.example.com/music/other"),
			stops:  []string{"Cursor", "Perplexity", "VS Code by document", "Claude by document"},
		},
		{
			name:   "iss lost on the way back",
			tamper: answer(func(q url.Values) { q.Del("iss") }),
			stops:  []string{"Codex by document", "ChatGPT by document", "Claude by document"}, passes: []string{"Cursor", "VS Code by document"},
		},
		{
			name:   "the iss of another server",
			tamper: answer(func(q url.Values) { q.Set("iss", "https://mcp.example.com") }),
			stops:  []string{"Codex by registration", "ChatGPT by registration", "Perplexity"}, passes: []string{"Cursor"},
		},
		{
			name:   "iss sent and not promised",
			tamper: without(atMetadata, "authorization_response_iss_parameter_supported"),
			stops:  []string{"ChatGPT by document"}, passes: []string{"ChatGPT by registration", "Codex by document"},
		},
		{
			name:   "a state that is another",
			tamper: answer(func(q url.Values) { q.Set("state", strings.ReplaceAll(q.Get("state"), "+", " ")+" ") }),
			stops:  []string{"VS Code by document", "VS Code in the browser", "Claude by document"},
		},
		{
			name: "another scheme before Bearer",
			tamper: func(_ *testing.T, at stage, _ string, a *coretest.Answer) {
				if at == atChallenge {
					a.Header.Set("WWW-Authenticate", `Basic realm="x", `+a.Header.Get("WWW-Authenticate"))
				}
			},
			stops: []string{"Cursor", "Grok by document"},
		},
		{
			name:   "a challenge that scripts may not read",
			tamper: headerless(atChallenge, "Access-Control-Expose-Headers"),
			stops:  []string{"Inspector"}, passes: []string{"Inspector on the command line"},
		},
		{
			name:   "tokens that scripts may not read",
			tamper: headerless(atTokens, "Access-Control-Allow-Origin"),
			stops:  []string{"Inspector"}, passes: []string{"Cursor"},
		},
		{
			name:   "a token of no type",
			tamper: without(atTokens, "token_type"),
			stops:  []string{"Cursor", "Grok by registration", "Copilot Studio"},
		},
	}
}

// TestClientsGiveUp shows that the profiles notice what their clients notice:
// a server with one of these faults would not pass TestClientsConnect.
func TestClientsGiveUp(t *testing.T) {
	t.Parallel()
	all := slices.Concat(websites(), apps())
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, name := range slices.Concat(f.stops, f.passes) {
				at := slices.IndexFunc(all, func(p profile) bool { return p.name == name })
				if at < 0 {
					t.Fatalf("no profile is named %s", name)
				}
				c := newClient(t, all[at].internet(t), all[at], layouts[0].issuer)
				c.tamper = func(at stage, address string, a *coretest.Answer) { f.tamper(t, at, address, a) }
				if err := c.connect(); (err != nil) != slices.Contains(f.stops, name) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// edit changes the JSON answers of a stage that are no errors.
func edit(what stage, change func(m map[string]any)) func(*testing.T, stage, string, *coretest.Answer) {
	return func(t *testing.T, at stage, _ string, a *coretest.Answer) {
		if at != what || a.Status/100 != 2 {
			return
		}
		m := a.JSON(t)
		change(m)
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		a.Body = string(text)
	}
}

func member(what stage, name string, value any) func(*testing.T, stage, string, *coretest.Answer) {
	return edit(what, func(m map[string]any) { m[name] = value })
}

func without(what stage, name string) func(*testing.T, stage, string, *coretest.Answer) {
	return edit(what, func(m map[string]any) { delete(m, name) })
}

func headerless(what stage, name string) func(*testing.T, stage, string, *coretest.Answer) {
	return func(_ *testing.T, at stage, _ string, a *coretest.Answer) {
		if at == what {
			a.Header.Del(name)
		}
	}
}

// answer changes the query of the authorization response.
func answer(change func(q url.Values)) func(*testing.T, stage, string, *coretest.Answer) {
	return func(t *testing.T, at stage, _ string, a *coretest.Answer) {
		if at != atRedirect {
			return
		}
		to, q := a.Location(t)
		change(q)
		a.Header.Set("Location", to+"?"+q.Encode())
	}
}
