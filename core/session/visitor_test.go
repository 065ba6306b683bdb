package session

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// fakeUpstream is the identity of the tenants' provider.
var fakeUpstream = upstream.NewIdentity("fake", "", "")

var ada = Visitor{Subject: "42", Name: "Ada", Mark: upstream.Mark{Upstream: fakeUpstream}}

// welcome signs v in.
func (h *harness) welcome(t *testing.T, b browser, at *tenant.Tenant, v Visitor) {
	t.Helper()
	w := httptest.NewRecorder()
	if err := h.Welcome(w, at, v); err != nil {
		t.Fatal(err)
	}
	b.keep(w)
}

// visit returns the token of a form on a page made for v.
func (h *harness) visit(t *testing.T, b browser, v Visitor) string {
	t.Helper()
	w := httptest.NewRecorder()
	text, err := h.SealVisit(w, b.request(), h.music, v)
	if err != nil {
		t.Fatal(err)
	}
	b.keep(w)
	return text
}

func TestSignInIsASessionWithoutAClient(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := browser{}
	w := httptest.NewRecorder()
	location, err := h.SignIn(t.Context(), w, h.music)
	if err != nil {
		t.Fatal(err)
	}
	b.keep(w)
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Take(t.Context(), httptest.NewRecorder(), b.request(), h.music, stateOf(t, location))
	if err != nil || !got.SignIn || got.Request.ClientID != "" || strings.Join(got.Request.Scopes, " ") != "read write" {
		t.Errorf("%+v, %v", got, err)
	}
	if challenge := oauth.ChallengeOf(got.Verifier.Reveal()); u.Query().Get("code_challenge") != string(challenge) {
		t.Errorf("the upstream is asked with %s, the verifier makes %s", u.RawQuery, challenge)
	}
}

func TestVisitorIsKnownInOneBrowserAtOneTenantForAWhile(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := browser{}
	h.welcome(t, b, h.music, ada)
	if got := h.Visitor(b.request(), h.music); got != ada {
		t.Errorf("got %+v", got)
	}
	// The neighbour's cookie has another name and does not open here either.
	octo := at("octo", "https://mcp.example/octo")
	h.welcome(t, b, octo, Visitor{Subject: "7"})
	if got := h.Visitor(b.request(), h.music); got != ada {
		t.Errorf("after signing in next door: %+v", got)
	}
	b["__Host-sp_user_octo"] = b["__Host-sp_user_music"]
	if got := h.Visitor(b.request(), octo); got != (Visitor{}) {
		t.Errorf("another tenant's visitor: %+v", got)
	}
	if got := h.Visitor(browser{}.request(), h.music); got != (Visitor{}) {
		t.Errorf("another browser: %+v", got)
	}
	h.now = h.now.Add(VisitorLife)
	if got := h.Visitor(b.request(), h.music); got != (Visitor{}) {
		t.Errorf("a quarter of an hour later: %+v", got)
	}
	w := httptest.NewRecorder()
	h.Farewell(w, h.music)
	if b.keep(w); b["__Host-sp_user_music"] != "" {
		t.Errorf("signed out, the browser still has %v", b)
	}
	if n := h.driver.Keys(""); n != 0 {
		t.Errorf("visits left %d records", n)
	}
}

func TestLongNameOfAVisitorIsDropped(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := browser{}
	h.welcome(t, b, h.music, Visitor{Subject: "42", Mark: upstream.Mark{Upstream: fakeUpstream}, Name: strings.Repeat("A", 5000)})
	if got := h.Visitor(b.request(), h.music); got != (Visitor{Subject: "42", Mark: upstream.Mark{Upstream: fakeUpstream}}) {
		t.Errorf("got %+v", got)
	}
}

func TestVisitBelongsToItsBrowserAndItsVisitor(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b, other := browser{}, browser{}
	nobodys := h.visit(t, b, Visitor{})
	h.welcome(t, b, h.music, ada)
	adas := h.visit(t, b, ada)
	h.welcome(t, other, h.music, ada)
	h.visit(t, other, ada)
	bobs := browser{}
	for name, value := range b {
		bobs[name] = value
	}
	h.welcome(t, bobs, h.music, Visitor{Subject: "7"})

	for name, c := range map[string]struct {
		b    browser
		text string
		site string
		want error
	}{
		"right":                      {b, adas, "same-origin", nil},
		"an old browser":             {b, adas, "", nil},
		"another site":               {b, adas, "cross-site", ErrForm},
		"a neighbouring host":        {b, adas, "same-site", ErrForm},
		"another browser":            {other, adas, "same-origin", ErrForm},
		"another user now":           {bobs, adas, "same-origin", ErrForm},
		"a page from before sign-in": {b, nobodys, "same-origin", ErrForm},
		"no token":                   {b, "", "same-origin", ErrForm},
		"a consent form":             {b, h.form(t, b), "same-origin", ErrForm},
	} {
		r := c.b.request()
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		v, err := h.OpenVisit(r, h.music, c.text)
		if !errors.Is(err, c.want) || (err == nil) != (v == ada) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if _, err := h.OpenForm(b.request(), h.music, adas); !errors.Is(err, ErrForm) {
		t.Errorf("a visit's token in a consent form: %v", err)
	}
	if v, err := h.OpenVisit(browser{"__Host-sp_form": b["__Host-sp_form"]}.request(), h.music, nobodys); err != nil || v != (Visitor{}) {
		t.Errorf("nobody's own form: %+v, %v", v, err)
	}
}
