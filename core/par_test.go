package core_test

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// push pushes an authorization request of clientID, with changes.
func push(t *testing.T, s *coretest.Server, clientID string, change url.Values) coretest.Answer {
	t.Helper()
	form := s.AuthorizeQuery("music", clientID)
	maps.Copy(form, change)
	return s.PostForm(t, nil, "/music/par", form)
}

// pushed is the query that takes a pushed request to /authorize.
func pushed(t *testing.T, s *coretest.Server, clientID string, change url.Values) url.Values {
	t.Helper()
	a := push(t, s, clientID, change)
	if a.Status != http.StatusCreated {
		t.Fatalf("push: %d %s", a.Status, a.Body)
	}
	return url.Values{"client_id": {clientID}, "request_uri": {a.JSON(t)["request_uri"].(string)}}
}

// onMemory has the server's records where a test can count and break them.
func onMemory(driver *memory.Driver) coretest.Option {
	return func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		driver.Now = c.Now
		c.Store = driver
	}
}

func TestPushedRequestLeadsToTokens(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	if at := s.Get(t, nil, "/.well-known/oauth-authorization-server/music").JSON(t); at["pushed_authorization_request_endpoint"] != s.URL+"/music/par" ||
		at["request_uri_parameter_supported"] != false {
		t.Errorf("metadata: %v", at)
	}
	id := s.Register(t, "music")
	a := push(t, s, id, nil)
	uri, _ := a.JSON(t)["request_uri"].(string)
	if a.Status != http.StatusCreated || a.JSON(t)["expires_in"] != float64(90) || a.Header.Get("Cache-Control") != "no-store" ||
		!strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") {
		t.Fatalf("%d %v %s", a.Status, a.Header, a.Body)
	}
	answer := s.Code(t, s.Browser(), "music", url.Values{"client_id": {id}, "request_uri": {uri}}, "ada")
	if answer.Get("state") != "client+state/==" || answer.Get("iss") != s.URL+"/music" {
		t.Errorf("the answer: %v", answer)
	}
	if a := redeem(t, s, "music", answer.Get("code"), id, nil); a.Status != http.StatusOK || a.JSON(t)["scope"] != "read" {
		t.Errorf("redeem: %d %s", a.Status, a.Body)
	}
}

func TestOnlyWhatWasPushedCounts(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music", coretest.ClientCallback, "http://127.0.0.1:7777/other")
	q := pushed(t, s, id, nil)
	maps.Copy(q, url.Values{
		"redirect_uri": {"http://127.0.0.1:7777/other"}, "state": {"theirs"}, "scope": {"write"}, "response_type": {"token"},
		"code_challenge": {"x", "y"}, "request": {"eyJ"}, "resource": {"https://elsewhere.example"},
	})
	user := s.Browser()
	if page := s.Get(t, user, "/music/authorize?"+q.Encode()); !strings.Contains(page.Body, coretest.ClientCallback) || strings.Contains(page.Body, "7777/other") {
		t.Errorf("the page shows another redirect URI: %s", page.Body)
	}
	back := s.Get(t, user, "/music/callback?code=ada&state="+s.Consent(t, user, "music", q, "approve").Query().Get("state"))
	to, answer := back.Location(t)
	if to != coretest.ClientCallback || answer.Get("state") != "client+state/==" {
		t.Fatalf("sent to %s with %v", to, answer)
	}
	if a := redeem(t, s, "music", answer.Get("code"), id, nil); a.JSON(t)["scope"] != "read" {
		t.Errorf("redeem: %d %s", a.Status, a.Body)
	}
}

func TestPushedRequestBelongsToItsClientTenantAndTime(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, knownToBoth)
	other := s.Register(t, "music")
	good := pushed(t, s, knownClient, nil)
	uri := good.Get("request_uri")
	refused := func(what, tenantName string, change url.Values) {
		t.Helper()
		q := s.AuthorizeQuery(tenantName, knownClient) // an answer could go back, if it counted
		maps.Copy(q, good)
		maps.Copy(q, change)
		a := s.Get(t, nil, "/"+tenantName+"/authorize?"+q.Encode())
		if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d, Location %q", what, a.Status, a.Header.Get("Location"))
		}
		wantNoLeak(t, what, a)
	}
	refused("another client", "music", url.Values{"client_id": {other}})
	refused("no client", "music", url.Values{"client_id": nil})
	refused("another tenant", "octo", nil)
	refused("a changed one", "music", url.Values{"request_uri": {uri[:len(uri)-4] + "AAAA"}})
	refused("without its prefix", "music", url.Values{"request_uri": {strings.TrimPrefix(uri, "urn:ietf:params:oauth:request_uri:")}})
	refused("one to fetch", "music", url.Values{"request_uri": {"https://client.example/request.jwt"}})
	refused("two", "music", url.Values{"request_uri": {uri, uri}})
	s.Advance(75 * time.Second)
	s.Consent(t, s.Browser(), "music", good, "deny")
	s.Advance(16 * time.Second)
	refused("too late", "music", nil)
}

func TestPushedRequestOfAClientThatIsGoneStaysHere(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	m := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"none"}`).JSON(t)
	q := pushed(t, s, m["client_id"].(string), nil)
	deletion, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, m["registration_client_uri"].(string), nil)
	if err != nil {
		t.Fatal(err)
	}
	deletion.Header.Set("Authorization", "Bearer "+m["registration_access_token"].(string))
	if a := s.Do(t, nil, deletion); a.Status != http.StatusNoContent {
		t.Fatalf("delete: %d %s", a.Status, a.Body)
	}
	if a := s.Get(t, nil, "/music/authorize?"+q.Encode()); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("%d, Location %q", a.Status, a.Header.Get("Location"))
	}
}

func TestPushedRequestFollowsThePolicyOfNow(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	q := pushed(t, s, s.Register(t, "music"), nil)
	narrower := *s.Core.Tenants().Get("music")
	narrower.Scopes = []string{"write"}
	set, err := tenant.NewSet(&narrower)
	if err != nil {
		t.Fatal(err)
	}
	s.Core.SetTenants(set)
	if page := s.Get(t, nil, "/music/authorize?"+q.Encode()); strings.Contains(page.Body, "Read everything") || !strings.Contains(page.Body, "Change everything") {
		t.Errorf("what is no longer offered is asked for: %s", page.Body)
	}
}

func TestPushedRequestIsApprovedOnce(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	q := pushed(t, s, id, nil)
	user := s.Browser()
	page := s.Get(t, user, "/music/authorize?"+q.Encode())
	form := url.Values{"request": {s.Form(t, page)}, "decision": {"approve"}}
	s.Consent(t, user, "music", q, "deny") // in another tab: nothing came of it
	if a := s.PostForm(t, user, "/music/consent", form); a.Status != http.StatusOK {
		t.Fatalf("the first approval: %d %s", a.Status, a.Body)
	}
	s.Advance(80 * time.Second)
	again := s.Get(t, user, "/music/authorize?"+q.Encode())
	if again.Status != http.StatusOK {
		t.Fatalf("a reload: %d %s", again.Status, again.Body)
	}
	fresh := url.Values{"request": {s.Form(t, again)}, "decision": {"approve"}}
	s.Advance(9*time.Minute + 50*time.Second) // the last moment of the newer form
	for what, form := range map[string]url.Values{"the same form": form, "a form from a reload": fresh} {
		a := s.PostForm(t, user, "/music/consent", form)
		if a.Status != http.StatusBadRequest || strings.Contains(a.Body, "upstream-login") || strings.Contains(a.Body, coretest.ClientCallback) {
			t.Errorf("%s again: %d %s", what, a.Status, a.Body)
		}
	}
	if log := s.Audit(); strings.Count(log, `"action":"login_failed"`) != 1 || !strings.Contains(log, "approved before") {
		t.Errorf("audit:\n%s", log)
	}
}

func TestPushingStoresNothingAndAnApprovalThatCannotBeStoredCountsForNothing(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, onMemory(driver))
	id, user := s.Register(t, "music"), s.Browser()
	q := pushed(t, s, id, nil)
	s.Get(t, user, "/music/authorize?"+q.Encode())
	if n := driver.Keys(""); n != 0 {
		t.Errorf("%d records for a request that nobody approved", n)
	}
	driver.Fail(func(op, key string) error {
		if op == "swap" && strings.HasPrefix(key, "pushed/") {
			return errors.New("engine-detail")
		}
		return nil
	})
	answer := s.Consent(t, user, "music", q, "approve").Query()
	if answer.Get("error") != "temporarily_unavailable" || answer.Get("iss") != s.URL+"/music" || answer.Get("state") != "client+state/==" {
		t.Errorf("the answer: %v", answer)
	}
	driver.Fail(nil)
	if at := s.Consent(t, user, "music", q, "approve"); at.Query().Get("code_challenge") == "" {
		t.Errorf("afterwards: %v", at)
	}
}

func TestPushingAuthenticatesAsTheTokenEndpointDoes(t *testing.T) {
	t.Parallel()
	site, s := newWebsite(t)
	web := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"client_secret_post"}`).JSON(t)
	id, secret := web["client_id"].(string), web["client_secret"].(string)
	for what, a := range map[string]coretest.Answer{
		"a public client":        push(t, s, s.Register(t, "music"), nil),
		"a secret in the body":   push(t, s, id, url.Values{"client_secret": {secret}}),
		"a secret in the header": ask(t, s, "/music/par", id, secret, s.AuthorizeQuery("music", id)),
		"an assertion for us":    push(t, s, site.id, site.assertion(t, s.Now(), site.id, s.URL+"/music", "1")),
		"an assertion for /par":  push(t, s, site.id, site.assertion(t, s.Now(), site.id, s.URL+"/music/par", "2")),
	} {
		if a.Status != http.StatusCreated {
			t.Errorf("%s: %d %s", what, a.Status, a.Body)
		}
	}
	for what, a := range map[string]coretest.Answer{
		"no secret":                  push(t, s, id, nil),
		"a wrong secret":             push(t, s, id, url.Values{"client_secret": {"wrong"}}),
		"an unknown client":          push(t, s, "nobody", nil),
		"a client of another tenant": push(t, s, s.Register(t, "octo"), nil),
		"no client":                  push(t, s, "", nil),
		"an assertion used before":   push(t, s, site.id, site.assertion(t, s.Now(), site.id, s.URL+"/music", "1")),
	} {
		wantError(t, what, a, 401, "invalid_client")
		wantNoLeak(t, what, a)
	}
	if !strings.Contains(s.Audit(), `"action":"authorize_refused"`) {
		t.Errorf("audit:\n%s", s.Audit())
	}
}

func TestFaultyRequestsCannotBePushed(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	for what, c := range faulty(s) {
		wantError(t, what, push(t, s, id, c.change), 400, c.code)
	}
	wantError(t, "a pushed one", push(t, s, id, pushed(t, s, id, nil)), 400, "invalid_request")
	wantError(t, "an unregistered redirect URI", push(t, s, id, url.Values{"redirect_uri": {"https://evil.example/"}}), 400, "invalid_request")
	wantError(t, "a state no URL has room for", push(t, s, id, url.Values{"state": {strings.Repeat("s", 4000)}}), 413, "invalid_request")
	wantError(t, "a query", s.PostForm(t, nil, "/music/par?"+s.AuthorizeQuery("music", id).Encode(), nil), 401, "invalid_client")
	if a := s.Get(t, nil, "/music/par"); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", a.Status)
	}
}
