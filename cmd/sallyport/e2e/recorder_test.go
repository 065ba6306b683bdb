package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/core/oauth"
)

// recorder keeps every byte that arrives at the listeners that it wraps.
type recorder struct {
	name string // of the server, for messages

	mu   sync.Mutex
	seen bytes.Buffer
}

// String returns all that arrived.
func (r *recorder) String() string { return r.since(0) }

// length is for since.
func (r *recorder) length() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.Len()
}

// since returns what arrived after the first n bytes.
func (r *recorder) since(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(r.seen.Bytes()[n:])
}

// listener returns l with its bytes recorded.
func (r *recorder) listener(l net.Listener) net.Listener { return recordedListener{l, r} }

// conn returns c with the bytes that are read from it recorded.
func (r *recorder) conn(c net.Conn) net.Conn { return recordedConn{c, r} }

type recordedListener struct {
	net.Listener
	to *recorder
}

// Accept implements net.Listener.
func (l recordedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.to.conn(c), nil
}

type recordedConn struct {
	net.Conn
	to *recorder
}

// Read implements net.Conn.
func (c recordedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.seen.Write(p[:n])
	return n, err
}

// startRecorded starts a server whose bytes are recorded and returns its URL.
func startRecorded(t *testing.T, to *recorder, handler http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Listener = to.listener(s.Listener)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// startRecordingProxy starts a TCP proxy before a server of another process and
// returns its URL.
func startRecordingProxy(t *testing.T, to *recorder, target string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); connections.Wait() })
	address := strings.TrimPrefix(target, "http://")
	go func() {
		for {
			client, err := to.listener(l).Accept()
			if err != nil {
				return
			}
			connections.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				defer server.Close()
				go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
				_, _ = io.Copy(client, server)
			})
		}
	}()
	return "http://" + l.Addr().String()
}

// What a secret of an upstream is.
const (
	accessToken  = "access token"
	refreshToken = "refresh token"
	authCode     = "authorization code"
	codeVerifier = "code_verifier"
	clientSecret = "client secret"
)

// secrets are what one app at one upstream issued and what belongs to it. The
// upstream's answers are read for them, and what it is asked.
type secrets struct {
	mu         sync.Mutex
	values     map[string]string // what each is
	challenges map[string]bool   // of RFC 7636; their verifiers are secrets
}

func newSecrets() *secrets {
	return &secrets{values: map[string]string{}, challenges: map[string]bool{}}
}

// snapshot returns the secrets of now.
func (s *secrets) snapshot() *secrets {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := newSecrets()
	for value, what := range s.values {
		now.values[value] = what
	}
	for challenge := range s.challenges {
		now.challenges[challenge] = true
	}
	return now
}

func (s *secrets) note(what, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case value == "":
	case what == "challenge":
		s.challenges[value] = true
	default:
		s.values[value] = what
	}
}

// of notes the secrets of a double of an OAuth 2.0 service.
func (s *secrets) of(service http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.note("challenge", r.URL.Query().Get("code_challenge"))
		s.note(codeVerifier, form.Get("code_verifier"))
		answer := httptest.NewRecorder()
		service.ServeHTTP(answer, r)
		if to, err := url.Parse(answer.Header().Get("Location")); err == nil {
			s.note(authCode, to.Query().Get("code"))
		}
		var tokens struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		}
		if json.Unmarshal(answer.Body.Bytes(), &tokens) == nil {
			s.note(accessToken, tokens.Access)
			s.note(refreshToken, tokens.Refresh)
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

var (
	encoded   = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\+`)
	basicAuth = regexp.MustCompile(`Basic ([A-Za-z0-9+/=]+)`)
	verifiers = regexp.MustCompile(`[A-Za-z0-9._~-]{43,128}`) // RFC 7636 §4.1
)

// in returns which secrets are in some bytes: as they are, percent-encoded, or
// in the credentials of HTTP Basic. A code_verifier that was never shown to its
// upstream is known by its challenge. Kinds in allowed are not returned.
func (s *secrets) in(text string, allowed ...string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range basicAuth.FindAllStringSubmatch(text, -1) {
		plain, _ := base64.StdEncoding.DecodeString(m[1])
		text += "\n" + string(plain)
	}
	text += "\n" + encoded.ReplaceAllStringFunc(text, func(hex string) string {
		plain, _ := url.QueryUnescape(hex)
		return plain
	})
	for value, what := range s.values {
		if strings.Contains(text, value) && !slices.Contains(allowed, what) {
			found = append(found, fmt.Sprintf("the %s %.12s…", what, value))
		}
	}
	for _, v := range verifiers.FindAllString(text, -1) {
		if s.challenges[string(oauth.ChallengeOf(v))] && !slices.Contains(allowed, codeVerifier) {
			found = append(found, fmt.Sprintf("the %s %.12s…", codeVerifier, v))
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestSecretsAreFound holds the reader of recordings to the forms in which
// secrets travel.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	s := newSecrets()
	s.note(clientSecret, "the/secret")
	s.note(refreshToken, "rt 1")
	s.note("challenge", string(oauth.ChallengeOf(chaosVerifier)))
	for name, c := range map[string]struct {
		text string
		want int
	}{
		"nothing":       {"POST /token HTTP/1.1\r\n\r\ngrant_type=refresh_token&100%", 0},
		"plain":         {"client_secret=the/secret", 1},
		"encoded":       {"client_secret=the%2Fsecret&refresh_token=rt+1", 2},
		"basic":         {"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("app:the%2Fsecret")) + "\r\n", 1},
		"verifier":      {"code_verifier=" + chaosVerifier + "&x=1", 1},
		"the challenge": {"code_challenge=" + string(oauth.ChallengeOf(chaosVerifier)), 0},
	} {
		if found := s.in(c.text); len(found) != c.want {
			t.Errorf("%s: %v", name, found)
		}
	}
	if found := s.in("client_secret=the/secret", clientSecret); len(found) != 0 {
		t.Errorf("allowed: %v", found)
	}
}
