package plugins

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

// githubDouble stands in for GitHub. It is ours and knows what we know of
// GitHub; it proves the way through the boundary, not GitHub's behaviour.
func githubDouble(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/oauth/access_token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := map[string]any{"access_token": "gho_double", "token_type": "bearer", "scope": "user:email,read:org"}
		id, secret, basic := r.BasicAuth()
		if !basic {
			id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		switch {
		case id != "Iv1.double" || secret != "the-secret":
			answer = map[string]any{"error": "incorrect_client_credentials"}
		case r.FormValue("code") != "good" || r.FormValue("code_verifier") != "the-verifier":
			answer = map[string]any{"error": "bad_verification_code"}
		}
		json.NewEncoder(w).Encode(answer)
	})
	mux.HandleFunc("GET /user", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer gho_double" || r.UserAgent() == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"id": 583231, "login": "octocat", "avatar_url": "https://a.example/1"})
	})
	mux.HandleFunc("GET /user/emails", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode([]any{map[string]any{"email": "octocat@a.example", "primary": true, "verified": true}})
	})
	mux.HandleFunc("GET /user/orgs", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode([]any{map[string]any{"id": 9919, "login": "github"}})
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

func TestGitHubProviderThroughTheBoundary(t *testing.T) {
	if raceEnabled() {
		t.Skip("compiling a module of 3 MB takes half a minute under the race detector; the plain run has this")
	}
	dir := t.TempDir()
	info, err := Build(t.Context(), BuildOptions{Dir: "../providers/github", Out: filepath.Join(dir, "github.wasm"), Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	srv := githubDouble(t)
	client := fetch.New(fetch.Config{PrivateHosts: []string{srv.Listener.Addr().String()}})
	defer client.Close()
	host, err := New(t.Context(), Config{Dirs: []string{dir}, CacheDir: cacheFolder(), Fetch: client})
	if err != nil || len(host.Faults()) != 0 {
		t.Fatal(err, host.Faults())
	}
	defer host.Close(context.Background())
	p, err := host.Bind(t.Context(), "github@"+info.Digest, Binding{
		Tenant: "octo", ClientID: "Iv1.double", ClientSecret: seal.NewSecret("the-secret"), RedirectURI: "https://octo.example/callback",
		Settings: map[string]any{"base_url": srv.URL, "api_url": srv.URL},
	})
	if err != nil {
		t.Fatal(err)
	}
	where, err := p.Authorize(t.Context(), upstream.AuthorizeRequest{State: "st", Scopes: []string{"read:user", "repo"}, CodeChallenge: "ch", Prompt: "login select_account"})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(where)
	if q := u.Query(); u.Path != "/login/oauth/authorize" || q.Get("client_id") != "Iv1.double" || q.Get("scope") != "read:user repo" ||
		q.Get("redirect_uri") != "https://octo.example/callback" || q.Get("code_challenge_method") != "S256" || q.Get("prompt") != "select_account" {
		t.Errorf("authorize URL %s", where)
	}
	ask := func(code string) (*upstream.Credential, error) {
		return p.Exchange(t.Context(), upstream.ExchangeRequest{
			Query: url.Values{"code": {code}, "state": {"st"}}, CodeVerifier: seal.NewSecret("the-verifier"), Scopes: []string{"read:user", "repo"}})
	}
	cred, err := ask("good")
	if err != nil {
		t.Fatal(err)
	}
	if cred.AccessToken.Reveal() != "gho_double" || cred.Account.ID != "583231" || cred.Account.Name != "octocat" || len(cred.Scopes) != 2 ||
		cred.Account.Email != "octocat@a.example" || !cred.Account.EmailVerified || !slices.Equal(cred.Account.Organizations, []string{"9919"}) {
		t.Errorf("credential %+v", cred)
	}
	if _, err := ask("bad"); upstream.KindOf(err) != upstream.InvalidGrant {
		t.Errorf("bad code: %v", err)
	}
}
