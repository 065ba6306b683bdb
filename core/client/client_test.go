package client

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

const callback = "https://claude.ai/api/mcp/auth_callback"

func newRegistry(t testing.TB) (*Registry, *tenant.Tenant) {
	t.Helper()
	keys, err := seal.NewKeyring(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	offline := fetch.New(fetch.Config{Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("offline") }})
	return NewRegistry(Config{Keys: keys, Store: &memory.Driver{}, Fetch: offline}), &tenant.Tenant{
		Name: "music", Issuer: "https://music.test", Redirects: oauth.DefaultRedirects(),
		Clients: []tenant.Client{
			{ID: "public", RedirectURIs: []string{callback}},
			{ID: "signer", JWKSURI: "https://a.test/keys", RedirectURIs: []string{callback}},
			{ID: "web", Secret: seal.NewSecret("s3cret"), RedirectURIs: []string{"https://unlisted.example/cb"}},
			{ID: "odd+id%41", Secret: seal.NewSecret("a+b%41 c:d"), RedirectURIs: []string{callback}},
		},
	}
}

func TestRegisteredIDIsItsRegistration(t *testing.T) {
	t.Parallel()
	g, music := newRegistry(t)
	octo := &tenant.Tenant{Name: "octo"}
	for _, method := range Methods() {
		made, err := g.Register(music, Registration{Name: "Zoë's <app>", RedirectURIs: []string{callback, "http://localhost/cb"}, Method: method, JWKSURI: "https://a.test/keys"})
		if err != nil {
			t.Fatal(err)
		}
		found, err := g.Find(t.Context(), music, made.ID)
		if err != nil || found.Name != "Zoë's <app>" || !found.Allows(method) || found.Verified || found.keys.uri != "https://a.test/keys" ||
			!slices.Equal(found.RedirectURIs, []string{callback, "http://localhost/cb"}) {
			t.Errorf("%s: %+v, %v", method, found, err)
		}
		sends := method == Basic || method == Post
		if made.Secret.IsZero() == sends || found.Allows(None) != (method == None) || !found.secret.Equal(made.Secret.Reveal()) {
			t.Errorf("%s: the secret does not come back", method)
		}
		for what, id := range map[string]string{
			"cut": made.ID[:len(made.ID)-1], "longer": made.ID + "A", "line break": made.ID + "\n", "other prefix": "x" + made.ID,
			"prefix alone": idPrefix, "empty": "",
		} {
			if _, err := g.Find(t.Context(), music, id); !errors.Is(err, ErrUnknown) {
				t.Errorf("%s, id %s: %v", method, what, err)
			}
		}
		if _, err := g.Find(t.Context(), octo, made.ID); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s at another tenant: %v", method, err)
		}
	}
}

func TestRegistrationTooLargeForAnID(t *testing.T) {
	t.Parallel()
	g, music := newRegistry(t)
	size := func(n int) (int, error) {
		c, err := g.Register(music, Registration{RedirectURIs: []string{"https://claude.ai/" + strings.Repeat("x", n)}})
		if err != nil {
			return 0, err
		}
		return len(c.ID), nil
	}
	if n, err := size(600); err != nil || n > maxID {
		t.Errorf("600 characters: id of %d, %v", n, err)
	}
	if _, err := size(800); oauth.AsError(err).Code != oauth.InvalidClientMetadata {
		t.Errorf("800 characters: %v", err)
	}
}

func TestPolicyIsAskedAgainForRegisteredClientsOnly(t *testing.T) {
	t.Parallel()
	g, music := newRegistry(t)
	reg, err := g.Register(music, Registration{RedirectURIs: []string{callback}})
	if err != nil {
		t.Fatal(err)
	}
	made, err := g.Find(t.Context(), music, reg.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.Match(music, callback); err != nil {
		t.Errorf("allowed: %v", err)
	}
	narrowed := &tenant.Tenant{Name: "music"}
	if _, err := made.Match(narrowed, callback); err == nil {
		t.Error("a narrowed policy still lets the old registration through")
	}
	web, err := g.Find(t.Context(), music, "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := web.Match(music, "https://unlisted.example/cb"); err != nil {
		t.Errorf("the operator's own client: %v", err)
	}
	if _, err := web.Match(music, "https://unlisted.example/other"); err == nil {
		t.Error("a URI that is not registered matched")
	}
}

// params puts a form through the reader that the token endpoint uses.
func params(t testing.TB, form url.Values) oauth.Params {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	p, err := oauth.FormParams(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	g, music := newRegistry(t)
	odd, oddSecret := "odd+id%41", "a+b%41 c:d"
	for _, c := range []struct {
		name   string
		header string
		id     string // in the body
		secret string // in the body
		want   string // client id or error code
	}{
		{"public", "", "public", "", "public"},
		{"public by Basic without secret (Go SDK)", basic("public", ""), "", "", "public"},
		{"public by both", basic("public", ""), "public", "", "public"},
		{"public with a secret", "", "public", "x", "invalid_client"},
		{"public with a secret by Basic", basic("public", "x"), "", "", "invalid_client"},
		{"post", "", "web", "s3cret", "web"},
		{"post, wrong", "", "web", "s3cres", "invalid_client"},
		{"post, none", "", "web", "", "invalid_client"},
		{"basic", basic("web", "s3cret"), "", "", "web"},
		{"basic, scheme in another case", "bASIC" + basic("web", "s3cret")[5:], "", "", "web"},
		{"basic, wrong", basic("web", "nope"), "", "", "invalid_client"},
		{"basic with client_id beside it (Python SDK)", basic("web", "s3cret"), "web", "", "web"},
		{"basic with another client_id beside it", basic("web", "s3cret"), "public", "", "invalid_request"},
		{"secret twice", basic("web", "s3cret"), "web", "s3cret", "invalid_request"},
		{"id by Basic, secret in the body", basic("web", ""), "", "s3cret", "web"},
		{"odd, encoded", basic(url.QueryEscape(odd), url.QueryEscape(oddSecret)), "", "", odd},
		{"odd, raw (TypeScript SDK)", basic(url.QueryEscape(odd), oddSecret), "", "", odd},
		{"odd, all raw", basic(odd, oddSecret), "", "", odd},
		{"odd, raw, client_id beside it", basic(odd, oddSecret), odd, "", odd},
		{"odd, decoded twice", basic(odd, "a b%41 c:d"), "", "", "invalid_client"},
		{"odd, post", "", odd, oddSecret, odd},
		{"odd, post, encoded twice", "", odd, url.QueryEscape(oddSecret), "invalid_client"},
		{"by key alone, without an assertion", "", "signer", "", "invalid_client"},
		{"by key alone, by Basic without secret", basic("signer", ""), "", "", "invalid_client"},
		{"unknown", "", "nobody", "", "invalid_client"},
		{"unknown by Basic", basic("nobody", "x"), "", "", "invalid_client"},
		{"nothing", "", "", "", "invalid_client"},
		{"empty Basic", basic("", ""), "", "", "invalid_client"},
		{"Bearer", "Bearer sp_at_x", "public", "", "invalid_client"},
		{"no base64", "Basic ***", "public", "", "invalid_client"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/token", nil)
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		found, err := g.Authenticate(t.Context(), music, r, params(t, url.Values{"client_id": {c.id}, "client_secret": {c.secret}}))
		var got string
		if err != nil {
			got = string(oauth.AsError(err).Code)
		} else {
			got = found.ID
		}
		if got != c.want {
			t.Errorf("%s: got %s (%v), want %s", c.name, got, err, c.want)
		}
	}
}

func FuzzFind(f *testing.F) {
	g, music := newRegistry(f)
	made, err := g.Register(music, Registration{RedirectURIs: []string{callback}})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{made.ID, "public", "", idPrefix, made.ID + "A", made.ID[:40], "https://client.example/metadata.json"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		c, err := g.Find(t.Context(), music, id)
		known := id == made.ID || slices.ContainsFunc(music.Clients, func(c tenant.Client) bool { return c.ID == id })
		_, forClient := errors.AsType[*oauth.Error](err)
		if known != (err == nil) || (err != nil && !errors.Is(err, ErrUnknown) && !(forClient && looksLikeDocument(id))) || (c != nil && c.ID != id) {
			t.Errorf("%q: %+v, %v", id, c, err)
		}
	})
}

func FuzzAuthorizationHeader(f *testing.F) {
	g, music := newRegistry(f)
	for _, seed := range []string{"", "Basic", "Basic ", "Bearer x", basic("web", "s3cret"), basic("web", "%"), basic("odd+id%41", "a+b%41 c:d")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodPost, "/token", nil)
		r.Header["Authorization"] = []string{header}
		c, err := g.Authenticate(t.Context(), music, r, params(t, nil))
		if err != nil {
			if code := oauth.AsError(err).Code; code != oauth.InvalidClient && code != oauth.InvalidRequest {
				t.Errorf("%q: %v", header, err)
			}
			return
		}
		// Whoever passes has shown the secret, in one of the two readings.
		_, secret, _ := r.BasicAuth()
		decoded, _ := url.QueryUnescape(secret)
		if want := c.secret.Reveal(); secret != want && decoded != want {
			t.Errorf("%q passed as %s", header, c.ID)
		}
	})
}
