package core_test

import (
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// What other servers of this kind got wrong, where no other test is about it.
// FLAWS.md has the whole list.

// spy is the fake upstream, seen from behind: it notes what it is asked.
type spy struct {
	upstreamtest.Provider
	name, version string

	mu         sync.Mutex
	authorized []upstream.AuthorizeRequest
	exchanged  []upstream.ExchangeRequest
}

// behind puts the spy behind every tenant.
func (p *spy) behind(_ *core.Config, tenants []*tenant.Tenant, f *upstreamtest.Fake) {
	p.Fake = f
	for _, t := range tenants {
		t.Provider = p
	}
}

func (p *spy) Describe() upstream.Description {
	d := p.Provider.Describe()
	d.Name, d.Version = "spy"+p.name, p.version
	return d
}

func (p *spy) Authorize(ctx context.Context, req upstream.AuthorizeRequest) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.authorized = append(p.authorized, req)
	return p.Provider.Authorize(ctx, req)
}

func (p *spy) Exchange(ctx context.Context, req upstream.ExchangeRequest) (*upstream.Credential, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanged = append(p.exchanged, req)
	return p.Provider.Exchange(ctx, req)
}

// asked is how many logins were begun and how many came back.
func (p *spy) asked() [2]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return [2]int{len(p.authorized), len(p.exchanged)}
}

// One app at an upstream that remembers its users' consent, and clients that
// anybody registers: without a question of our own, before the upstream is
// asked and each time, a stranger's client is handed the code.
func TestConsentIsAskedEachTimeAndBeforeTheUpstream(t *testing.T) {
	t.Parallel()
	up := &spy{}
	site, s := newWebsite(t, up.behind, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].Clients = []tenant.Client{{ID: "written-down", Name: "Known", RedirectURIs: []string{coretest.ClientCallback}}}
	})
	user := s.Browser()
	for what, id := range map[string]string{"a registered client": s.Register(t, "music"), "a document": site.id, "the operator's own": "written-down"} {
		for range 2 { // the second time the same person has approved the same client before
			before := up.asked()
			page := s.Get(t, user, "/music/authorize?"+s.AuthorizeQuery("music", id).Encode())
			s.Form(t, page)
			if strings.Contains(page.Body, "http-equiv=\"refresh\"") || page.Header.Get("Location") != "" || up.asked() != before {
				t.Errorf("%s: the user was not asked: %d %v", what, page.Status, page.Header)
			}
			for _, form := range []url.Values{{"decision": {"approve"}}, {"decision": {"approve"}, "client_id": {id}}, {"request": {id}, "decision": {"approve"}}} {
				if a := s.PostForm(t, user, "/music/consent", form); a.Status != http.StatusBadRequest || up.asked() != before {
					t.Errorf("%s: an approval of nothing: %d", what, a.Status)
				}
			}
			q := s.AuthorizeQuery("music", id)
			q.Set("prompt", "none")
			if _, answer := s.Get(t, user, "/music/authorize?"+q.Encode()).Location(t); answer.Get("error") != "interaction_required" || up.asked() != before {
				t.Errorf("%s: asked without a question: %v", what, answer)
			}
			if answer := s.Code(t, user, "music", s.AuthorizeQuery("music", id), "ada"); answer.Get("code") == "" || up.asked() == before {
				t.Errorf("%s: %v", what, answer)
			}
		}
	}
}

// What travels through the browser and the upstream chooses no destination.
func TestNothingInARequestMovesTheRedirect(t *testing.T) {
	t.Parallel()
	up := &spy{}
	s := coretest.New(t, up.behind)
	id, user := s.Register(t, "music"), s.Browser()
	const evil = "https://evil.example/cb"
	moved := url.Values{"redirect_uri": {evil}, "redirect_url": {evil}, "return_to": {evil}, "client_id": {"x"}, "iss": {evil}, "target": {evil}}

	page := s.Get(t, user, "/music/authorize?"+s.AuthorizeQuery("music", id).Encode())
	form := s.Form(t, page)
	raw, err := base64.RawURLEncoding.DecodeString(form)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(raw); i += 7 {
		changed := slices.Clone(raw)
		changed[i] ^= 1
		a := s.PostForm(t, user, "/music/consent", url.Values{"request": {base64.RawURLEncoding.EncodeToString(changed)}, "decision": {"approve"}})
		if a.Status != http.StatusBadRequest {
			t.Errorf("byte %d of the form changed: %d", i, a.Status)
		}
	}
	with := maps.Clone(moved)
	maps.Copy(with, url.Values{"request": {form}, "decision": {"approve"}})
	if a := s.PostForm(t, user, "/music/consent", with); !strings.Contains(a.Body, s.Fake.Login) || strings.Contains(a.Body, "evil") {
		t.Errorf("after consent: %s", a.Body)
	}
	state := up.authorized[0].State
	nested := base64.RawURLEncoding.EncodeToString([]byte(`{"redirect_uri":"` + evil + `","state":"` + state + `"}`))
	for _, odd := range []string{nested, "music." + nested, state + "&redirect_uri=" + evil, state + "|" + evil, state + "." + nested, evil} {
		a := s.Get(t, user, "/music/callback?code=ada&state="+url.QueryEscape(odd))
		if a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
			t.Errorf("state %s: %d to %s", odd, a.Status, a.Header.Get("Location"))
		}
	}
	moved.Set("state", state)
	moved.Set("code", "ada")
	if to, answer := s.Get(t, user, "/music/callback?"+moved.Encode()).Location(t); to != coretest.ClientCallback || answer.Get("iss") != s.At("music") {
		t.Errorf("sent to %s with %v", to, answer)
	}
}

// A code is one thing: who knows a part of it, or a code of before, can neither
// use it nor end what it led to.
func TestPartOfACodeDisturbsNoGrant(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	good, id := code(t, s)
	parts := func(when, whole string) {
		t.Helper()
		for _, part := range []string{whole[:len(whole)/2], whole[:len(whole)-1], whole + "A", whole[:len(whole)-4] + "AAAA", whole[6:], "sp_ac_"} {
			wantError(t, when+", "+part, redeem(t, s, "music", part, id, nil), 400, "invalid_grant")
			if a := revoke(t, s, part, id, nil); a.Status != http.StatusOK {
				t.Errorf("%s: revoke: %d", when, a.Status)
			}
		}
	}
	parts("before", good)
	first := redeem(t, s, "music", good, id, nil)
	if first.Status != http.StatusOK {
		t.Fatalf("the whole code: %d %s", first.Status, first.Body)
	}
	parts("afterwards", good)
	parts("an access token", first.JSON(t)["access_token"].(string))
	wantError(t, "by another client", redeem(t, s, "music", good, s.Register(t, "music"), nil), 400, "invalid_grant")
	if a := s.Call(t, "music", first.JSON(t)["access_token"].(string)); a.Status != http.StatusOK || len(s.Fake.Revoked()) > 0 {
		t.Errorf("the grant was disturbed: %d, revoked %v", a.Status, s.Fake.Revoked())
	}
}

func TestPKCEDowngradeIsRefusedBothWays(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	for what, change := range map[string]url.Values{
		"no challenge":              {"code_challenge": nil, "code_challenge_method": nil},
		"an empty challenge":        {"code_challenge": {""}},
		"plain":                     {"code_challenge": {coretest.Verifier}, "code_challenge_method": {"plain"}},
		"plain, by leaving it out":  {"code_challenge_method": nil},
		"S256 in other letters":     {"code_challenge_method": {"s256"}},
		"a challenge and an absent": {"code_challenge": {string(oauth.ChallengeOf(coretest.Verifier)), ""}},
	} {
		q := s.AuthorizeQuery("music", id)
		maps.Copy(q, change)
		if _, answer := s.Get(t, nil, "/music/authorize?"+q.Encode()).Location(t); answer.Get("error") != "invalid_request" {
			t.Errorf("%s: %v", what, answer)
		}
		wantError(t, what+", pushed", push(t, s, id, change), 400, "invalid_request")
	}
	good := s.Code(t, s.Browser(), "music", s.AuthorizeQuery("music", id), "ada").Get("code")
	for what, verifier := range map[string][]string{
		"no verifier": nil, "an empty one": {""}, "the challenge": {string(oauth.ChallengeOf(coretest.Verifier))}, "another": {strings.Repeat("v", 43)},
	} {
		if a := redeem(t, s, "music", good, id, url.Values{"code_verifier": verifier}); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", what, a.Status, a.Body)
		}
	}
	if a := redeem(t, s, "music", good, id, nil); a.Status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.Status, a.Body)
	}
}

// Both halves of a delegated login are protected alike: the upstream's has a
// challenge and a state of its own, fresh each time.
func TestUpstreamLoginHasPKCEAndStateOfItsOwn(t *testing.T) {
	t.Parallel()
	up := &spy{}
	s := coretest.New(t, up.behind)
	q := s.AuthorizeQuery("music", s.Register(t, "music"))
	seen := map[string]bool{q.Get("code_challenge"): true, q.Get("state"): true, coretest.Verifier: true}
	for i := range 3 {
		s.Code(t, s.Browser(), "music", q, "ada")
		asked, back := up.authorized[i], up.exchanged[i]
		if verifier := back.CodeVerifier.Reveal(); len(verifier) < 43 || asked.CodeChallenge != string(oauth.ChallengeOf(verifier)) {
			t.Errorf("challenge %q for the verifier %q", asked.CodeChallenge, verifier)
		}
		random := strings.TrimPrefix(asked.State, "music.")
		if strings.Contains(asked.State, q.Get("state")) || len(random) < 43 { // 256 bits
			t.Errorf("state %q", asked.State)
		}
		for _, fresh := range []string{asked.CodeChallenge, back.CodeVerifier.Reveal(), random} {
			if seen[fresh] {
				t.Errorf("%q comes a second time", fresh)
			}
			seen[fresh] = true
		}
	}
}

// A code of one upstream is not for another: a login ends at the provider that
// it began with, whichever the tenant has by then.
func TestLoginEndsAtTheProviderItBeganWith(t *testing.T) {
	t.Parallel()
	old := &spy{}
	s := coretest.New(t, old.behind)
	user, id := s.Browser(), s.Register(t, "music")
	callback := func() string {
		return "/music/callback?code=ada&state=" + s.Consent(t, user, "music", s.AuthorizeQuery("music", id), "approve").Query().Get("state")
	}
	change := func(name, version string) *spy {
		up := &spy{Provider: old.Provider, name: name, version: version}
		changed := *s.Core.Tenants().Get("music")
		changed.Provider = up
		set, err := tenant.NewSet(&changed)
		if err != nil {
			t.Fatal(err)
		}
		s.Core.SetTenants(set)
		return up
	}
	open, late := callback(), callback()
	newer := change("", "2.0.0")
	if a := s.Get(t, user, open); a.Status != http.StatusFound || newer.asked() != [2]int{0, 1} {
		t.Errorf("a newer version of the same: %d %s", a.Status, a.Body)
	}
	other := change("other", "")
	if a := s.Get(t, user, late); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" || other.asked() != [2]int{} {
		t.Errorf("another provider: %d, asked %v", a.Status, other.asked())
	}
}

// The other ways to a token, and the other things OAuth servers issue, are not
// there to be wrong.
func TestOnlyTheCodeFlowIsThere(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	id := s.Register(t, "music")
	for _, kind := range []string{
		"password", "client_credentials", "implicit", "urn:ietf:params:oauth:grant-type:device_code",
		"urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "Authorization_Code",
	} {
		a := s.PostForm(t, nil, "/music/token", url.Values{
			"grant_type": {kind}, "client_id": {id}, "username": {"ada"}, "password": {"ada"}, "device_code": {"x"}, "assertion": {"x"}, "subject_token": {"x"},
		})
		wantError(t, kind, a, 400, "unsupported_grant_type")
	}
	for _, kind := range []string{"token", "id_token", "code token", "code id_token", "none", "CODE", ""} {
		q := s.AuthorizeQuery("music", id)
		q.Set("response_type", kind)
		_, answer := s.Get(t, nil, "/music/authorize?"+q.Encode()).Location(t)
		if answer.Get("error") != "unsupported_response_type" || answer.Has("access_token") || answer.Has("code") {
			t.Errorf("response_type %q: %v", kind, answer)
		}
	}
	for _, document := range []string{"/.well-known/oauth-authorization-server/music", "/.well-known/openid-configuration/music"} {
		a := s.Get(t, nil, document)
		for _, word := range []string{"device", "implicit", "password", "client_credentials", "fragment", "plain", `"none","RS256"`, `"HS`} {
			if strings.Contains(a.Body, word) {
				t.Errorf("%s offers %q: %s", document, word, a.Body)
			}
		}
		if m := a.JSON(t); m["code_challenge_methods_supported"].([]any)[0] != "S256" || len(m["code_challenge_methods_supported"].([]any)) != 1 {
			t.Errorf("%s: %v", document, m)
		}
	}
}
