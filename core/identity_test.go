package core_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// website is where a client publishes its document and its keys.
type website struct {
	id   string
	host string
	down bool
	key  *ecdsa.PrivateKey
}

// newWebsite starts a website and a server whose tenant music may ask it; octo
// takes no documents.
func newWebsite(t *testing.T, options ...coretest.Option) (*website, *coretest.Server) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	site := &website{key: key}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case site.down:
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/client.json":
			_ = json.NewEncoder(w).Encode(map[string]any{
				"client_id": site.id, "client_name": "Signed App", "redirect_uris": []string{"http://127.0.0.1/callback"},
				"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": []string{"private_key_jwt", "none"},
				"jwks_uri": "https://" + site.host + "/jwks.json",
			})
		default:
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
		}
	}))
	t.Cleanup(srv.Close)
	site.host = srv.Listener.Addr().String()
	site.id = "https://" + site.host + "/client.json"
	return site, coretest.New(t, append(options, func(c *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		c.Fetch = fetch.New(fetch.Config{PrivateHosts: []string{site.host}, RootCAs: roots})
		t.Cleanup(c.Fetch.Close)
		tenants[0].ClientDocuments.Hosts = []string{site.host}
		tenants[1].ClientDocuments.Off = true
	})...)
}

// assertion signs one for the audience.
func (s *website) assertion(t *testing.T, now time.Time, id, audience, jti string) url.Values {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: id, Subject: id, Audience: jwt.Audience{audience}, ID: jti, Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {text}}
}

func TestMetadataTellsHowClientsIdentifyThemselves(t *testing.T) {
	t.Parallel()
	_, s := newWebsite(t)
	on := s.Get(t, nil, "/.well-known/oauth-authorization-server/music").JSON(t)
	off := s.Get(t, nil, "/.well-known/oauth-authorization-server/octo").JSON(t)
	if on["client_id_metadata_document_supported"] != true {
		t.Errorf("on: %v", on)
	}
	if _, there := off["client_id_metadata_document_supported"]; there {
		t.Error("off, and still advertised: clients would not fall back to registration")
	}
	methods, _ := on["token_endpoint_auth_methods_supported"].([]any)
	algs, _ := on["token_endpoint_auth_signing_alg_values_supported"].([]any)
	if !slices.Contains(methods, "none") || !slices.Contains(methods, "private_key_jwt") || !slices.Contains(algs, "RS256") || slices.Contains(algs, "none") {
		t.Errorf("methods %v, algorithms %v", methods, algs)
	}
}

func TestClientMetadataDocumentFromConsentToTokens(t *testing.T) {
	t.Parallel()
	site, s := newWebsite(t)
	q := s.AuthorizeQuery("music", site.id)
	page := s.Get(t, nil, "/music/authorize?"+q.Encode())
	if page.Status != http.StatusOK || !strings.Contains(page.Body, "Signed App") || !strings.Contains(page.Body, "published by <code>"+site.host) {
		t.Errorf("consent page: %d %s", page.Status, page.Body)
	}
	endpoint := s.Get(t, nil, "/.well-known/oauth-authorization-server/music").JSON(t)["token_endpoint"].(string)
	token := func(clientID string, auth url.Values) coretest.Answer {
		form := url.Values{
			"grant_type": {"authorization_code"}, "code": {s.Code(t, s.Browser(), "music", q, "ada").Get("code")},
			"redirect_uri": {coretest.ClientCallback}, "code_verifier": {coretest.Verifier},
		}
		if clientID != "" {
			form.Set("client_id", clientID)
		}
		for name, value := range auth {
			form[name] = value
		}
		return s.PostForm(t, nil, "/music/token", form)
	}
	for name, a := range map[string]coretest.Answer{
		"none":                       token(site.id, nil),
		"an assertion alone":         token("", site.assertion(t, s.Now(), site.id, s.URL+"/music", "1")),
		"to the endpoint, client_id": token(site.id, site.assertion(t, s.Now(), site.id, endpoint, "2")),
	} {
		if a.Status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.Status, a.Body)
		}
	}
	wantError(t, "the same jti", token("", site.assertion(t, s.Now(), site.id, s.URL+"/music", "1")), 401, "invalid_client")
	wantError(t, "for another tenant", token("", site.assertion(t, s.Now(), site.id, s.URL+"/octo", "3")), 401, "invalid_client")
	if a := s.Get(t, nil, "/octo/authorize?"+s.AuthorizeQuery("octo", site.id).Encode()); a.Status != http.StatusBadRequest || a.Header.Get("Location") != "" {
		t.Errorf("at a tenant that takes none: %d", a.Status)
	}
}

func TestDocumentThatCannotBeHadIsNoUnknownClient(t *testing.T) {
	t.Parallel()
	site, s := newWebsite(t)
	tokens := s.Login(t, s.Browser(), "ada")
	site.down = true
	page := s.Get(t, nil, "/music/authorize?"+s.AuthorizeQuery("music", site.id).Encode())
	if page.Status != http.StatusServiceUnavailable || page.Header.Get("Location") != "" || !strings.Contains(page.Body, "cannot be fetched right now") {
		t.Errorf("authorize: %d %s", page.Status, page.Body)
	}
	a := s.PostForm(t, nil, "/music/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.Refresh}, "client_id": {site.id}})
	wantError(t, "token", a, 503, "temporarily_unavailable")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	wantNoLeak(t, "authorize", page)
	wantNoLeak(t, "token", a)
	missing := "https://" + strings.Replace(site.host, "127.0.0.1", "localhost", 1) + "/client.json"
	page = s.Get(t, nil, "/music/authorize?"+s.AuthorizeQuery("music", missing).Encode())
	if page.Status != http.StatusBadRequest {
		t.Errorf("a host that is not to be asked: %d %s", page.Status, page.Body)
	}
	wantNoLeak(t, "a host that is not to be asked", page)
}

func TestCursorRegistersThreeKindsOfRedirectAtOnce(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	uris := []any{"cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback", "http://localhost:8787/callback"}
	for _, applicationType := range []string{"native", "web", "of-the-future"} {
		body, _ := json.Marshal(map[string]any{
			"client_name": "Cursor", "redirect_uris": uris, "token_endpoint_auth_method": "none", "application_type": applicationType,
			"software_statement": "x", "scope": "", "unknown": map[string]any{"a": 1},
		})
		a := s.PostJSON(t, "/music/register", string(body))
		if a.Status != http.StatusCreated || a.JSON(t)["application_type"] != applicationType || !slices.Equal(a.JSON(t)["redirect_uris"].([]any), uris) {
			t.Errorf("%s: %d %s", applicationType, a.Status, a.Body)
		}
	}
}

func TestRegistrationWithKeys(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	start := `{"redirect_uris":["` + coretest.ClientCallback + `"],"token_endpoint_auth_method":"private_key_jwt"`
	for rest, want := range map[string]int{
		`,"jwks_uri":"https://a.example/jwks"}`: http.StatusCreated,
		`}`:                                     http.StatusBadRequest,
		`,"jwks":{"keys":[]}}`:                  http.StatusBadRequest,
		`,"jwks_uri":"http://a.example/jwks"}`:  http.StatusBadRequest,
		`,"jwks_uri":"x"}`:                      http.StatusBadRequest,
		`,"jwks_uri":"https://a.example/` + strings.Repeat("x", 800) + `"}`: http.StatusBadRequest,
	} {
		a := s.PostJSON(t, "/music/register", start+rest)
		m := a.JSON(t)
		if a.Status != want || want == http.StatusCreated && (m["jwks_uri"] != "https://a.example/jwks" || m["client_secret"] != nil) ||
			want != http.StatusCreated && (m["error"] != "invalid_client_metadata" || strings.Contains(rest, `"jwks"`) != strings.Contains(a.Body, "jwks is not kept")) {
			t.Errorf("%.60s: %d %s", rest, a.Status, a.Body)
		}
	}
}

// manage sends a request to a registration's own URL.
func manage(t *testing.T, s *coretest.Server, method, target, token string) coretest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return s.Do(t, nil, req)
}

func TestRegistrationIsReadAndDeletedByItsToken(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	made := s.PostJSON(t, "/music/register", `{"client_name":"Web","redirect_uris":["`+coretest.ClientCallback+`"],"token_endpoint_auth_method":"client_secret_post"}`).JSON(t)
	other := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"]}`).JSON(t)
	uri, token := made["registration_client_uri"].(string), made["registration_access_token"].(string)

	read := manage(t, s, http.MethodGet, uri, token)
	got := read.JSON(t)
	if read.Status != http.StatusOK || read.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("read: %d %s", read.Status, read.Body)
	}
	for name, value := range made { // grant types are the same for every client
		a, _ := json.Marshal(value)
		b, _ := json.Marshal(got[name])
		if string(a) != string(b) {
			t.Errorf("%s: registered %s, read %s", name, a, b)
		}
	}
	for what, c := range map[string]struct{ method, uri, token string }{
		"no token":               {http.MethodGet, uri, ""},
		"another client's token": {http.MethodGet, uri, other["registration_access_token"].(string)},
		"the client's secret":    {http.MethodDelete, uri, made["client_secret"].(string)},
		"another tenant":         {http.MethodDelete, strings.Replace(uri, "/music/", "/octo/", 1), token},
		"no such client":         {http.MethodDelete, s.URL + "/music/register/nobody", token},
		"a client half":          {http.MethodDelete, uri[:len(uri)-3], token},
	} {
		a := manage(t, s, c.method, c.uri, c.token)
		wantError(t, what, a, 401, "invalid_token")
		if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: challenge %q", what, a.Header.Get("WWW-Authenticate"))
		}
		wantNoLeak(t, what, a)
	}
	if a := manage(t, s, http.MethodPut, uri, token); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("PUT: %d", a.Status)
	}

	id, secret := made["client_id"].(string), made["client_secret"].(string)
	code := s.Code(t, s.Browser(), "music", s.AuthorizeQuery("music", id), "ada").Get("code")
	tokens := redeem(t, s, "music", code, id, url.Values{"client_secret": {secret}}).JSON(t)
	if a := manage(t, s, http.MethodDelete, uri, token); a.Status != http.StatusNoContent || a.Body != "" {
		t.Fatalf("delete: %d %s", a.Status, a.Body)
	}
	wantError(t, "read after delete", manage(t, s, http.MethodGet, uri, token), 401, "invalid_token")
	wantError(t, "delete again", manage(t, s, http.MethodDelete, uri, token), 401, "invalid_token")
	wantError(t, "refresh after delete", s.PostForm(t, nil, "/music/token", url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {tokens["refresh_token"].(string)}, "client_id": {id}, "client_secret": {secret},
	}), 401, "invalid_client")
	if a := s.Get(t, nil, "/music/authorize?"+s.AuthorizeQuery("music", id).Encode()); a.Status != http.StatusBadRequest {
		t.Errorf("authorize after delete: %d", a.Status)
	}
	if log := s.Audit(); !strings.Contains(log, `"client_deleted"`) || strings.Contains(log, token) {
		t.Errorf("audit: %s", log)
	}
}

func TestDeletingIsLimited(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	limited := coretest.Answer{}
	for range 30 {
		m := s.PostJSON(t, "/music/register", `{"redirect_uris":["`+coretest.ClientCallback+`"]}`).JSON(t)
		if a := manage(t, s, http.MethodDelete, m["registration_client_uri"].(string), m["registration_access_token"].(string)); a.Status != http.StatusNoContent {
			limited = a
		}
	}
	wantError(t, "the 30th", limited, 429, "temporarily_unavailable")
}
