package plugins

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/sdk/abi"
)

func pemOf(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestPrivateKeyJWT(t *testing.T) {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	jwk := must(json.Marshal(jose.JSONWebKey{Key: ecKey, KeyID: "k1"}))
	ec1 := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(ecKey))}))
	for name, tt := range map[string]struct {
		key    string
		alg    jose.SignatureAlgorithm
		public any
		kid    string
	}{
		"RSA PEM": {pemOf(t, rsaKey), jose.RS256, &rsaKey.PublicKey, ""},
		"EC PEM":  {pemOf(t, ecKey), jose.ES256, &ecKey.PublicKey, ""},
		"EC SEC1": {ec1, jose.ES256, &ecKey.PublicKey, ""},
		"JWK":     {string(jwk), jose.ES256, &ecKey.PublicKey, "k1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			b := r.binding("assertion")
			b.ClientKey = seal.NewSecret(tt.key)
			p, err := r.host.Bind(t.Context(), "probe", b)
			if err != nil {
				t.Fatal(err)
			}
			var seen []string
			for range 2 {
				if _, err := exchange(t, p); err != nil {
					t.Fatal(err)
				}
			}
			for _, asked := range r.requests() {
				body, ok := strings.CutPrefix(asked, "POST /token ")
				if !ok {
					continue
				}
				form, err := url.ParseQuery(body)
				if err != nil || form.Get("client_assertion_type") != assertionType || form.Get("client_id") != "client one" || form.Has("client_secret") {
					t.Fatalf("form %v, %v", form, err)
				}
				jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{tt.alg})
				if err != nil {
					t.Fatal(err)
				}
				text, err := jws.Verify(tt.public)
				if err != nil || jws.Signatures[0].Header.KeyID != tt.kid {
					t.Fatalf("%v, kid %q", err, jws.Signatures[0].Header.KeyID)
				}
				var claims struct {
					Iss, Sub, Aud, Jti string
					Iat, Exp           int64
				}
				if err := json.Unmarshal(text, &claims); err != nil || claims.Iss != "client one" || claims.Sub != "client one" ||
					claims.Aud != r.upstream.URL+"/token" || claims.Iat != startTime().Unix() || claims.Exp != startTime().Unix()+60 {
					t.Errorf("claims %s, %v", text, err)
				}
				seen = append(seen, claims.Jti)
			}
			if len(seen) != 2 || seen[0] == seen[1] || len(seen[0]) < 16 {
				t.Errorf("ids %q", seen)
			}
		})
	}
}

func TestClientKeyThatCannotBeUsed(t *testing.T) {
	r := newRig(t)
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	other := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	public := must(json.Marshal(jose.JSONWebKey{Key: &other.PublicKey}))
	for name, key := range map[string]string{
		"text": "swordfish", "weak": pemOf(t, weak), "P-384": pemOf(t, other), "public": string(public), "empty PEM": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
	} {
		b := r.binding("assertion")
		b.ClientKey = seal.NewSecret(key)
		if _, err := r.host.Bind(t.Context(), "probe", b); err == nil || !strings.Contains(err.Error(), "tenant octo") || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := exchange(t, r.bind(t, "assertion")); upstream.KindOf(err) != upstream.Misconfigured || !strings.Contains(err.Error(), "client_key of tenant octo") {
		t.Errorf("none: %v", err)
	}
}

// A host that gets an assertion made for another server could log in there.
func TestAudienceIsTheRequestOrTheIssuer(t *testing.T) {
	key, err := parseClientKey(seal.NewSecret(pemOf(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))))
	if err != nil {
		t.Fatal(err)
	}
	m := &Module{cfg: Config{}.withDefaults()}
	p := &provider{module: m, key: key, hosts: []string{"a.example", "b.example"}, places: secretPlaces{issuers: []string{"https://named.example"}}}
	c := &conversation{provider: p, secret: &redactor{}, issuers: []string{"urn:stated"}}
	to := must(url.Parse("https://a.example/one/token"))
	for audience, ok := range map[string]bool{
		"": true, "https://a.example/one/token": true, "https://a.example": true, "https://a.example/": true, "https://a.example/one": true,
		"https://named.example": true, "urn:stated": true,
		"https://a.example/two": false, "https://a.example/on": false, "https://a.example/one/token/x": false, "http://a.example": false,
		"https://a.example:8443": false, "https://b.example": false, "https://b.example/token": false, "urn:x": false, "https://named.example/": false,
	} {
		if _, err := c.assertion(&abi.ClientAuth{Audience: audience}, to); (err == nil) != ok {
			t.Errorf("%q: %v", audience, err)
		}
	}
}

func TestBasicSecret(t *testing.T) {
	p := &provider{module: &Module{}, binding: Binding{ClientID: "id", ClientSecret: seal.NewSecret("se:cret")}, places: secretPlaces{anyHost: true}}
	c := &conversation{provider: p, secret: &redactor{}}
	header := map[string][]string{}
	body, err := c.authenticate(&abi.ClientAuth{Method: abi.AuthBasicSecret}, "POST", &url.URL{}, header, []byte("x"))
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("se:cret:")); err != nil || string(body) != "x" || header["Authorization"][0] != want {
		t.Errorf("%q, %q, %v", header, body, err)
	}
	if _, err := c.authenticate(&abi.ClientAuth{Method: abi.AuthBasicSecret}, "POST", &url.URL{}, header, nil); upstream.KindOf(err) != upstream.Bug {
		t.Errorf("with a header already there: %v", err)
	}
}

func TestTenantsHostPolicy(t *testing.T) {
	manifest := manifestOf("tiny", "1.0.0", anySettings, "a.example", "b.example:443", "c.example:8443", "{settings.more}")
	s := newShelf(t, map[string][]byte{"tiny.wasm": handmade{}.plugin(manifest)})
	for _, tt := range []struct{ policy, want []string }{
		{nil, []string{"a.example", "b.example:443", "c.example:8443", "d.example", "e.example:443"}},
		{[]string{"x.example"}, []string{}},
		{[]string{"a.example:443", "b.example", "c.example", "x.example", "e.example"}, []string{"a.example", "b.example:443", "e.example:443"}},
	} {
		p, err := s.Bind(t.Context(), "tiny", Binding{Hosts: tt.policy, Settings: map[string]any{"more": []string{"d.example", "https://e.example/x"}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.(*bound).current.Load().hosts; !slices.Equal(got, tt.want) {
			t.Errorf("policy %v: %v, want %v", tt.policy, got, tt.want)
		}
	}
}

func TestCheckNarrowsAndNames(t *testing.T) {
	manifest := manifestOf("tiny", "1.0.0", anySettings, "a.example", "b.example")
	result := document(`{"result":{"display_name":"Acme","home_page":"https://acme.example","hosts":["b.example","evil.example"],"scopes":[{"name":"s","default":true}]}}`)
	// To everything but describe it answers the same.
	describe := document(`{"result":` + manifest + `}`)
	op := i32(16+4+len(`{"abi":"1.0","op":"`)) + "\x2d\x00\x00"
	wasm := AppendManifest(handmade{
		data: describe + result,
		call: op + i32('d') + "\x46\x04\x7e" + packed(dataAt, len(describe)) + "\x05" + packed(dataAt+len(describe), len(result)) + "\x0b",
	}.bytes(), []byte(manifest))
	s := newShelf(t, map[string][]byte{"tiny.wasm": wasm})
	p := s.bind("tiny")
	d := p.Describe()
	if d.DisplayName != "Acme" || d.HomePage != "https://acme.example" || !slices.Equal(d.DefaultScopes, []string{"s"}) {
		t.Errorf("%+v", d)
	}
	if got := p.(*bound).current.Load().hosts; !slices.Equal(got, []string{"b.example"}) {
		t.Errorf("hosts %v", got)
	}
}

func TestDisplayNameFromSettings(t *testing.T) {
	manifest := strings.Replace(manifestOf("tiny", "1.0.0", anySettings), `"Tiny"`, `"{settings.title}"`, 1)
	s := newShelf(t, map[string][]byte{"tiny.wasm": handmade{}.plugin(manifest)})
	for title, want := range map[string]string{"Acme": "Acme", "": "tiny"} {
		p, err := s.Bind(t.Context(), "tiny", Binding{Settings: map[string]any{"title": title}})
		if err != nil || p.Describe().DisplayName != want {
			t.Errorf("%q: %q, %v", title, p.Describe().DisplayName, err)
		}
	}
}

// watcher is an Observer that keeps requests and runs.
type watcher struct {
	nobody
	mu       sync.Mutex
	requests []RequestEvent
	runs     []RunEvent
	outcomes []string // operation and outcome of each conversation
}

func (w *watcher) Conversation(e ConversationEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes = append(w.outcomes, e.Provider+" "+e.Tenant+" "+e.Op+" "+e.Outcome)
}

func (w *watcher) Request(e RequestEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests = append(w.requests, e)
}

func (w *watcher) Run(e RunEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs = append(w.runs, e)
}

func TestEverythingIsObserved(t *testing.T) {
	w := &watcher{}
	r := newRig(t, func(c *Config) { c.Observer = w })
	if _, err := exchange(t, r.bind(t, "happy")); err != nil {
		t.Fatal(err)
	}
	if len(w.runs) != 4 { // check, and three for two requests
		t.Fatalf("runs %+v", w.runs)
	}
	for _, e := range w.runs {
		if e.Fuel <= 0 || e.Fault || e.Provider != "probe" || e.Tenant != "octo" || e.Op == "" {
			t.Errorf("run %+v", e)
		}
	}
	want := RequestEvent{Provider: "probe", Tenant: "octo", Op: "exchange", Host: r.hostport(), Status: 200, Bytes: len(`{"id":"42","name":"Ada"}`)}
	if len(w.requests) != 2 || w.requests[1] != want {
		t.Errorf("requests %+v", w.requests)
	}
	exchange(t, r.bind(t, "undeclared"))
	exchange(t, r.bind(t, "panic"))
	if e := w.requests[2]; !e.Refused || e.Status != 0 || e.Host != "other.example" {
		t.Errorf("a request against the rules: %+v", e)
	}
	if e := w.runs[len(w.runs)-1]; !e.Fault {
		t.Errorf("a breakdown: %+v", e)
	}
	wantOutcomes := []string{"probe octo exchange ok", "probe octo exchange misconfigured", "probe octo exchange bug"}
	if !slices.Equal(w.outcomes, wantOutcomes) {
		t.Errorf("outcomes %q, want %q", w.outcomes, wantOutcomes)
	}
}

func TestSchemaIsWhole(t *testing.T) {
	s, err := parseSchema([]byte(`{"type":"object","required":["url"],"properties":{
		"url":{"type":"string","format":"uri"},"host":{"type":"string","format":"hostname"},
		"n":{"type":"integer","minimum":1,"default":3},"tags":{"type":"array","items":{"type":"string"}},
		"deep":{"type":"object","default":{},"additionalProperties":false,"properties":{"x":{"type":"string","default":"y"}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	_, text, err := s.fill(map[string]any{"url": "https://a.example"})
	if err != nil || !sameJSON(text, []byte(`{"url":"https://a.example","n":3,"deep":{"x":"y"}}`)) {
		t.Errorf("%s, %v", text, err)
	}
	_, _, err = s.fill(map[string]any{"url": "no url", "host": "-", "n": 0, "tags": []any{"a", 1}, "deep": map[string]any{"z": 1}})
	if err == nil {
		t.Fatal("bad settings pass")
	}
	want := []string{"settings.deep.z: unknown", "settings.host: this is no hostname", "settings.n: ", "settings.tags.1: this is of type number; use string", "settings.url: this is no uri"}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %q", lines)
	}
	for i, l := range lines {
		if !strings.HasPrefix(l, want[i]) {
			t.Errorf("line %d is %q, want %q", i, l, want[i])
		}
	}
}

func TestClientSecretJWT(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.binding("mac")
	b.ClientSecret = seal.NewSecret("a client secret of forty-eight characters, fine.")
	p, err := r.host.Bind(t.Context(), "probe", b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exchange(t, p); err != nil {
		t.Fatal(err)
	}
	body, _ := strings.CutPrefix(r.requests()[0], "POST /token ")
	form, err := url.ParseQuery(body)
	if err != nil || form.Get("client_assertion_type") != assertionType || form.Get("client_id") != "client one" || form.Has("client_secret") {
		t.Fatalf("form %v, %v", form, err)
	}
	jws, err := jose.ParseSignedCompact(form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.HS256})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(b.ClientSecret.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil || claims["iss"] != "client one" || claims["sub"] != "client one" || claims["aud"] != r.upstream.URL+"/token" || claims["jti"] == "" {
		t.Errorf("claims %v, %v", claims, err)
	}
	b.ClientSecret = seal.NewSecret(strings.Repeat("s", 31))
	if p, err = r.host.Bind(t.Context(), "probe", b); err != nil {
		t.Fatal(err)
	}
	if _, err := exchange(t, p); upstream.KindOf(err) != upstream.Misconfigured || !strings.Contains(err.Error(), "32 characters or more") {
		t.Errorf("with a secret that is too short: %v", err)
	}
	b.ClientSecret = seal.Secret{}
	if p, err = r.host.Bind(t.Context(), "probe", b); err != nil {
		t.Fatal(err)
	}
	if _, err := exchange(t, p); upstream.KindOf(err) != upstream.Misconfigured || !strings.Contains(err.Error(), "set client_secret") {
		t.Errorf("without a secret: %v", err)
	}
}
