package client

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/oauth"
)

func TestDocumentURL(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"https://example.com/client.json":                  true,
		"https://example.com:8443/a/b?x=1":                 true,
		"https://example.com/":                             true,
		"https://example.com":                              false,
		"https://example.com?x":                            false,
		"https://example.com/a#":                           false,
		"https://example.com/a#b":                          false,
		"https://user@example.com/a":                       false,
		"https://:@example.com/a":                          false,
		"https://example.com/a/../b":                       false,
		"https://example.com/./a":                          false,
		"https://example.com/a/..":                         false,
		"https://example.com/%2e%2E/a":                     false,
		"https://example.com/a b":                          false,
		"https://example.com/a\\b":                         false,
		"https://example.com/%zz":                          false,
		"https:///a":                                       false,
		"https:example.com/a":                              false,
		"http://example.com/a":                             false,
		"HTTPS://example.com/a":                            true, // and not looked at: see looksLikeDocument
		"https://ex\u00e4mple.com/a":                       false,
		"https://example.com/" + strings.Repeat("a", 1010): false,
	} {
		if _, err := documentURL(id); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
	if looksLikeDocument("HTTPS://example.com/a") || looksLikeDocument("http://example.com/a") {
		t.Error("an id that does not begin with https:// is taken for a document")
	}
}

func TestClientOfADocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(docKey, doc(map[string]any{"grant_types": []string{"urn:ietf:params:oauth:grant-type:device_code"}, "logo_uri": "http://169.254.169.254/"}), "")
	c, err := w.Find(t.Context(), w.music, docID)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != docID || c.Name != "Example" || c.Host != "example.com" || c.Verified || !slices.Equal(c.Methods, []Method{None}) {
		t.Errorf("%+v", c)
	}
	for uri, ok := range map[string]bool{
		callback:                            true,
		"http://localhost:3118/callback":    true, // registered without a port
		"http://127.0.0.1:3118/callback":    false,
		"http://localhost:3118/other":       false,
		"https://claude.ai/api/mcp/other":   false,
		"https://example.com/not-in-policy": false,
	} {
		if _, err := c.Match(w.music, uri); (err == nil) != ok {
			t.Errorf("%s: %v", uri, err)
		}
	}
	// In the document but not in the tenant's policy.
	w.publish("example.com/b.json", doc(map[string]any{"client_id": "https://example.com/b.json", "redirect_uris": []string{"https://evil.test/cb"}}), "")
	if c, err = w.Find(t.Context(), w.music, "https://example.com/b.json"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Match(w.music, "https://evil.test/cb"); codeOf(err) != oauth.InvalidRedirectURI {
		t.Errorf("outside the policy: %v", err)
	}
	if _, err := w.Find(t.Context(), w.music, "https://EXAMPLE.com/client.json"); codeOf(err) != oauth.InvalidClient {
		t.Errorf("another spelling is another client: %v", err)
	}
}

// The first two are what ChatGPT publishes, read in either way.
func TestMethodsOfADocument(t *testing.T) {
	t.Parallel()
	keys := json.RawMessage(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	for name, c := range map[string]struct {
		change map[string]any
		want   []Method // nil: refused
	}{
		"none given":                     {nil, []Method{None}},
		"ChatGPT, list of both":          {map[string]any{"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": []string{"none", "private_key_jwt"}, "jwks_uri": "https://example.com/k"}, []Method{None, PrivateKeyJWT}},
		"ChatGPT, list of the other":     {map[string]any{"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": []string{"none"}, "jwks_uri": "https://example.com/k"}, []Method{None, PrivateKeyJWT}},
		"private_key_jwt":                {map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks": keys}, []Method{PrivateKeyJWT}},
		"private_key_jwt without keys":   {map[string]any{"token_endpoint_auth_method": "private_key_jwt"}, nil},
		"none, other alternatives":       {map[string]any{"token_endpoint_auth_methods_supported": []string{"tls_client_auth", "client_secret_post", "none"}}, []Method{None}},
		"shared secret":                  {map[string]any{"token_endpoint_auth_method": "client_secret_basic"}, nil},
		"shared secrets":                 {map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_jwt"}}, nil},
		"a secret":                       {map[string]any{"client_secret": "x"}, nil},
		"no keys in the set":             {map[string]any{"jwks": json.RawMessage(`{"keys":[]}`)}, nil},
		"a symmetric key only":           {map[string]any{"jwks": json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)}, nil},
		"keys twice":                     {map[string]any{"jwks": keys, "jwks_uri": "https://example.com/k"}, nil},
		"another client_id":              {map[string]any{"client_id": docID + "/"}, nil},
		"client_id in another spelling":  {map[string]any{"client_id": "https://EXAMPLE.com/client.json"}, nil},
		"no client_id":                   {map[string]any{"client_id": nil}, nil},
		"no name":                        {map[string]any{"client_name": nil}, nil},
		"a blank name":                   {map[string]any{"client_name": " \t"}, nil},
		"no redirect URIs":               {map[string]any{"redirect_uris": []string{}}, nil},
		"redirect URIs of another shape": {map[string]any{"redirect_uris": callback}, nil},
	} {
		body, err := json.Marshal(doc(c.change))
		if err != nil {
			t.Fatal(err)
		}
		d, err := parseDocument(docID, body)
		if (err == nil) != (c.want != nil) || d != nil && !slices.Equal(d.methods, c.want) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

func TestFaultyDocuments(t *testing.T) {
	t.Parallel()
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Location", "https://example.com/good.json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	text, _ := json.Marshal(doc(nil))
	good := string(text)
	for name, c := range map[string]struct {
		page http.HandlerFunc
		want oauth.Code
	}{
		"good":                     {answer(200, "application/json", good), ""},
		"a suffix":                 {answer(200, "application/oauth-client+json", good), ""},
		"exactly 5 KB":             {answer(200, "application/json", good+strings.Repeat(" ", maxDocument-len(good))), ""},
		"larger":                   {answer(200, "application/json", good+strings.Repeat(" ", maxDocument+1-len(good))), oauth.InvalidClient},
		"HTML":                     {answer(200, "text/html", good), oauth.InvalidClient},
		"another +json":            {answer(200, "text/x+json", good), oauth.InvalidClient},
		"no type":                  {answer(200, "", good), oauth.InvalidClient},
		"no JSON":                  {answer(200, "application/json", "{"), oauth.InvalidClient},
		"two documents":            {answer(200, "application/json", good+good), oauth.InvalidClient},
		"301":                      {answer(301, "application/json", good), oauth.InvalidClient},
		"302":                      {answer(302, "application/json", good), oauth.InvalidClient},
		"201":                      {answer(201, "application/json", good), oauth.InvalidClient},
		"304":                      {answer(304, "application/json", ""), oauth.InvalidClient},
		"404":                      {answer(404, "application/json", good), oauth.InvalidClient},
		"429":                      {answer(429, "application/json", good), oauth.TemporarilyUnavailable},
		"500":                      {answer(500, "application/json", good), oauth.TemporarilyUnavailable},
		"a connection that breaks": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, oauth.TemporarilyUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish("example.com/good.json", doc(nil), "")
			w.page(docKey, c.page)
			_, err := w.Find(t.Context(), w.music, docID)
			if codeOf(err) != c.want || errors.Is(err, ErrUnknown) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if w.count("example.com/good.json") != 0 {
				t.Error("a redirect was followed")
			}
			if fault := oauth.AsError(err); err != nil && (fault.StatusCode() == 503) != (c.want == oauth.TemporarilyUnavailable) {
				t.Errorf("status %d", fault.StatusCode())
			}
			if err != nil { // errors are not kept
				w.publish(docKey, doc(nil), "")
				if _, err := w.Find(t.Context(), w.music, docID); err != nil {
					t.Errorf("the error was kept: %v", err)
				}
			}
		})
	}
}

func TestSlowDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	end := make(chan struct{})
	w.page(docKey, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-end:
		case <-r.Context().Done():
		}
	})
	began := time.Now()
	_, err := w.Find(t.Context(), w.music, docID)
	close(end)
	if took := time.Since(began); codeOf(err) != oauth.TemporarilyUnavailable || took >= fetch.DefaultTimeout {
		t.Errorf("%v after %v", err, took)
	}
}

func TestAddressesNotForStrangers(t *testing.T) {
	t.Parallel()
	const intranet = "inside.example.com:8443"
	w := newWorld(t, intranet)
	id := "https://" + intranet + "/client.json"
	w.publish(intranet+"/client.json", doc(map[string]any{"client_id": id}), "")
	w.publish(docKey, doc(nil), "")

	for _, address := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"} {
		w.addr["example.com"] = address
		if _, err := w.Find(t.Context(), w.music, docID); codeOf(err) != oauth.TemporarilyUnavailable || w.dialed != 0 {
			t.Errorf("a name at %s: %v, dialled %d times", address, err, w.dialed)
		}
	}
	w.advance(time.Minute)
	for _, host := range []string{"127.0.0.1", "[::1]", "169.254.169.254"} {
		if _, err := w.Find(t.Context(), w.music, "https://"+host+"/client.json"); codeOf(err) != oauth.InvalidClient || w.dialed != 0 {
			t.Errorf("%s: %v, dialled %d times", host, err, w.dialed)
		}
	}
	// What the operator opened for upstreams is not open for strangers.
	w.addr["inside.example.com"] = "10.0.0.1"
	if _, err := w.Find(t.Context(), w.music, id); codeOf(err) != oauth.TemporarilyUnavailable || w.dialed != 0 {
		t.Errorf("a private host: %v, dialled %d times", err, w.dialed)
	}
	w.music.ClientDocuments.Hosts = []string{intranet}
	if _, err := w.Find(t.Context(), w.music, id); err != nil {
		t.Errorf("a private host that the tenant lists: %v", err)
	}
	delete(w.addr, "example.com")
	if _, err := w.Find(t.Context(), w.music, docID); codeOf(err) != oauth.InvalidClient {
		t.Errorf("a host that is not on the tenant's list: %v", err)
	}
	w.music.ClientDocuments.Hosts = []string{"example.com"}
	if _, err := w.Find(t.Context(), w.music, docID); err != nil {
		t.Errorf("a host on the list: %v", err)
	}
	w.music.ClientDocuments.Off = true
	if _, err := w.Find(t.Context(), w.music, docID); !errors.Is(err, ErrUnknown) {
		t.Errorf("switched off: %v", err)
	}
}

func TestLongNameOfADocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(docKey, doc(map[string]any{"client_name": strings.Repeat("ü", MaxName+1)}), "")
	if _, err := w.Find(t.Context(), w.music, docID); codeOf(err) != oauth.InvalidClient || !strings.Contains(err.Error(), "client_name") {
		t.Errorf("%d characters: %v", MaxName+1, err)
	}
	w.publish(docKey, doc(map[string]any{"client_name": strings.Repeat("ü", MaxName)}), "")
	if _, err := w.Find(t.Context(), w.music, docID); err != nil {
		t.Errorf("%d characters: %v", MaxName, err)
	}
}

func TestRebindingGainsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, _ := json.Marshal(doc(nil))
	w.page(docKey, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Connection", "close")
		_, _ = rw.Write(text)
	})
	if _, err := w.Find(t.Context(), w.music, docID); err != nil {
		t.Fatal(err)
	}
	w.advance(maxFresh)
	w.addr["example.com"] = "127.0.0.1"
	if _, err := w.Find(t.Context(), w.music, docID); codeOf(err) != oauth.TemporarilyUnavailable || w.dialed != 1 {
		t.Errorf("%v, dialled %d times", err, w.dialed)
	}
}

func TestDocumentIsKeptForAsLongAsItSays(t *testing.T) {
	t.Parallel()
	for cacheControl, want := range map[string]time.Duration{
		"":                                defaultFresh,
		"max-age=7200":                    2 * time.Hour,
		"public, MAX-AGE=\"7200\"":        2 * time.Hour,
		"max-age=60, s-maxage=7200":       2 * time.Hour,
		"max-age=60":                      minFresh,
		"max-age=0":                       minFresh,
		"no-store":                        minFresh,
		"max-age=7200, no-cache":          minFresh,
		"max-age=31536000":                maxFresh,
		"max-age=-1":                      minFresh,
		"max-age=x":                       minFresh,
		"max-age=99999999999999999999999": minFresh,
	} {
		t.Run(cacheControl, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish(docKey, doc(nil), cacheControl)
			for _, step := range []struct {
				after time.Duration
				asked int
			}{{0, 1}, {want - time.Second, 1}, {time.Second, 2}} {
				w.advance(step.after)
				if _, err := w.Find(t.Context(), w.music, docID); err != nil || w.count(docKey) != step.asked {
					t.Fatalf("after %v: asked %d times, want %d; %v", step.after, w.count(docKey), step.asked, err)
				}
			}
		})
	}
	if got := freshFor(http.Header{"Cache-Control": {"max-age=7200"}, "Age": {"3600"}}); got != time.Hour {
		t.Errorf("Age: %v", got)
	}
}

func TestOneFetchForMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, _ := json.Marshal(doc(nil))
	arrived, release := make(chan struct{}), make(chan struct{})
	w.page(docKey, func(rw http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{} // a second fetch would wait here for ever, and time out
		<-release
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write(text)
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.Find(t.Context(), w.music, docID); err != nil {
				t.Error(err)
			}
		})
	}
	<-arrived
	close(release)
	wg.Wait()
	if n := w.count(docKey); n != 1 {
		t.Errorf("%d fetches", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache("x", fetch.New(fetch.Config{}), nil, time.Now, 0, 3, parseDocument)
	for _, id := range []string{"a", "b", "c", "a", "d"} {
		c.keep(id, nil, time.Hour)
		c.look("a")
	}
	_, a := c.look("a")
	_, b := c.look("b")
	if !a || b || len(c.entries) != 3 || c.order.Len() != 3 {
		t.Errorf("a %v, b %v, %d entries", a, b, len(c.entries))
	}
}

func TestBlockedClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(docKey, doc(nil), "")
	reg, err := w.Register(w.music, Registration{RedirectURIs: []string{callback}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{docID, reg.ID} {
		if _, err := w.Find(t.Context(), w.music, id); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := w.Block(t.Context(), w.music, id, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Find(t.Context(), w.music, id); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", id, err)
		}
	}
	other := *w.music
	other.Name = "octo"
	if _, err := w.Find(t.Context(), &other, docID); err != nil {
		t.Errorf("at another tenant: %v", err)
	}
	w.driver.Fail(func(op, key string) error { return errors.New("down") })
	if _, err := w.Find(t.Context(), w.music, docID); codeOf(err) != oauth.TemporarilyUnavailable {
		t.Errorf("without a store: %v", err)
	}
	w.driver.Fail(nil)
	w.advance(time.Hour)
	if _, err := w.Find(t.Context(), w.music, reg.ID); err != nil {
		t.Errorf("after its time: %v", err)
	}
}

func FuzzDocument(f *testing.F) {
	text, _ := json.Marshal(doc(map[string]any{"jwks_uri": "https://example.com/k", "token_endpoint_auth_methods_supported": []string{"none", "private_key_jwt"}}))
	for _, seed := range []string{string(text), "{}", "[]", "null", `{"client_id":"` + docID + `","jwks":{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}}`} {
		f.Add(docID, seed)
	}
	f.Add("https://example.com/../a", "{}")
	f.Fuzz(func(t *testing.T, id, body string) {
		if u, err := documentURL(id); err == nil && (u.Scheme != "https" || u.User != nil || u.Fragment != "" || u.Host == "") {
			t.Errorf("%q passes as %+v", id, u)
		}
		d, err := parseDocument(id, []byte(body))
		if err != nil {
			return
		}
		if d.name == "" || len(d.redirectURIs) == 0 || len(d.methods) == 0 || slices.Contains(d.methods, Basic) || slices.Contains(d.methods, Post) {
			t.Errorf("%s: %+v", body, d)
		}
		if slices.Contains(d.methods, PrivateKeyJWT) && d.keys.isZero() {
			t.Errorf("%s: private_key_jwt without keys", body)
		}
	})
}
