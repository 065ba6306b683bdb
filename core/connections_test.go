package core_test

import (
	"errors"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

var (
	formToken = regexp.MustCompile(`name="request" value="([^"]*)"`)
	endButton = regexp.MustCompile(`name="end" value="([^"]*)"`)
)

// visit opens the connections page.
func visit(t *testing.T, s *coretest.Server, user *http.Client, tenantName string) coretest.Answer {
	t.Helper()
	page := s.Get(t, user, "/"+tenantName+"/connections")
	if page.Status != http.StatusOK {
		t.Fatalf("the page: %d %s", page.Status, page.Body)
	}
	return page
}

// press presses a button of the page.
func press(t *testing.T, s *coretest.Server, user *http.Client, page coretest.Answer, name, value string) coretest.Answer {
	t.Helper()
	token := formToken.FindStringSubmatch(page.Body)
	if token == nil || !strings.Contains(page.Body, `name="`+name+`" value="`+value+`"`) {
		t.Fatalf("no button %s=%s on %s", name, value, page.Body)
	}
	return s.PostForm(t, user, "/music/connections", url.Values{"request": {html.UnescapeString(token[1])}, name: {value}})
}

// signIn signs an account in at the tenant music and returns the page.
func signIn(t *testing.T, s *coretest.Server, user *http.Client, account string) coretest.Answer {
	t.Helper()
	wantSee(t, s, s.Get(t, user, signInCallback(t, s, user, url.Values{"code": {account}})), "")
	return visit(t, s, user, "music")
}

// signInCallback is where the upstream sends the user back to, with an answer.
func signInCallback(t *testing.T, s *coretest.Server, user *http.Client, answer url.Values) string {
	t.Helper()
	onward := press(t, s, user, visit(t, s, user, "music"), "do", "sign-in")
	target := regexp.MustCompile(`http-equiv="refresh" content="0; url=([^"]*)"`).FindStringSubmatch(onward.Body)
	if onward.Status != http.StatusOK || target == nil {
		t.Fatalf("signing in: %d %s", onward.Status, onward.Body)
	}
	u, err := url.Parse(html.UnescapeString(target[1]))
	if err != nil || !strings.HasPrefix(u.String(), s.Fake.Login) {
		t.Fatalf("signing in leads to %v", u)
	}
	answer.Set("state", u.Query().Get("state"))
	return "/music/callback?" + answer.Encode()
}

// wantSee fails unless a sends the browser to the page, with a notice.
func wantSee(t *testing.T, s *coretest.Server, a coretest.Answer, notice string) {
	t.Helper()
	want := s.URL + "/music/connections"
	if notice != "" {
		want += "?notice=" + notice
	}
	if got := a.Header.Get("Location"); a.Status != http.StatusSeeOther || got != want {
		t.Errorf("got %d %q, want a redirect to %s", a.Status, got, want)
	}
}

// ids of the connections on a page, as its buttons have them.
func ids(page coretest.Answer) (all []string) {
	for _, m := range endButton.FindAllStringSubmatch(page.Body, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestUserSeesAndEndsAConnection(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	first, second := s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "ada")
	bobs := s.Login(t, s.Browser(), "bob")

	user := s.Browser()
	page := signIn(t, s, user, "ada")
	connections := ids(page)
	if len(connections) != 2 || !strings.Contains(page.Body, "Test Client") || !strings.Contains(page.Body, "Read everything") ||
		!strings.Contains(page.Body, "127.0.0.1:7777") {
		t.Fatalf("the page shows %v:\n%s", connections, page.Body)
	}
	for _, secret := range []string{first.Access, first.Refresh, "upstream-access", "upstream-refresh", first.ClientID} {
		if strings.Contains(page.Body, secret) {
			t.Errorf("the page holds a secret: %s", secret)
		}
	}
	wantSee(t, s, press(t, s, user, page, "end", connections[0]), "ended") // the newest
	if a := s.Call(t, "music", second.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("a call of the ended connection: %d %s", a.Status, a.Body)
	}
	for _, tokens := range []coretest.Tokens{first, bobs} {
		if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
			t.Errorf("a call of another connection: %d %s", a.Status, a.Body)
		}
	}
	if left := ids(visit(t, s, user, "music")); !slices.Equal(left, connections[1:]) {
		t.Errorf("afterwards the page shows %v", left)
	}
	wantSee(t, s, press(t, s, user, page, "end", connections[0]), "ended") // the same button again
	if n := strings.Count(s.Audit(), `"action":"grant_ended"`); n != 1 {
		t.Errorf("%d audit lines of an end", n)
	}
	for _, line := range strings.Split(s.Audit(), "\n") {
		if strings.Contains(line, `"grant_ended"`) && !(strings.Contains(line, `"sub":"ada"`) && strings.Contains(line, `"grant":"`+connections[0]+`"`)) {
			t.Errorf("the audit line says %s", line)
		}
	}
}

func TestUserEndsAllConnectionsAndSignsOut(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	adas := []coretest.Tokens{s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "ada")}
	bobs := s.Login(t, s.Browser(), "bob")
	user := s.Browser()
	wantSee(t, s, press(t, s, user, signIn(t, s, user, "ada"), "do", "end-all"), "all-ended")
	for _, tokens := range adas {
		if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusUnauthorized {
			t.Errorf("a call: %d %s", a.Status, a.Body)
		}
	}
	if a := s.Call(t, "music", bobs.Access); a.Status != http.StatusOK {
		t.Errorf("a call of somebody else: %d %s", a.Status, a.Body)
	}
	page := visit(t, s, user, "music")
	if len(ids(page)) != 0 || !strings.Contains(page.Body, "No application is connected") {
		t.Errorf("afterwards: %s", page.Body)
	}
	wantSee(t, s, press(t, s, user, page, "do", "sign-out"), "signed-out")
	if page := s.Get(t, user, "/music/connections?notice=signed-out"); !strings.Contains(page.Body, "You are signed out") || strings.Contains(page.Body, "ada") {
		t.Errorf("signed out: %s", page.Body)
	}
}

func TestSigningInConnectsNothingAndRevokesNothing(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, onMemory(driver))
	tokens := s.Login(t, s.Browser(), "ada")
	before := driver.Keys("")
	user := s.Browser()
	if n := len(ids(signIn(t, s, user, "ada"))); n != 1 {
		t.Errorf("%d connections", n)
	}
	if n := driver.Keys(""); n != before {
		t.Errorf("signing in left %d records", n-before)
	}
	if revoked := s.Fake.Revoked(); len(revoked) != 0 {
		t.Errorf("the upstream was told to revoke %v", revoked)
	}
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("a call: %d %s", a.Status, a.Body)
	}
	if !strings.Contains(s.Audit(), `"action":"signed_in","tenant":"music","sub":"ada"`) {
		t.Errorf("no audit line: %s", s.Audit())
	}
}

func TestSignInBelongsToItsBrowserAndEndsInTime(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	s.Login(t, s.Browser(), "ada")

	// An attacker's sign-in does not become the victim's, nor the other way.
	attacker, victim := s.Browser(), s.Browser()
	back := signInCallback(t, s, attacker, url.Values{"code": {"eve"}})
	if a := s.Get(t, victim, back); a.Status != http.StatusBadRequest {
		t.Errorf("the callback in another browser: %d %s", a.Status, a.Body)
	}
	if page := visit(t, s, victim, "music"); !strings.Contains(page.Body, `value="sign-in"`) {
		t.Error("the victim is signed in")
	}

	user := s.Browser()
	page := signIn(t, s, user, "ada")
	if octo := visit(t, s, user, "octo"); !strings.Contains(octo.Body, `value="sign-in"`) {
		t.Error("signing in at one tenant signed in at another")
	}
	s.Advance(16 * time.Minute)
	wantSee(t, s, press(t, s, user, page, "end", ids(page)[0]), "stale")
	late := s.Get(t, user, "/music/connections?notice=stale")
	if !strings.Contains(late.Body, "Nothing was changed") || !strings.Contains(late.Body, `value="sign-in"`) {
		t.Errorf("a quarter of an hour later: %s", late.Body)
	}
	if n := len(ids(signIn(t, s, user, "ada"))); n != 1 {
		t.Errorf("%d connections are left, want the one", n)
	}
}

func TestAccountThatIsNoLongerAdmittedEndsItsConnections(t *testing.T) {
	t.Parallel()
	var music *tenant.Tenant
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) { music = tenants[0] })
	tokens := s.Login(t, s.Browser(), "ada")
	narrowed := *music
	narrowed.Accounts = tenant.Accounts{IDs: []string{"bob"}}
	set, err := tenant.NewSet(&narrowed)
	if err != nil {
		t.Fatal(err)
	}
	s.Core.SetTenants(set)

	user := s.Browser()
	page := signIn(t, s, user, "ada")
	if len(ids(page)) != 1 {
		t.Fatalf("the page: %s", page.Body)
	}
	press(t, s, user, page, "end", ids(page)[0])
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusUnauthorized {
		t.Errorf("a call afterwards: %d %s", a.Status, a.Body)
	}
}

func TestForgedFormsEndNothing(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")
	user, mallory := s.Browser(), s.Browser()
	page := signIn(t, s, user, "ada")
	id := ids(page)[0]
	own := func(p coretest.Answer) string { return html.UnescapeString(formToken.FindStringSubmatch(p.Body)[1]) }
	eves := signIn(t, s, mallory, "eve")
	for name, c := range map[string]struct {
		user *http.Client
		form url.Values
		site string
	}{
		"no token":                  {user, url.Values{"end": {id}}, ""},
		"a token of another's page": {user, url.Values{"end": {id}, "request": {own(eves)}}, ""},
		"from another site":         {user, url.Values{"end": {id}, "request": {own(page)}}, "cross-site"},
		"another's connection":      {mallory, url.Values{"end": {id}, "request": {own(eves)}}, ""},
		"nobody is signed in":       {s.Browser(), url.Values{"end": {id}, "request": {own(page)}}, ""},
		"end all from elsewhere":    {user, url.Values{"do": {"end-all"}, "request": {own(page)}}, "cross-site"},
		"an unknown button":         {user, url.Values{"do": {"x"}, "request": {own(page)}}, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/music/connections", strings.NewReader(c.form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.site != "" {
			req.Header.Set("Sec-Fetch-Site", c.site)
		}
		if a := s.Do(t, c.user, req); a.Status != http.StatusSeeOther {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
		if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
			t.Fatalf("%s: it worked: %d %s", name, a.Status, a.Body)
		}
	}
	stranger := s.Browser()
	signedOut := visit(t, s, stranger, "music")
	for _, form := range []url.Values{{"end": {id}}, {"do": {"end-all"}}, {"do": {"sign-out"}}} {
		form.Set("request", own(signedOut))
		wantSee(t, s, s.PostForm(t, stranger, "/music/connections", form), "stale")
	}
	if a := s.Get(t, user, "/music/connections?end="+id); a.Status != http.StatusOK || len(ids(a)) != 1 {
		t.Errorf("a link ends a connection: %d", a.Status)
	}
}

func TestFailedSignInIsToldOnThePage(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	user := s.Browser()
	wantFailedSignIn(t, s, s.Get(t, user, signInCallback(t, s, user, url.Values{"error": {"access_denied"}})))
	s.Fake.Exchange = &upstream.Error{Kind: upstream.Unavailable, Detail: "upstream-detail"}
	id := wantFailedSignIn(t, s, s.Get(t, user, signInCallback(t, s, user, url.Values{"code": {"ada"}})))
	page := s.Get(t, user, "/music/connections?notice=sign-in-failed&id="+id)
	if !strings.Contains(page.Body, "request id: <code>"+id+"</code>") || !strings.Contains(s.Log(), "request="+id) {
		t.Errorf("the page and the log do not have the id %q in common:\n%s\n%s", id, page.Body, s.Log())
	}
	if !strings.Contains(page.Body, "did not succeed") || !strings.Contains(page.Body, `value="sign-in"`) {
		t.Errorf("the page: %s", page.Body)
	}
	if strings.Contains(s.Audit(), "signed_in") || strings.Count(s.Audit(), `"action":"login_failed"`) != 2 {
		t.Errorf("audit: %s", s.Audit())
	}
	for _, query := range []string{"notice=Call+0800", "notice=sign-in-failed&id=Call+0800", "notice=stale&id=aaaaaaaa0800"} {
		if page := s.Get(t, user, "/music/connections?"+query); strings.Contains(page.Body, "0800") {
			t.Errorf("%s: the address puts words on the page", query)
		}
	}
}

// wantFailedSignIn fails unless a sends the browser to the page with the id of
// the request that failed, which it returns.
func wantFailedSignIn(t *testing.T, s *coretest.Server, a coretest.Answer) (id string) {
	t.Helper()
	id = a.Header.Get("X-Request-Id")
	want := s.URL + "/music/connections?id=" + id + "&notice=sign-in-failed"
	if got := a.Header.Get("Location"); a.Status != http.StatusSeeOther || got != want || id == "" {
		t.Errorf("got %d %q, want a redirect to %s", a.Status, got, want)
	}
	return id
}

func TestConnectionsWithoutTheStoreAreUnavailable(t *testing.T) {
	t.Parallel()
	driver := &memory.Driver{}
	s := coretest.New(t, onMemory(driver))
	tokens := s.Login(t, s.Browser(), "ada")
	user := s.Browser()
	page := signIn(t, s, user, "ada")
	driver.Fail(func(string, string) error { return errors.New("redis: engine-detail") })
	for name, a := range map[string]coretest.Answer{
		"page":    s.Get(t, user, "/music/connections"),
		"end":     press(t, s, user, page, "end", ids(page)[0]),
		"end all": s.PostForm(t, user, "/music/connections", url.Values{"request": formToken.FindStringSubmatch(page.Body)[1:], "do": {"end-all"}}),
		"sign in": s.PostForm(t, user, "/music/connections", url.Values{"request": formToken.FindStringSubmatch(page.Body)[1:], "do": {"sign-in"}}),
	} {
		if a.Status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
		wantNoLeak(t, name, a)
	}
	driver.Fail(nil)
	if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
		t.Errorf("a call afterwards: %d %s", a.Status, a.Body)
	}
}
