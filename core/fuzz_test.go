package core_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// fuzzed is a server, and a way to ask it that takes no network.
func fuzzed(f *testing.F, options ...coretest.Option) (s *coretest.Server, ask func(path, query string) *http.Response) {
	f.Helper()
	s = coretest.New(f, options...)
	host := strings.TrimPrefix(s.URL, "http://")
	return s, func(path, query string) *http.Response {
		r := &http.Request{
			Method: http.MethodGet, Host: host, Header: http.Header{}, Body: http.NoBody, RemoteAddr: "127.0.0.1:1",
			URL: &url.URL{Path: path, RawQuery: query},
		}
		w := httptest.NewRecorder()
		s.Core.ServeHTTP(w, r)
		return w.Result()
	}
}

// FuzzAuthorize asks for authorization in any words. CLIENT and PUSHED in them
// stand for what is known here.
func FuzzAuthorize(f *testing.F) {
	s, ask := fuzzed(f)
	id := s.Register(f, "music")
	good := s.AuthorizeQuery("music", "CLIENT").Encode()
	for _, seed := range []string{
		good, good + "&prompt=none", good + "&state=again", strings.Replace(good, "7777", "1", 1), strings.Replace(good, "127.0.0.1", "evil.example", 1),
		"client_id=CLIENT&request_uri=PUSHED", "client_id=CLIENT&request_uri=PUSHED&redirect_uri=https://evil.example", "client_id=x&request_uri=PUSHED",
		"client_id=CLIENT&request_uri=urn:ietf:params:oauth:request_uri:AAAA", "client_id=CLIENT&request=eyJ", "client_id=CLIENT&prompt=none+login", "%zz", "",
	} {
		f.Add(seed)
	}
	form := s.AuthorizeQuery("music", id)
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Contains(query, "PUSHED") {
			uri := s.PostForm(t, nil, "/music/par", form).JSON(t)["request_uri"].(string)
			query = strings.ReplaceAll(query, "PUSHED", url.QueryEscape(uri))
		}
		query = strings.ReplaceAll(query, "CLIENT", url.QueryEscape(id))
		res := ask("/music/authorize", query)
		location := res.Header.Get("Location")
		switch {
		case res.StatusCode == http.StatusFound:
			u, err := url.Parse(location)
			if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || u.Path != "/callback" ||
				u.Query().Get("iss") != s.URL+"/music" || u.Query().Get("error") == "" || u.Query().Has("code") {
				t.Errorf("%q is sent to %s", query, location)
			}
		case location != "", res.StatusCode != http.StatusOK && res.StatusCode != http.StatusBadRequest:
			t.Errorf("%q: %d, Location %q", query, res.StatusCode, location)
		}
	})
}

// FuzzSharedCallback brings any answer to the callback that two tenants share.
func FuzzSharedCallback(f *testing.F) {
	s, ask := fuzzed(f, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		tenants[0].SharedCallback = strings.TrimSuffix(tenants[0].Issuer, "/music") + "/callback"
	})
	for _, seed := range []string{
		"code=a&state=music.b", "state=octo.b", "state=music.b&state=octo.c", "state=music", "state=.", "state=//evil.example/.x", "state=music.x%0d%0aSet-Cookie:x", "%zz=1&state=music.x;", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		res := ask("/callback", query)
		location := res.Header.Get("Location")
		switch {
		case res.StatusCode == http.StatusFound:
			if location != s.URL+"/music/callback?"+query || len(res.Header["Set-Cookie"]) > 0 {
				t.Errorf("%q is sent to %s", query, location)
			}
		case location != "" || res.StatusCode != http.StatusBadRequest:
			t.Errorf("%q: %d, Location %q", query, res.StatusCode, location)
		}
		if res := ask("/music/callback", query); res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" {
			t.Errorf("the tenant's own, %q: %d", query, res.StatusCode)
		}
	})
}
