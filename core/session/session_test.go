package session

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

var request = Request{
	ClientID: "c", RedirectURI: "http://127.0.0.1/cb", State: "client+state/==", Challenge: "x",
	Resource: "https://music.example/mcp", Scopes: []string{"read"},
}

type harness struct {
	*Store
	driver *memory.Driver
	now    time.Time
	music  *tenant.Tenant
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{now: time.Unix(1_800_000_000, 0), music: at("music", "https://mcp.example/music")}
	h.driver = &memory.Driver{Now: func() time.Time { return h.now }}
	h.Store = NewStore(h.driver, keys, func() time.Time { return h.now })
	return h
}

func at(name, issuer string) *tenant.Tenant {
	return &tenant.Tenant{
		Name: name, Issuer: issuer, Lifetimes: tenant.DefaultLifetimes(),
		Provider: upstreamtest.Provider{Fake: &upstreamtest.Fake{Login: "https://login.example/"}},
	}
}

// browser keeps cookies as a browser does, without looking at their scope.
type browser map[string]string

func (b browser) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range b {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	return r
}

func (b browser) keep(w *httptest.ResponseRecorder) {
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b, c.Name)
		} else {
			b[c.Name] = c.Value
		}
	}
}

func (h *harness) form(t *testing.T, b browser) string {
	t.Helper()
	w := httptest.NewRecorder()
	text, err := h.SealForm(w, b.request(), h.music, request)
	if err != nil {
		t.Fatal(err)
	}
	b.keep(w)
	return text
}

func (h *harness) begin(t *testing.T, b browser) string { return h.beginAt(t, b, h.music) }

func (h *harness) beginAt(t *testing.T, b browser, at *tenant.Tenant) string {
	t.Helper()
	w := httptest.NewRecorder()
	location, err := h.Login(t.Context(), w, at, request)
	if err != nil {
		t.Fatal(err)
	}
	b.keep(w)
	return stateOf(t, location)
}

// stateOf is the state in the upstream's URL.
func stateOf(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil || u.Query().Get("state") == "" {
		t.Fatalf("no state in %q", location)
	}
	return u.Query().Get("state")
}

func (h *harness) take(t *testing.T, b browser, at *tenant.Tenant, state string) error {
	t.Helper()
	w := httptest.NewRecorder()
	got, err := h.Take(t.Context(), w, b.request(), at, state)
	b.keep(w)
	if err == nil && (!reflect.DeepEqual(got.Request, request) || got.SignIn || len(got.Verifier.Reveal()) != 43) {
		t.Errorf("took %+v", got)
	}
	return err
}

func TestFormBelongsToItsBrowserTenantAndTime(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b, other := browser{}, browser{}
	first, second := h.form(t, b), h.form(t, b) // two tabs
	h.form(t, other)
	for name, c := range map[string]struct {
		b    browser
		t    *tenant.Tenant
		text string
		want error
	}{
		"first tab":       {b, h.music, first, nil},
		"second tab":      {b, h.music, second, nil},
		"another browser": {other, h.music, first, ErrForm},
		"no cookie":       {browser{}, h.music, first, ErrForm},
		"another tenant":  {b, at("octo", "https://mcp.example/octo"), first, ErrForm},
		"changed":         {b, h.music, first[:len(first)-4] + "AAAA", ErrForm},
		"empty":           {b, h.music, "", ErrForm},
		"no base64":       {b, h.music, "%", ErrForm},
	} {
		got, err := h.OpenForm(c.b.request(), c.t, c.text)
		if !errors.Is(err, c.want) || (c.want == nil && !reflect.DeepEqual(got, request)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	halfless, err := sealValue(h.Store, formPurpose("authorize-form", h.music, ""), request, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.OpenForm(browser{}.request(), h.music, halfless); !errors.Is(err, ErrForm) {
		t.Errorf("a form that needs no cookie: %v", err)
	}
	h.now = h.now.Add(h.music.Lifetimes.Session)
	if _, err := h.OpenForm(b.request(), h.music, first); !errors.Is(err, ErrForm) {
		t.Errorf("too old: %v", err)
	}
	if h.driver.Keys("") != 0 {
		t.Error("a page that was only looked at left something in the store")
	}
}

func TestSessionIsTakenOnceByItsBrowser(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := browser{}
	state, tab := h.begin(t, b), h.begin(t, b)
	if err := h.take(t, browser{}, h.music, state); !errors.Is(err, ErrBrowser) {
		t.Errorf("no cookie: %v", err)
	}
	if err := h.take(t, b, h.music, state); err != nil {
		t.Errorf("after a browser without the cookie: %v", err)
	}
	if err := h.take(t, b, h.music, state); !errors.Is(err, ErrBrowser) {
		t.Errorf("again, the cookie being gone: %v", err)
	}
	if err := h.take(t, b, h.music, tab); err != nil {
		t.Errorf("the other tab: %v", err)
	}
	if len(b) != 0 {
		t.Errorf("cookies left behind: %v", b)
	}
}

func TestSessionEndsOnMisuse(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for name, c := range map[string]struct {
		misuse func(b browser, state string) error
		want   error
	}{
		"wrong cookie": {func(b browser, state string) error {
			return h.take(t, browser{browserCookie.name(h.music, start(idOf(state))): "guess"}, h.music, state)
		}, ErrBrowser},
	} {
		b := browser{}
		state := h.begin(t, b)
		if err := c.misuse(b, state); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := h.take(t, b, h.music, state); !errors.Is(err, ErrGone) {
			t.Errorf("after %s: %v", name, err)
		}
	}
	b := browser{}
	state := h.begin(t, b)
	h.now = h.now.Add(h.music.Lifetimes.Session)
	if err := h.take(t, b, h.music, state); !errors.Is(err, ErrGone) {
		t.Errorf("too late: %v", err)
	}
	for _, odd := range []string{"", "x", "music.", ".music", "music..", "music.x", "../../grant/music/1", "a=b; c", strings.Repeat("s", 5000)} {
		b := browser{"__Host-sp_tx_" + odd[:min(len(odd), 12)]: "guess"}
		if err := h.take(t, b, h.music, odd); !errors.Is(err, ErrGone) && !errors.Is(err, ErrBrowser) {
			t.Errorf("state %.20q: %v", odd, err)
		}
	}
}

func TestStateBringsAnAnswerToItsTenantOnly(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	dotted := at("music.live", "https://mcp.example/live")
	for _, of := range []*tenant.Tenant{h.music, dotted} {
		b := browser{}
		state := h.beginAt(t, b, of)
		if TenantOf(state) != of.Name {
			t.Fatalf("%s: state %s", of.Name, state)
		}
		for _, other := range []*tenant.Tenant{at("octo", "https://mcp.example/octo"), h.music, dotted} {
			if other == of {
				continue
			}
			for _, brought := range []string{state, idOf(state), other.Name + "." + idOf(state)} {
				if err := h.take(t, maps.Clone(b), other, brought); !errors.Is(err, ErrGone) {
					t.Errorf("%s at %s: %v", brought, other.Name, err)
				}
			}
		}
		if err := h.take(t, b, of, state); err != nil {
			t.Errorf("%s afterwards, where it belongs: %v", of.Name, err)
		}
	}
	for state, want := range map[string]string{"": "", ".": "", "x": "", ".x": "", "a.b": "a", "a.b.c": "a.b", "a.": "a"} {
		if got := TenantOf(state); got != want {
			t.Errorf("the tenant of %q is %q", state, got)
		}
	}
}

// idOf is the part of a state that names the session.
func idOf(state string) string { return state[strings.LastIndexByte(state, '.')+1:] }

func TestStoreFailureIs503AndKeepsNothingBack(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	b := browser{}
	state := h.begin(t, b)
	h.driver.Fail(func(string, string) error { return errors.New("engine down") })
	if err := h.take(t, b, h.music, state); oauth.AsError(err).StatusCode() != http.StatusServiceUnavailable {
		t.Errorf("take: %v", err)
	}
	w := httptest.NewRecorder()
	if _, err := h.Login(t.Context(), w, h.music, request); oauth.AsError(err).StatusCode() != http.StatusServiceUnavailable {
		t.Errorf("login: %v", err)
	}
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("a cookie for a session that is not there")
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	loopback := at("music", "http://127.0.0.1:8080/music")
	for _, where := range []*tenant.Tenant{h.music, loopback} {
		w := httptest.NewRecorder()
		if _, err := h.SealForm(w, httptest.NewRequest(http.MethodGet, "/", nil), where, request); err != nil {
			t.Fatal(err)
		}
		location, err := h.Login(t.Context(), w, where, request)
		if err != nil {
			t.Fatal(err)
		}
		state := stateOf(t, location)
		cookies := w.Result().Cookies()
		if len(cookies) != 2 || !strings.HasSuffix(cookies[1].Name, "_"+start(idOf(state))) {
			t.Fatalf("cookies %v", cookies)
		}
		for _, c := range cookies {
			if strings.HasPrefix(c.Name, "__Host-") != where.Secure() || c.Secure != where.Secure() {
				t.Errorf("%s: __Host- and Secure belong to https: %v", where.Issuer, c)
			}
			if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 600 {
				t.Errorf("%s: %v", where.Issuer, c)
			}
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(cookies[1])
		w = httptest.NewRecorder()
		if _, err := h.Take(t.Context(), w, r, where, state); err != nil {
			t.Errorf("take: %v", err)
		}
		if removed := w.Header().Get("Set-Cookie"); !strings.Contains(removed, "Max-Age=0") {
			t.Errorf("the cookie stays: %q", removed)
		}
	}
}

// module is a provider by another identity.
type module struct {
	upstreamtest.Provider
	identity, former upstream.Identity
}

func (m module) Describe() upstream.Description {
	d := m.Provider.Describe()
	d.Identity = m.identity
	if m.former != "" {
		d.Former = []upstream.Identity{m.former}
	}
	return d
}

// A login that began at a replica whose module names the upstream ends at one
// whose module of before does not, and the other way round.
func TestLoginEndsAtAReplicaWithTheModuleOfBefore(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	plain := upstreamtest.Provider{Fake: &upstreamtest.Fake{Login: "https://login.example/"}}
	named, before, other := *h.music, *h.music, *h.music
	named.Provider = module{plain, "up_named", "up_settings"}
	before.Provider = module{plain, "up_settings", ""}
	other.Provider = module{plain, "up_others", ""}
	for _, way := range [][2]*tenant.Tenant{{&named, &before}, {&before, &named}} {
		b := browser{}
		if err := h.take(t, b, way[1], h.beginAt(t, b, way[0])); err != nil {
			t.Errorf("begun at %s, ended at %s: %v", way[0].UpstreamIdentity(), way[1].UpstreamIdentity(), err)
		}
		h.welcome(t, b, way[0], Visitor{Subject: "42", Mark: way[0].Mark()})
		if v := h.Visitor(b.request(), way[1]); v.Account() != way[1].Account("42") {
			t.Errorf("signed in at %s, at %s: %+v", way[0].UpstreamIdentity(), way[1].UpstreamIdentity(), v)
		}
	}
	b := browser{}
	if err := h.take(t, b, &other, h.beginAt(t, b, &named)); !errors.Is(err, ErrOtherUpstream) {
		t.Errorf("with other settings: %v", err)
	}
}
