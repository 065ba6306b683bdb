package client

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
)

const keysKey, keysURI = "example.com/jwks.json", "https://example.com/jwks.json"

// signer is a client's key pair.
type signer struct {
	kid string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func newSigner(t testing.TB, kid string, alg jose.SignatureAlgorithm) signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch alg {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signer{kid, alg, key}
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.Public(), KeyID: s.kid, Use: "sig", Algorithm: string(s.alg)}
}

// sign returns a JWT over claims with any algorithm and key.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims are good ones with changes; nil takes a claim out.
func (w *world) claims(change map[string]any) map[string]any {
	c := map[string]any{
		"iss": docID, "sub": docID, "aud": w.music.Issuer, "jti": seal.RandomID(16),
		"iat": w.clock().Unix(), "exp": w.clock().Add(5 * time.Minute).Unix(),
	}
	for name, value := range change {
		c[name] = value
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// present authenticates with an assertion and the given changes to the form.
func (w *world) present(t testing.TB, assertion string, change url.Values) error {
	t.Helper()
	form := url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	r := httptest.NewRequest(http.MethodPost, "/token", nil)
	for name, value := range change {
		if name == "Authorization" {
			r.Header[name] = value
			continue
		}
		form[name] = value
	}
	c, err := w.Authenticate(t.Context(), w.music, r, params(t, form))
	if err == nil && c.ID != docID && c.ID != "signer" {
		t.Errorf("passed as %s", c.ID)
	}
	if err != nil && c != nil {
		t.Error("a client beside an error")
	}
	return err
}

// chatGPT publishes a document that names private_key_jwt once and none in a
// list, with a key of the given algorithm.
func chatGPT(t testing.TB, w *world, alg jose.SignatureAlgorithm) signer {
	t.Helper()
	key := newSigner(t, "one", alg)
	w.publish(docKey, doc(map[string]any{
		"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": []string{"private_key_jwt", "none"},
		"token_endpoint_auth_signing_alg": string(alg), "jwks_uri": keysURI,
	}), "")
	public := key.public()
	public.Algorithm = "" // so that the document alone says which it is
	w.publish(keysKey, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}}, "")
	return key
}

func TestChatGPTWithAndWithoutAssertion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := chatGPT(t, w, jose.RS256)
	for name, change := range map[string]url.Values{
		"assertion alone":           nil,
		"client_id beside it":       {"client_id": {docID}},
		"aud is the token endpoint": nil,
		"aud in a list":             nil,
	} {
		claims := w.claims(nil)
		switch name {
		case "aud is the token endpoint":
			claims["aud"] = w.music.Issuer + "/token"
		case "aud in a list":
			claims["aud"] = []string{w.music.Issuer}
		}
		if err := w.present(t, sign(t, key.alg, key.key, key.kid, claims), change); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/token", nil)
	if c, err := w.Authenticate(t.Context(), w.music, r, params(t, url.Values{"client_id": {docID}})); err != nil || c.ID != docID {
		t.Errorf("without: %v", err)
	}
	if n := w.count(keysKey); n != 1 {
		t.Errorf("the key set was fetched %d times", n)
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range signatureAlgorithms() {
		w := newWorld(t)
		key := chatGPT(t, w, alg)
		for _, kid := range []string{key.kid, ""} {
			if err := w.present(t, sign(t, alg, key.key, kid, w.claims(nil)), nil); err != nil {
				t.Errorf("%s, kid %q: %v", alg, kid, err)
			}
		}
	}
}

// reheader replaces the header of a JWT.
func reheader(jwt, header string) string {
	_, rest, _ := strings.Cut(jwt, ".")
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + rest
}

func TestWrongAssertions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := chatGPT(t, w, jose.RS256)
	other := newSigner(t, key.kid, jose.RS256)
	rsaKey := key.key.(*rsa.PrivateKey)
	der := x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey)
	with := func(change map[string]any) string { return sign(t, key.alg, key.key, key.kid, w.claims(change)) }
	at := func(d time.Duration) int64 { return w.clock().Add(d).Unix() }
	good := with(nil)
	for name, c := range map[string]struct {
		assertion string
		change    url.Values
		want      oauth.Code
	}{
		"alg none":                  {strings.TrimSuffix(reheader(good, `{"alg":"none"}`), good[strings.LastIndex(good, ".")+1:]), nil, oauth.InvalidClient},
		"alg none, signature kept":  {reheader(good, `{"alg":"none"}`), nil, oauth.InvalidClient},
		"HS256 with the public key": {sign(t, jose.HS256, der, key.kid, w.claims(nil)), nil, oauth.InvalidClient},
		"RS512":                     {sign(t, jose.RS512, key.key, key.kid, w.claims(nil)), nil, oauth.InvalidClient},
		"not the registered alg":    {sign(t, jose.PS256, key.key, key.kid, w.claims(nil)), nil, oauth.InvalidClient},
		"another's key":             {sign(t, other.alg, other.key, other.kid, w.claims(nil)), nil, oauth.InvalidClient},
		"a key in the header":       {reheader(sign(t, other.alg, other.key, "", w.claims(nil)), `{"alg":"RS256","jwk":`+jsonOf(other.public())+`}`), nil, oauth.InvalidClient},
		"a changed payload":         {good[:len(good)/2] + "A" + good[len(good)/2+1:], nil, oauth.InvalidClient},
		"a critical header":         {reheader(good, `{"alg":"RS256","crit":["b64"],"b64":false}`), nil, oauth.InvalidClient},
		"no JWT":                    {"x", nil, oauth.InvalidClient},
		"too large":                 {good + strings.Repeat("A", maxAssertion), nil, oauth.InvalidClient},
		"iss and sub differ":        {with(map[string]any{"sub": "https://example.com/other"}), nil, oauth.InvalidClient},
		"no iss":                    {with(map[string]any{"iss": nil}), nil, oauth.InvalidClient},
		"neither":                   {with(map[string]any{"iss": nil, "sub": nil}), nil, oauth.InvalidClient},
		"an unknown client":         {with(map[string]any{"iss": "nobody", "sub": "nobody"}), nil, oauth.InvalidClient},
		"another aud":               {with(map[string]any{"aud": "https://other.test"}), nil, oauth.InvalidClient},
		"aud with a slash":          {with(map[string]any{"aud": w.music.Issuer + "/"}), nil, oauth.InvalidClient},
		"two auds":                  {with(map[string]any{"aud": []string{w.music.Issuer, w.music.Issuer + "/token"}}), nil, oauth.InvalidClient},
		"no aud":                    {with(map[string]any{"aud": nil}), nil, oauth.InvalidClient},
		"aud is a number":           {with(map[string]any{"aud": 1}), nil, oauth.InvalidClient},
		"expired":                   {with(map[string]any{"exp": at(-leeway)}), nil, oauth.InvalidClient},
		"no exp":                    {with(map[string]any{"exp": nil}), nil, oauth.InvalidClient},
		"exp far ahead":             {with(map[string]any{"exp": at(maxLife + leeway + time.Second)}), nil, oauth.InvalidClient},
		"exp is text":               {with(map[string]any{"exp": "tomorrow"}), nil, oauth.InvalidClient},
		"exp beyond all":            {with(map[string]any{"exp": 1e300}), nil, oauth.InvalidClient},
		"not yet":                   {with(map[string]any{"nbf": at(time.Minute)}), nil, oauth.InvalidClient},
		"issued in the future":      {with(map[string]any{"iat": at(time.Minute)}), nil, oauth.InvalidClient},
		"no jti":                    {with(map[string]any{"jti": nil}), nil, oauth.InvalidClient},
		"a long jti":                {with(map[string]any{"jti": strings.Repeat("x", maxJTI+1)}), nil, oauth.InvalidClient},
		"another client_id":         {good, url.Values{"client_id": {"https://example.com/other"}}, oauth.InvalidClient},
		"a secret beside it":        {good, url.Values{"client_secret": {"x"}}, oauth.InvalidRequest},
		"Basic beside it":           {good, url.Values{"Authorization": {basic(docID, "")}}, oauth.InvalidRequest},
		"another type":              {good, url.Values{"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}}, oauth.InvalidClient},
		"no type":                   {good, url.Values{"client_assertion_type": nil}, oauth.InvalidClient},
		"a type alone":              {"", nil, oauth.InvalidClient},
	} {
		if err := w.present(t, c.assertion, c.change); codeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if n := w.driver.Keys(""); n != 0 {
		t.Errorf("%d records of refused assertions", n)
	}
	if err := w.present(t, good, nil); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestAssertionCountsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := chatGPT(t, w, jose.ES256)
	claims := w.claims(nil)
	text := sign(t, key.alg, key.key, key.kid, claims)
	results := make(chan error, 8)
	var wg sync.WaitGroup
	for range cap(results) {
		wg.Go(func() { results <- w.present(t, text, nil) })
	}
	wg.Wait()
	close(results)
	passed := 0
	for err := range results {
		if err == nil {
			passed++
		} else if codeOf(err) != oauth.InvalidClient {
			t.Error(err)
		}
	}
	if passed != 1 {
		t.Errorf("%d of 8 passed", passed)
	}
	// Signed anew with the same jti it is still the same.
	if err := w.present(t, sign(t, key.alg, key.key, key.kid, claims), nil); codeOf(err) != oauth.InvalidClient {
		t.Errorf("the jti again: %v", err)
	}
	// To the last moment in which the assertion would be taken.
	w.advance(5*time.Minute + leeway - time.Second)
	if err := w.present(t, text, nil); codeOf(err) != oauth.InvalidClient || !strings.Contains(err.Error(), "before") {
		t.Errorf("shortly before its end: %v", err)
	}
	w.driver.Fail(func(op, key string) error {
		if strings.HasPrefix(key, "jti/music/") {
			return errors.New("down")
		}
		return nil
	})
	if err := w.present(t, sign(t, key.alg, key.key, key.kid, w.claims(nil)), nil); codeOf(err) != oauth.TemporarilyUnavailable {
		t.Errorf("without a store: %v", err)
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := chatGPT(t, w, jose.EdDSA)
	sent := func(s signer) error { return w.present(t, sign(t, s.alg, s.key, s.kid, w.claims(nil)), nil) }
	if err := sent(old); err != nil {
		t.Fatal(err)
	}
	fresh := newSigner(t, "two", jose.EdDSA)
	if err := sent(fresh); codeOf(err) != oauth.InvalidClient || w.count(keysKey) != 1 {
		t.Errorf("a key that is unknown, set fetched just now: %v, %d fetches", err, w.count(keysKey))
	}
	w.publish(keysKey, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{fresh.public()}}, "")
	w.advance(retryAfter + time.Second)
	if err := sent(fresh); err != nil || w.count(keysKey) != 2 {
		t.Errorf("a new key: %v, %d fetches", err, w.count(keysKey))
	}
	if err := sent(old); codeOf(err) != oauth.InvalidClient {
		t.Errorf("a key taken out: %v", err)
	}
	// Key ids that never were cannot be used to make us fetch.
	for range 50 {
		_ = sent(newSigner(t, seal.RandomID(6), jose.EdDSA))
	}
	if n := w.count(keysKey); n != 2 {
		t.Errorf("%d fetches", n)
	}
	w.page(keysKey, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	w.advance(retryAfter + time.Second)
	if err := sent(newSigner(t, "three", jose.EdDSA)); codeOf(err) != oauth.TemporarilyUnavailable {
		t.Errorf("a new key, set not to be had: %v", err)
	}
	if err := sent(fresh); err != nil {
		t.Errorf("a known key, set not to be had: %v", err)
	}
}

func TestWhereKeysMayBe(t *testing.T) {
	t.Parallel()
	const intranet = "inside.example.com:8443"
	w := newWorld(t, intranet)
	key := newSigner(t, "one", jose.ES256)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.public()}}
	w.addr["inside.example.com"] = "10.0.0.1"
	w.publish(intranet+"/jwks.json", set, "")
	w.publish(docKey, doc(map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://" + intranet + "/jwks.json"}), "")
	if err := w.present(t, sign(t, key.alg, key.key, key.kid, w.claims(nil)), nil); codeOf(err) != oauth.TemporarilyUnavailable || w.count(intranet+"/jwks.json") != 0 {
		t.Errorf("a document that points inside: %v", err)
	}
	// The operator may.
	w.music.Clients = []tenant.Client{{ID: "signer", JWKSURI: "https://" + intranet + "/jwks.json", RedirectURIs: []string{callback}}}
	operators := w.claims(map[string]any{"iss": "signer", "sub": "signer"})
	if err := w.present(t, sign(t, key.alg, key.key, key.kid, operators), nil); err != nil {
		t.Errorf("the operator's client: %v", err)
	}
	for _, uri := range []string{"http://example.com/jwks.json", "https://user@example.com/jwks.json", "file:///etc/passwd", "x", "https://169.254.169.254/jwks.json"} {
		w := newWorld(t)
		w.publish(docKey, doc(map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": uri}), "")
		if err := w.present(t, sign(t, key.alg, key.key, key.kid, w.claims(nil)), nil); codeOf(err) != oauth.InvalidClient || w.dialed > 1 {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestInlineKeysAndRegisteredClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newSigner(t, "one", jose.ES256)
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.public()}}
	w.publish(docKey, doc(map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": set}), "")
	if err := w.present(t, sign(t, key.alg, key.key, key.kid, w.claims(nil)), nil); err != nil {
		t.Errorf("inline keys: %v", err)
	}
	w.publish(keysKey, set, "")
	for method, want := range map[Method]oauth.Code{PrivateKeyJWT: "", None: oauth.InvalidClient, Post: oauth.InvalidClient} {
		reg, err := w.Register(w.music, Registration{RedirectURIs: []string{callback}, Method: method, JWKSURI: keysURI})
		if err != nil {
			t.Fatal(err)
		}
		text := sign(t, key.alg, key.key, key.kid, w.claims(map[string]any{"iss": reg.ID, "sub": reg.ID}))
		form := url.Values{"client_assertion_type": {assertionType}, "client_assertion": {text}}
		_, err = w.Authenticate(t.Context(), w.music, httptest.NewRequest(http.MethodPost, "/token", nil), params(t, form))
		if codeOf(err) != want {
			t.Errorf("registered with %s: %v", method, err)
		}
	}
}

// What an assertion costs is bounded, whoever published the keys.
func TestKeysOfStrangersAreBounded(t *testing.T) {
	t.Parallel()
	rsaKey := newSigner(t, "k", jose.RS256)
	public := *rsaKey.key.Public().(*rsa.PublicKey)
	slow, huge := public, public
	slow.E = 1<<31 - 1
	huge.N = new(big.Int).Lsh(public.N, 4096)
	for name, key := range map[string]*rsa.PublicKey{"a large exponent": &slow, "a long modulus": &huge} {
		if fits(key, jose.RS256) {
			t.Errorf("%s fits", name)
		}
	}
	w := newWorld(t)
	key := chatGPT(t, w, jose.RS256)
	var many []jose.JSONWebKey
	for i := range maxTried + 1 {
		one := key.public()
		one.KeyID = strconv.Itoa(i)
		many = append(many, one)
	}
	c := &Client{ID: docID, Methods: []Method{PrivateKeyJWT}, keys: keySource{inline: many}}
	a, err := readAssertion(params(t, url.Values{"client_assertion_type": {assertionType}, "client_assertion": {sign(t, key.alg, key.key, "", w.claims(nil))}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.verify(t.Context(), w.music, c, a); err == nil || !strings.Contains(err.Error(), "kid") {
		t.Errorf("%d keys fit and none is named: %v", len(many), err)
	}
}

func TestAssertionsOfStrangersAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := chatGPT(t, w, jose.ES256)
	w.music.Redirects.Hosts = nil
	limited := 0
	for i := range 100 {
		err := w.present(t, sign(t, key.alg, key.key, key.kid, w.claims(map[string]any{"jti": strconv.Itoa(i)})), nil)
		if codeOf(err) == oauth.TemporarilyUnavailable {
			limited++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if limited != 40 {
		t.Errorf("%d of 100 assertions in one moment are limited", limited)
	}
	w.music.Redirects.Hosts = []string{"example.com"}
	if err := w.present(t, sign(t, key.alg, key.key, key.kid, w.claims(map[string]any{"jti": "known"})), nil); err != nil {
		t.Errorf("a client on a host of the operator's: %v", err)
	}
}

func TestWhichKeysCount(t *testing.T) {
	t.Parallel()
	rsaKey, edKey := newSigner(t, "rsa", jose.RS256), newSigner(t, "ed", jose.EdDSA)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := jose.JSONWebKey{Key: edKey.key, KeyID: "private"}
	encryption := rsaKey.public()
	encryption.KeyID, encryption.Use = "enc", "enc"
	small := rsaKey.key.Public().(*rsa.PublicKey)
	small = &rsa.PublicKey{N: new(big.Int).Rsh(small.N, 1024), E: small.E}
	body := `{"keys":[` + strings.Join([]string{
		jsonOf(rsaKey.public()), jsonOf(private), jsonOf(encryption), `{"kty":"oct","kid":"oct","k":"AAAA"}`, `{"kty":"new"}`, `1`,
		jsonOf(jose.JSONWebKey{Key: small, KeyID: "small"}), jsonOf(jose.JSONWebKey{Key: p384.Public(), KeyID: "p384"}),
	}, ",") + `]}`
	set, err := parseKeySet("", []byte(body))
	if err != nil || len(set) != 3 { // rsa, small and p384, which fit nothing
		t.Fatalf("%d keys, %v", len(set), err)
	}
	for _, c := range []struct {
		kid  string
		alg  jose.SignatureAlgorithm
		want int
	}{
		{"rsa", jose.RS256, 1}, {"", jose.RS256, 1}, {"rsa", jose.PS256, 0}, {"rsa", jose.ES256, 0}, {"rsa", jose.EdDSA, 0},
		{"private", jose.EdDSA, 0}, {"enc", jose.RS256, 0}, {"oct", jose.RS256, 0}, {"small", jose.RS256, 0}, {"p384", jose.ES256, 0}, {"none", jose.RS256, 0},
	} {
		if got := set.fitting(c.kid, c.alg); len(got) != c.want {
			t.Errorf("%s, %s: %d keys, want %d", c.kid, c.alg, len(got), c.want)
		}
	}
}

func FuzzAssertion(f *testing.F) {
	w := newWorld(f)
	key := chatGPT(f, w, jose.ES256)
	good := sign(f, key.alg, key.key, key.kid, w.claims(nil))
	for _, seed := range []string{good, reheader(good, `{"alg":"none"}`), reheader(good, `{"alg":"HS256"}`), "..", "a.b.c", "", good + ".x.y", `{"payload":"e30","signatures":[]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		err := w.present(t, text, nil)
		switch code := codeOf(err); {
		case err == nil && !strings.HasPrefix(text, good[:strings.LastIndex(good, ".")]):
			t.Errorf("%q passes", text) // what was signed is what counts
		case err != nil && code != oauth.InvalidClient && code != oauth.TemporarilyUnavailable:
			t.Errorf("%q: %v", text, err)
		}
	})
}
