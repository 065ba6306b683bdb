package stories

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// reply is what an upstream answers.
type reply struct {
	status  int
	media   string // content type; empty: JSON
	body    string
	headers []string // name, value, name, value
}

func (a reply) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", a.media)
	if a.media == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	for i := 0; i < len(a.headers); i += 2 {
		w.Header().Set(a.headers[i], a.headers[i+1])
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// refusal is a reply with an error as RFC 6749 §5.2, GitHub and Slack write it.
func refusal(status int, code string) reply {
	return reply{status: status, body: fmt.Sprintf(`{"ok":false,"error":%q,"error_description":"no"}`, code)}
}

// Who mends it when the upstream answers so to the renewal of one user's token,
// while another user's is renewed.
const (
	byLogin    = "the user"     // calls 401 with a challenge, refreshes invalid_grant
	byTime     = "time"         // calls 503 with Retry-After, refreshes go on, a WARN
	byOperator = "the operator" // calls 502, refreshes go on, an ERROR
)

// upstreamAnswer is an answer to a refresh and who mends it, for all providers but
// those named.
type upstreamAnswer struct {
	name   string
	reply  reply
	mends  string
	except map[string]string // by provider
}

// upstreamAnswers are answers of a token endpoint, as upstreams were seen to give
// them.
func upstreamAnswers() []upstreamAnswer {
	const page = "<!doctype html><title>Sign in</title>"
	html := func(status int, headers ...string) reply { return reply{status, "text/html", page, headers} }
	described := func(status int, code, words string) reply {
		return reply{status: status, body: fmt.Sprintf(`{"ok":false,"error":%q,"error_description":%q}`, code, words)}
	}
	all := []upstreamAnswer{
		{"200 invalid_grant", refusal(200, "invalid_grant"), byLogin, nil},
		{"500 invalid_grant", refusal(500, "invalid_grant"), byLogin, map[string]string{"slack": byTime}},
		{"200 bad_refresh_token", refusal(200, "bad_refresh_token"), byLogin, nil},
		{"200 invalid_refresh_token", refusal(200, "invalid_refresh_token"), byLogin, nil},
		{"400 expired_token", refusal(400, "expired_token"), byLogin, nil},
		{"400 INVALID_GRANT", refusal(400, "INVALID_GRANT"), byLogin, nil},
		{"200 invalid_auth", refusal(200, "invalid_auth"), byTime, map[string]string{"slack": byLogin}},
		{"400 invalid_request", refusal(400, "invalid_request"), byLogin, nil},
		{"400 unauthorized_client", refusal(400, "unauthorized_client"), byLogin, nil},
		{"400 an unknown error", refusal(400, "made_up"), byLogin, nil},
		{"400 an error of another shape", reply{status: 400, body: `{"error":{"code":42}}`}, byLogin, nil},
		{"403 a page", html(403), byLogin, nil},
		{"404 a page", html(404), byLogin, nil},

		{"401 invalid_client", refusal(401, "invalid_client"), byOperator, nil},
		{"400 invalid_client", refusal(400, "invalid_client"), byOperator, nil},
		{"401 without a body", reply{status: 401}, byOperator, nil},
		{"401 unauthorized_client, as Keycloak", described(401, "unauthorized_client", "Invalid client or Invalid client credentials"), byOperator, nil},
		{"400 unauthorized_client, about the secret", described(400, "unauthorized_client", "Invalid client secret"), byOperator, nil},
		{"200 incorrect_client_credentials", refusal(200, "incorrect_client_credentials"), byTime, map[string]string{"github": byOperator}},
		{"200 bad_client_secret", refusal(200, "bad_client_secret"), byTime, map[string]string{"slack": byOperator}},
		{"200 not_authed", refusal(200, "not_authed"), byTime, map[string]string{"slack": byOperator}},
		{"400 unsupported_grant_type", refusal(400, "unsupported_grant_type"), byOperator, nil},
		{"302 to a page", html(302, "Location", "https://login.example/"), byOperator, nil},
		{"308 to elsewhere", reply{status: 308, headers: []string{"Location", "https://elsewhere.example/token"}}, byOperator, nil},

		{"400 temporarily_unavailable", refusal(400, "temporarily_unavailable"), byTime, nil},
		{"400 server_error", refusal(400, "server_error"), byTime, nil},
		{"400 slow_down", reply{status: 400, body: `{"ok":false,"error":"slow_down"}`, headers: []string{"Retry-After", "2"}}, byTime, nil},
		{"429 with Retry-After", reply{status: 429, headers: []string{"Retry-After", "2"}}, byTime, nil},
		{"403 with Retry-After", html(403, "Retry-After", "2"), byTime, nil},
		{"200 internal_error", refusal(200, "internal_error"), byTime, nil},
		{"200 an unknown error", refusal(200, "made_up"), byTime, nil},
		{"200 a page", html(200), byTime, nil},
		{"200 without a body", reply{status: 200}, byTime, nil},
		{"200 an empty object", reply{status: 200, body: `{}`}, byTime, nil},
		{"204", reply{status: 204}, byTime, nil},
		{"409 a page", html(409), byTime, nil},
		{"500 a page", html(500), byTime, nil},
		{"503 with Retry-After", reply{status: 503, headers: []string{"Retry-After", "2"}}, byTime, nil},
	}
	for _, code := range []string{"invalid_grant", "interaction_required", "login_required", "consent_required", "account_selection_required", "access_denied", "invalid_scope"} {
		all = append(all, upstreamAnswer{"400 " + code, refusal(400, code), byLogin, nil})
	}
	return all
}

// victim is a tenant with an upstream of its own, whose answer to the renewals of
// ada's tokens is under test. Those of grace go on.
type victim struct {
	upstreamAnswer
	provider, tenant string
	up               *upstream
	refuses          atomic.Bool
	ada, grace       *client
}

// settingsOf is the YAML of a provider's settings for this double.
func settingsOf(provider, url string) string {
	return strings.ReplaceAll(map[string]string{
		"oauth2": `{ authorize_url: "URL/authorize", token_url: "URL/token", userinfo_url: "URL/me", revoke_url: "URL/revoke", account_id: /id, account_name: /name }`,
		"oidc":   `{ issuer: "URL" }`,
		"github": `{ base_url: "URL", api_url: "URL/api" }`,
		"slack":  `{ base_url: "URL" }`,
	}[provider], "URL", url)
}

// answersOfUpstreams has each standard provider's token endpoint give every answer
// to one user's renewal. Whatever it is: the user's client is told to log in again
// and can, or goes on without a login when the answer has passed. In the second
// case the operator is told, and where only the operator can mend it, by an ERROR.
func answersOfUpstreams(t *testing.T) {
	s, server := newServer(t), newBackend(t)
	var victims []*victim
	for _, provider := range []string{"oauth2", "oidc", "github", "slack"} {
		s.use(module(provider))
		for i, a := range upstreamAnswers() {
			v := &victim{upstreamAnswer: a, provider: provider, tenant: fmt.Sprintf("%s-%d", provider, i), up: newUpstream(t)}
			if mends := a.except[provider]; mends != "" {
				v.mends = mends
			}
			v.up.life = 1
			v.up.token = v.token
			s.private = append(s.private, v.up.host())
			s.tenants += fmt.Sprintf("  %s: { provider: %s, settings: %s, client_id: app, client_secret: secret-of-the-app, scopes: [read], backend: \"%s/mcp\" }\n",
				v.tenant, provider, settingsOf(provider, v.up.URL), server.URL)
			victims = append(victims, v)
		}
	}
	s.tenants += "limits: { register: off, authorize: off }\n"
	s.mustStart()
	each := func(do func(*victim)) {
		var all sync.WaitGroup
		queue := make(chan *victim, len(victims))
		for range 24 { // they wait most of the time
			all.Go(func() {
				for v := range queue {
					do(v)
				}
			})
		}
		for _, v := range victims {
			queue <- v
		}
		close(queue)
		all.Wait()
	}
	each(func(v *victim) { v.logIn(t, s) })
	if t.Failed() {
		return
	}
	for _, v := range victims {
		v.up.life = 3600 // of what is issued from now on
	}
	time.Sleep(1100 * time.Millisecond) // the upstreams' seconds
	each(func(v *victim) {
		t.Run(v.provider+" "+v.name, func(t *testing.T) { v.isNotStuck(t, s) })
	})
}

// token answers a refresh.
func (v *victim) token(w http.ResponseWriter, r *http.Request) {
	if v.refuses.Load() && v.up.userOf(r.FormValue("refresh_token")) == "ada" {
		v.reply.ServeHTTP(w, r)
		return
	}
	v.up.grant(w, r)
}

// logIn logs both users in.
func (v *victim) logIn(t *testing.T, s *sallyport) {
	v.ada, v.grace = newClient(t, s.tenantURL(v.tenant)), newClient(t, s.tenantURL(v.tenant))
	for user, c := range map[string]*client{"ada": v.ada, "grace": v.grace} {
		if err := c.login(user); err != nil {
			t.Errorf("%s: %v", v.tenant, err)
		}
	}
	v.refuses.Store(true)
}

func (v *victim) isNotStuck(t *testing.T, s *sallyport) {
	v.ada.t, v.grace.t = t, t
	v.grace.wantCall(http.StatusOK) // our client works
	if v.mends == byLogin {
		wantLogin(t, v.ada)
		v.wantLine(t, s, "[INFO]", "log in again")
		v.wantRevoked(t)
		return
	}
	status, level := http.StatusServiceUnavailable, "[WARN]"
	if v.mends == byOperator {
		status, level = http.StatusBadGateway, "[ERROR]"
	}
	for range 2 {
		if a := v.ada.call(); a.status != status || a.challenge != "" || a.retryAfter == "" && v.mends == byTime {
			t.Errorf("a call is answered %d %s, Retry-After %q; want %d", a.status, a.body, a.retryAfter, status)
		}
		if status, body := v.ada.renew(); status != http.StatusOK {
			t.Errorf("a refresh is answered %d %s: the client throws its tokens away", status, body)
		}
	}
	v.wantLine(t, s, level, "cannot be renewed")
	v.refuses.Store(false)
	if !v.ada.eventually(http.StatusOK) {
		t.Error("when the answer has passed the user is not served")
	}
	v.grace.wantCall(http.StatusOK)
	v.wantRevoked(t)
}

// wantLine fails unless the log has a line of the level about this tenant.
func (v *victim) wantLine(t *testing.T, s *sallyport, level, text string) {
	t.Helper()
	for line := range strings.Lines(s.logged()) {
		if strings.Contains(line, level) && strings.Contains(line, text) && strings.Contains(line, "tenant="+v.tenant+" ") {
			return
		}
	}
	t.Errorf("the log has no %s line with %q about %s", level, text, v.tenant)
}

// wantRevoked has the client end its login while the revocation endpoint gives the
// same answer.
func (v *victim) wantRevoked(t *testing.T) {
	t.Helper()
	v.up.revoke = v.reply.ServeHTTP
	if status, body := v.ada.post("/revoke", "application/x-www-form-urlencoded", "token="+v.ada.refresh+"&client_id="+v.ada.id); status != http.StatusOK {
		t.Errorf("a revocation is answered %d %s", status, body)
	}
	v.ada.wantCall(http.StatusUnauthorized)
}
