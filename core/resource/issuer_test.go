package resource_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/resource"
	"github.com/sallyport/sallyport/core/seal"
)

// scripted is an issuer, a double of ours, that says what a real one never
// would. Its answers may contain URL.
type scripted struct {
	*httptest.Server
	mu                              sync.Mutex
	metadata, introspection, token  string
	status                          int
	header                          http.Header
	wait                            chan struct{} // introspection answers when it is closed
	metadatas, introspections, exch atomic.Int64
}

const (
	goodMetadata      = `{"issuer":"URL","token_endpoint":"URL/token","introspection_endpoint":"URL/introspect","scopes_supported":["read"]}`
	goodIntrospection = `{"active":true,"sub":"ada","scope":"read","exp":4000000000,"aud":"` + ownURL + `","iss":"URL"}`
	goodToken         = `{"access_token":"upstream","token_type":"Bearer","expires_in":3600}`
)

func startScripted() *scripted {
	s := &scripted{metadata: goodMetadata, introspection: goodIntrospection, token: goodToken, status: http.StatusOK, header: http.Header{}}
	s.Server = httptest.NewServer(s)
	return s
}

func newScripted(t testing.TB) (*scripted, *resource.Gate) {
	t.Helper()
	s := startScripted()
	t.Cleanup(s.Close)
	return s, newGate(t, resource.Config{
		Issuer: s.URL, Resource: ownURL, ID: "tools", Secret: seal.NewSecret(secret), Fetch: private(t, s.URL),
	})
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	metadata, introspection, token, status, wait := s.metadata, s.introspection, s.token, s.status, s.wait
	for name, values := range s.header {
		w.Header()[name] = values
	}
	s.mu.Unlock()
	answer := metadata
	switch r.URL.Path {
	case "/introspect":
		s.introspections.Add(1)
		if wait != nil {
			<-wait
		}
		answer = introspection
		w.WriteHeader(status)
	case "/token":
		s.exch.Add(1)
		answer = token
	default:
		s.metadatas.Add(1)
	}
	_, _ = io.WriteString(w, strings.ReplaceAll(answer, "URL", s.URL))
}

// code is the error code that Verify ends with, or "".
func code(ctx context.Context, gate *resource.Gate, token string) oauth.Code {
	_, err := gate.Verify(ctx, token)
	if fault, ok := errors.AsType[*oauth.Error](err); ok {
		return fault.Code
	}
	return ""
}

func TestMetadataThatIsNotTheIssuersIsNotUsed(t *testing.T) {
	t.Parallel()
	for what, metadata := range map[string]string{
		"another issuer":                        strings.Replace(goodMetadata, `"URL"`, `"https://evil.example.com"`, 1),
		"the issuer with a slash":               strings.Replace(goodMetadata, `"URL"`, `"URL/"`, 1),
		"introspection elsewhere":               strings.Replace(goodMetadata, `URL/introspect`, `https://evil.example.com/introspect`, 1),
		"the token endpoint elsewhere":          strings.Replace(goodMetadata, `URL/token`, `https://evil.example.com/token`, 1),
		"a host that only begins like ours":     strings.Replace(goodMetadata, `URL/introspect`, `URL.evil.example.com/introspect`, 1),
		"ours as the user name of another host": strings.Replace(goodMetadata, `URL/introspect`, `URL@evil.example.com/introspect`, 1),
		"no introspection":                      strings.Replace(goodMetadata, `URL/introspect`, "", 1),
		"a page":                                "<html>",
		"null":                                  "null",
	} {
		s, gate := newScripted(t)
		s.metadata = metadata
		if got := code(t.Context(), gate, "t"); got != oauth.TemporarilyUnavailable || s.introspections.Load() > 0 {
			t.Errorf("%s: %s, asked %d times", what, got, s.introspections.Load())
		}
		code(t.Context(), gate, "t")
		if n := s.metadatas.Load(); n != 1 {
			t.Errorf("%s: looked for again at once, %d times", what, n)
		}
	}
}

func TestMetadataOutlivesAnOutageOfTheIssuer(t *testing.T) {
	t.Parallel()
	s, _ := newScripted(t)
	now := time.Now()
	gate := newGate(t, resource.Config{
		Issuer: s.URL, Resource: ownURL, ID: "tools", Secret: seal.NewSecret(secret), Fetch: private(t, s.URL),
		Now: func() time.Time { return now },
	})
	if got := code(t.Context(), gate, "one"); got != "" {
		t.Fatal(got)
	}
	s.metadata = "<html>"
	now = now.Add(time.Hour)
	if got := code(t.Context(), gate, "two"); got != "" || s.metadatas.Load() != 2 {
		t.Errorf("%s, looked for %d times", got, s.metadatas.Load())
	}
}

func TestWhatAnIntrospectionMustSay(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		answer string
		code   oauth.Code
	}{
		"all":                    {goodIntrospection, ""},
		"several audiences":      {strings.Replace(goodIntrospection, `"`+ownURL+`"`, `["https://a.example.com","`+ownURL+`"]`, 1), ""},
		"an end with a fraction": {strings.Replace(goodIntrospection, "4000000000", "4000000000.25", 1), ""},
		"an end that is text":    {strings.Replace(goodIntrospection, "4000000000", `"4e9"`, 1), ""},
		"not active":             {strings.Replace(goodIntrospection, "true", "false", 1), oauth.InvalidToken},
		"another audience":       {strings.Replace(goodIntrospection, "tools", "other", 1), oauth.InvalidToken},
		"no audience":            {strings.Replace(goodIntrospection, `"aud"`, `"x"`, 1), oauth.InvalidToken},
		"no audiences":           {strings.Replace(goodIntrospection, `"`+ownURL+`"`, `[]`, 1), oauth.InvalidToken},
		"another issuer":         {strings.Replace(goodIntrospection, "URL", "https://evil.example.com", 1), oauth.InvalidToken},
		"no subject":             {strings.Replace(goodIntrospection, "ada", "", 1), oauth.InvalidToken},
		"an end in the past":     {strings.Replace(goodIntrospection, "4000000000", "1", 1), oauth.InvalidToken},
		"no end":                 {strings.Replace(goodIntrospection, `"exp"`, `"x"`, 1), oauth.InvalidToken},
		"a page":                 {"<html>", oauth.TemporarilyUnavailable},
		"an audience of numbers": {strings.Replace(goodIntrospection, `"`+ownURL+`"`, `7`, 1), oauth.TemporarilyUnavailable},
		"too much":               {`{"active":false,"x":"` + strings.Repeat("x", 64<<10) + `"}`, oauth.TemporarilyUnavailable},
	} {
		s, gate := newScripted(t)
		s.introspection = c.answer
		if got := code(t.Context(), gate, "t"); got != c.code {
			t.Errorf("%s: %q, want %q", what, got, c.code)
		}
	}
}

func TestIssuerSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	s, gate := newScripted(t)
	for status, header := range map[int]string{http.StatusTooManyRequests: "30", http.StatusServiceUnavailable: "7"} {
		s.status, s.header = status, http.Header{"Retry-After": {header}}
		a := call(t, gate.Middleware(http.HandlerFunc(tell)), "t")
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != header {
			t.Errorf("%d: %+v", status, a)
		}
	}
}

func TestWhatAnExchangeMustSay(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		answer string
		status int
		asked  int64 // times, for two requests
	}{
		"all":                {goodToken, 200, 1},
		"no life":            {`{"access_token":"upstream"}`, 200, 1},
		"hardly any life":    {`{"access_token":"upstream","expires_in":20}`, 200, 2},
		"a life in text":     {`{"access_token":"upstream","expires_in":" 3600.5 "}`, 200, 1},
		"an odd life":        {`{"access_token":"upstream","expires_in":1e300}`, 200, 1},
		"no token":           {`{"expires_in":20}`, 503, 2},
		"a life in words":    {`{"access_token":"upstream","expires_in":"long"}`, 503, 2},
		"a page":             {"<html>", 503, 2},
		"a redirect's worth": {``, 503, 2},
	} {
		s, gate := newScripted(t)
		s.token = c.answer
		h := gate.Middleware(http.HandlerFunc(tell))
		call(t, h, "t")
		if a := call(t, h, "t"); a.status != c.status || s.exch.Load() != c.asked {
			t.Errorf("%s: %+v, asked %d times", what, a, s.exch.Load())
		}
	}
}

func TestManyAtOnceAskOnceAndNoneIsHurtByAnother(t *testing.T) {
	t.Parallel()
	s, gate := newScripted(t)
	s.wait = make(chan struct{})
	h := gate.Middleware(http.HandlerFunc(tell))
	impatient, leave := context.WithCancel(t.Context())
	var first, all sync.WaitGroup
	first.Go(func() {
		if got := code(impatient, gate, "t"); got != oauth.TemporarilyUnavailable {
			t.Errorf("who went away: %q", got)
		}
	})
	for s.introspections.Load() == 0 { // the impatient one asks for all
		select {
		case <-t.Context().Done():
			t.Fatal("nobody asked")
		case <-time.After(time.Millisecond):
		}
	}
	for range 50 {
		all.Go(func() {
			if a := call(t, h, "t"); a.status != http.StatusOK || a.body != "ada Bearer upstream" {
				t.Errorf("%+v", a)
			}
		})
	}
	leave()
	first.Wait()
	close(s.wait)
	all.Wait()
	if i, e := s.introspections.Load(), s.exch.Load(); i != 1 || e != 1 {
		t.Errorf("%d introspections, %d exchanges", i, e)
	}
}
