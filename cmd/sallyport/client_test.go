package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core/client"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// TestClientBlock blocks one of two clients that have grants, and looks at
// what the store then says.
func TestClientBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := seal.NewKey()
	keys, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	path, file := filepath.Join(dir, "state.db"), filepath.Join(dir, "sallyport.yaml")
	text := "server: { url: \"https://{tenant}.mcp.example.com\" }\nstore: \"bolt://" + path + "\"\nkeys: [\"" + key.Reveal() + "\"]\n" +
		"tenants:\n  music: { provider: oauth2, client_id: a, backend: \"http://127.0.0.1:9/mcp\", cimd: off }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	music := &tenant.Tenant{Name: "music", Issuer: "https://music.mcp.example.com", Lifetimes: tenant.DefaultLifetimes()}

	// inStore lets f look into the store while nobody else has it open.
	inStore := func(f func(*client.Registry, *grant.Store)) {
		t.Helper()
		driver, err := bolt.Open(t.Context(), bolt.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		f(client.NewRegistry(client.Config{Keys: keys, Store: driver, Fetch: fetch.New(fetch.Config{})}), grant.NewStore(driver, keys, nil))
		if err := driver.Close(); err != nil {
			t.Fatal(err)
		}
	}
	block := func(args ...string) (code int, out, errs string) {
		var stdout, stderr bytes.Buffer
		code = run(t.Context(), append([]string{"client", "block", "-c", file}, args...), system{out: &stdout, err: &stderr})
		return code, stdout.String(), stderr.String()
	}

	const verifier = "a-verifier-of-forty-three-characters-at-least-1"
	ids, codes := map[string]string{}, map[string]string{}
	inStore(func(clients *client.Registry, grants *grant.Store) {
		for _, name := range []string{"bad", "good"} {
			reg, err := clients.Register(music, client.Registration{Name: name, RedirectURIs: []string{"http://127.0.0.1/cb"}})
			if err != nil {
				t.Fatal(err)
			}
			ids[name] = reg.ID
			codes[name], err = grants.Create(t.Context(), music, grant.New{
				ClientID: reg.ID, RedirectURI: "http://127.0.0.1/cb", Challenge: oauth.ChallengeOf(verifier), Resource: music.Resource(),
				Credential: &upstream.Credential{AccessToken: seal.NewSecret("x"), Account: upstream.Account{ID: "42"}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})

	for range 2 { // the second finds nothing left to do
		code, out, errs := block("music", ids["bad"])
		if code != exitOK || !strings.Contains(out, "blocked at music; ") {
			t.Fatalf("exit code %d: %s%s", code, out, errs)
		}
		if strings.Contains(out, "; 1 grant ended") == strings.Contains(codes["bad"], "ended") {
			t.Errorf("%s", out)
		}
		codes["bad"] += " ended"
	}
	inStore(func(clients *client.Registry, grants *grant.Store) {
		if _, err := clients.Find(t.Context(), music, ids["bad"]); !errors.Is(err, client.ErrUnknown) {
			t.Errorf("the blocked client: %v", err)
		}
		if _, err := clients.Find(t.Context(), music, ids["good"]); err != nil {
			t.Errorf("the other client: %v", err)
		}
		for name, want := range map[string]grant.Reason{"bad": grant.Gone, "good": ""} {
			code, _, _ := strings.Cut(codes[name], " ")
			_, err := grants.Redeem(t.Context(), music, code, grant.Presented{ClientID: ids[name], Verifier: verifier})
			if grant.ReasonOf(err) != want || want == "" && err != nil {
				t.Errorf("the grant of the %s client: %v", name, err)
			}
		}
	})

	for what, args := range map[string][]string{"no tenant": {"octo", "x"}, "an empty id": {"music", ""}, "no client": {"music", "https://client.example/"},
		"a hash of no grant": {"music", "AAAAAAAAAAAAAAAAAAAAAA"}} {
		if code, _, errs := block(args...); code != exitFailed || errs == "" {
			t.Errorf("%s: exit code %d, %s", what, code, errs)
		}
	}
	if code, _, _ := block("music"); code != exitUsage {
		t.Errorf("one argument: exit code %d", code)
	}
}
