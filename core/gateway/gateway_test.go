package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// request is a call with a good token; the caller may change it.
func request(t testing.TB, s *coretest.Server, token, method, target string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func handle(s *coretest.Server, f http.HandlerFunc) { s.Backend.Config.Handler = f }

func TestEventsArriveBeforeTheBackendIsDone(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	seen := make(chan struct{})
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-seen: // only after the client has it
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "data: last\n\n")
	})
	res, err := s.Browser().Do(request(t, s, token, http.MethodGet, "/music/mcp", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	reader := bufio.NewReader(res.Body)
	if line, err := reader.ReadString('\n'); line != "data: first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	close(seen)
	if rest, _ := io.ReadAll(reader); !strings.Contains(string(rest), "data: last") {
		t.Errorf("the rest: %q", rest)
	}
}

func TestWhatCrossesToTheBackend(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	var got *http.Request
	handle(s, func(_ http.ResponseWriter, r *http.Request) { got = r })
	r := request(t, s, token, http.MethodPost, "/music/mcp?cursor=a%2Fb&x=1", strings.NewReader("{}"))
	r.Header.Set("Cookie", "session=secret")
	r.Header.Set("X-Sallyport-Assertion", "forged")
	r.Header["X_sallyport_Assertion"] = []string{"forged"}
	r.Header.Set("Mcp-Protocol-Version", "kept")
	if a := s.Do(t, nil, r); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if a := got.Header.Values("Authorization"); len(a) != 1 || a[0] != "Bearer upstream-access-ada-0" {
		t.Errorf("Authorization %q", a)
	}
	for name, value := range got.Header {
		if strings.Contains(strings.Join(value, " "), "forged") || name == "Cookie" || strings.Contains(strings.Join(value, " "), token) {
			t.Errorf("%s: %q crossed", name, value)
		}
	}
	if got.Header.Get("Mcp-Protocol-Version") != "kept" {
		t.Errorf("headers %v", got.Header)
	}
	if got.URL.Path != "/mcp" || got.URL.RawQuery != "cursor=a%2Fb&x=1" || "http://"+got.Host != s.Backend.URL {
		t.Errorf("address %s %s", got.Host, got.URL)
	}
}

func TestBackendDoesNotSpeakForTheGateway(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "https://only.example")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("Set-Cookie", "__Host-sp_form=planted; Path=/; Secure")
		w.Header().Set("Mcp-Session-Id", "kept")
	})
	r := request(t, s, token, http.MethodPost, "/music/mcp", nil)
	r.Header.Set("Origin", "https://claude.ai")
	h := s.Do(t, nil, r).Header
	if o := h.Values("Access-Control-Allow-Origin"); len(o) != 1 || o[0] != "*" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("CORS headers %v", h)
	}
	if h.Get("Set-Cookie") != "" || !strings.HasPrefix(h.Get("Mcp-Session-Id"), "kept.") {
		t.Errorf("headers %v", h)
	}
}

func TestBackendThatIsDownIs502WithoutInternals(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	address := strings.TrimPrefix(s.Backend.URL, "http://")
	s.Backend.Close()
	a := s.Call(t, "music", token)
	wantRPC(t, "a backend that is down", a, http.StatusBadGateway, -32000, "temporarily_unavailable")
	if strings.Contains(a.Body, address) || strings.Contains(a.Body, "dial") {
		t.Errorf("the answer tells of the network: %s", a.Body)
	}
}

func TestLargeBodyStreamsThrough(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	half := make(chan struct{})
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.CopyN(io.Discard, r.Body, 1<<20)
		close(half) // the client sends the rest only now: nothing waited for the whole
		n, err2 := io.Copy(io.Discard, r.Body)
		if err = errors.Join(err, err2); err != nil || n != 1<<20 {
			http.Error(w, "short", http.StatusBadRequest)
		}
	})
	reader, writer := io.Pipe()
	go func() {
		mib := make([]byte, 1<<20)
		_, _ = writer.Write(mib)
		select {
		case <-half:
		case <-t.Context().Done():
		}
		_, err := writer.Write(mib)
		writer.CloseWithError(err)
	}()
	r := request(t, s, token, http.MethodPost, "/music/mcp", reader)
	r.ContentLength = 2 << 20
	if a := s.Do(t, nil, r); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

func TestClientThatLeavesEndsTheBackendsCall(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	begun, ended := make(chan struct{}), make(chan struct{})
	handle(s, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-begun; leave() }()
	res, err := s.Browser().Do(request(t, s, token, http.MethodGet, "/music/mcp", nil).WithContext(ctx))
	if err == nil {
		_ = res.Body.Close()
		t.Fatal("the call was answered")
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the backend still works for a client that left")
	}
}

func TestMethodsAndSpellings(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	for _, path := range []string{"/music/mcp", "/music/mcp/"} {
		for method, want := range map[string]int{"POST": 200, "GET": 200, "DELETE": 200, "HEAD": 405, "PUT": 405, "PATCH": 405} {
			if a := s.Do(t, nil, request(t, s, token, method, path, nil)); a.Status != want {
				t.Errorf("%s %s: %d, want %d", method, path, a.Status, want)
			}
		}
	}
}

func TestBearerForms(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	tokens := s.Login(t, s.Browser(), "ada")
	for name, c := range map[string]struct {
		header []string
		query  string
		status int
		fault  string // in the challenge; empty: none
	}{
		"good":              {[]string{"Bearer " + tokens.Access}, "", 200, ""},
		"scheme in lower":   {[]string{"bearer " + tokens.Access}, "", 200, ""},
		"none":              {nil, "", 401, ""},
		"another scheme":    {[]string{"Basic " + tokens.Access}, "", 401, ""},
		"no token":          {[]string{"Bearer"}, "", 401, ""},
		"bad":               {[]string{"Bearer x"}, "", 401, "invalid_token"},
		"a refresh token":   {[]string{"Bearer " + tokens.Refresh}, "", 401, "invalid_token"},
		"twice":             {[]string{"Bearer " + tokens.Access, "Bearer x"}, "", 400, ""},
		"in the query":      {nil, "?access_token=" + tokens.Access, 400, ""},
		"in the query also": {[]string{"Bearer " + tokens.Access}, "?access_token=x", 400, ""},
	} {
		r := request(t, s, "", http.MethodPost, "/music/mcp"+c.query, nil)
		r.Header["Authorization"] = c.header
		a := s.Do(t, nil, r)
		challenge := a.Header.Get("WWW-Authenticate")
		if a.Status != c.status || (a.Status == 401) != (challenge != "") || strings.Contains(challenge, "error=") != (c.fault != "") ||
			!strings.Contains(challenge, c.fault) {
			t.Errorf("%s: %d, challenge %q, %s", name, a.Status, challenge, a.Body)
		}
	}
}

func TestRejectedUpstreamToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  error
		status int
	}{
		"the upstream is down":     {&upstream.Error{Kind: upstream.Unavailable}, http.StatusServiceUnavailable},
		"the credential is dead":   {&upstream.Error{Kind: upstream.InvalidGrant}, http.StatusUnauthorized},
		"the provider is at fault": {&upstream.Error{Kind: upstream.Bug}, http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := coretest.New(t, func(_ *core.Config, _ []*tenant.Tenant, f *upstreamtest.Fake) {
				f.Fail = func() error { return c.fault }
			})
			token := s.Login(t, s.Browser(), "ada").Access
			handle(s, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("WWW-Authenticate", `Bearer realm="the backend's own"`)
				w.WriteHeader(http.StatusUnauthorized)
			})
			a := s.Call(t, "music", token)
			challenge := a.Header.Get("WWW-Authenticate")
			if a.Status != c.status || strings.Contains(challenge, "realm") || (challenge != "") != (c.status == 401) {
				t.Errorf("%d %q %s", a.Status, challenge, a.Body)
			}
		})
	}
}
