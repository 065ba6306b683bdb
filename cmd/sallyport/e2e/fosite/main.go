// Command fosite is an upstream for the end-to-end tests: an authorization
// server on the library that Ory Hydra is built on, strict where emulators are
// lax.
//
//	fosite CLIENT-ID SECRET REDIRECT-URI...
//
// It prints its URL, and then a line of JSON, {token, status}, for each refresh
// token it is sent: a hash of it and the status of the answer. It runs until
// standard input ends.
//
// It is a module of its own because the library brings some seventy others
// along, which no other test and no build of Sallyport should have to download.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
)

// accessLifetime is so short that a test can wait for the end of a token.
const accessLifetime = 2 * time.Second

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fosite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) < 3 {
		return errors.New("usage: fosite CLIENT-ID SECRET REDIRECT-URI...")
	}
	s := &server{out: out}
	if err := s.compose(ctx, args[0], args[1], args[2:]); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", form)
	mux.HandleFunc("POST /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /me", s.me)
	httpServer := &http.Server{Handler: mux}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = httpServer.Shutdown(ctx)
	}()
	fmt.Fprintf(out, "http://%s\n", listener.Addr())
	if err := httpServer.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type server struct {
	provider fosite.OAuth2Provider
	out      io.Writer
}

// compose sets the library up with one confidential client.
func (s *server) compose(ctx context.Context, id, secret string, redirectURIs []string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	config := &fosite.Config{
		AccessTokenLifespan: accessLifetime,
		EnforcePKCE:         true,
		GlobalSecret:        []byte(rand.Text() + rand.Text()),
		HashCost:            4,
	}
	hash, err := (&fosite.BCrypt{Config: config}).Hash(ctx, []byte(secret))
	if err != nil {
		return err
	}
	store := storage.NewMemoryStore()
	store.Clients[id] = &fosite.DefaultClient{
		ID: id, Secret: hash, RedirectURIs: redirectURIs,
		ResponseTypes: []string{"code"},
		GrantTypes:    []string{"authorization_code", "refresh_token"},
		Scopes:        []string{"offline", "profile"},
	}
	s.provider = compose.ComposeAllEnabled(config, store, key)
	return nil
}

// form asks who it is; there are no passwords here.
func form(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!doctype html><title>Log in</title><form method="post"><input name="login"><button>Log in</button></form>`)
}

// authorize grants whatever the client asks for.
func (s *server) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := s.provider.NewAuthorizeRequest(ctx, r)
	if err != nil {
		s.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	session := &fosite.DefaultSession{Subject: r.PostFormValue("login")}
	response, err := s.provider.NewAuthorizeResponse(ctx, request, session)
	if err != nil {
		s.provider.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	s.provider.WriteAuthorizeResponse(ctx, w, request, response)
}

// token serves both grants and tells standard output about each refresh token.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	status := &statusWriter{ResponseWriter: w}
	s.answer(status, r)
	if token := r.PostFormValue("refresh_token"); token != "" {
		// One write, as requests come at the same time.
		fmt.Fprintf(s.out, `{"token":"%x","status":%d}`+"\n", sha256.Sum256([]byte(token)), status.code)
	}
}

func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := s.provider.NewAccessRequest(ctx, r, &fosite.DefaultSession{})
	if err != nil {
		s.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	response, err := s.provider.NewAccessResponse(ctx, request)
	if err != nil {
		s.provider.WriteAccessError(ctx, w, request, err)
		return
	}
	s.provider.WriteAccessResponse(ctx, w, request, response)
}

// me says whose access token it is, and refuses every other.
func (s *server) me(w http.ResponseWriter, r *http.Request) {
	token := fosite.AccessTokenFromRequest(r)
	_, request, err := s.provider.IntrospectToken(r.Context(), token, fosite.AccessToken, &fosite.DefaultSession{})
	if err != nil {
		http.Error(w, "invalid_token", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"sub": request.GetSession().GetSubject()})
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}
