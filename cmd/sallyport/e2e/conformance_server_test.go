package e2e

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/coretest/loopback"
)

// TestConformanceThroughTheGateway has the conformance tool judge the Go SDK's
// reference server on both wires, with sessions and without, bare and behind
// the gateway. The bare server passes; a check that ends otherwise behind the
// gateway is the gateway's fault.
func TestConformanceThroughTheGateway(t *testing.T) {
	g := buildJudged(t)
	reference := filepath.Join(g.dir, "everything-server")
	run(t, "go", "build", "-o", reference, "github.com/modelcontextprotocol/go-sdk/conformance/everything-server")
	front := newShim(t, g.front)
	wires := []struct {
		revision string
		flags    []string
		tenant   judged
	}{
		{revision: "2025-11-25", flags: []string{"-stateless=false"}},
		{revision: "2026-07-28"},
	}
	var tenants []judged
	for i := range wires {
		w := &wires[i]
		w.tenant = judged{Name: "wire" + w.revision, Issuer: front.url + "/wire" + w.revision, Backend: startReference(t, reference, w.flags...)}
		tenants = append(tenants, w.tenant)
	}
	startJudged(t, g, tenants)
	for _, w := range wires {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		front.tokens.Store("/"+w.tenant.Name+"/mcp", conformanceToken(ctx, t, w.tenant.Issuer))
		t.Run(w.revision, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			bare := conformanceOf(ctx, t, w.tenant.Backend, w.revision)
			wantSame(t, bare, conformanceOf(ctx, t, w.tenant.Issuer+"/mcp", w.revision))
		})
	}
}

// startReference starts the reference server and returns its endpoint.
func startReference(t *testing.T, bin string, flags ...string) string {
	t.Helper()
	address := loopback.Free(t)
	cmd := exec.Command(bin, append(flags, "-http="+address)...)
	said := newOutput(t)
	cmd.Stdout, cmd.Stderr = said.File, said.File
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // fails only if it has ended by itself
		<-ended
	})
	if !until(t.Context(), ended, listens(address)) {
		t.Fatalf("the reference server does not listen:\n%s", said.tail())
	}
	return "http://" + address + "/mcp"
}

// shim stands before Sallyport as a TLS proxy would and hands every request on
// as it is, but for one thing: the tool's server mode cannot send a token, so
// the shim, which is ours, adds it.
type shim struct {
	url    string
	tokens sync.Map // path → token
}

func newShim(t *testing.T, front string) *shim {
	t.Helper()
	s := &shim{}
	proxy := &httputil.ReverseProxy{
		Transport:     direct.Transport,
		FlushInterval: -1, // every event at once
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: front})
			p.Out.Host = p.In.Host // a foreign one too: whom it reaches is part of what is judged
			if token, ok := s.tokens.Load(p.In.URL.Path); ok {
				p.Out.Header.Set("Authorization", "Bearer "+token.(string))
			}
		},
	}
	server := httptest.NewServer(fullDuplex(proxy))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// fullDuplex lets a proxy answer while its transport is not done with the body.
// net/http closes the body of a request when the handler begins to answer. A
// transport that asks a body it has read whether more comes, and finds it closed,
// gives up its connection, and the rest of the answer is lost.
func fullDuplex(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // HTTP/1 only, and each of our connections is
		next.ServeHTTP(w, r)
	})
}

// conformanceToken logs in at a tenant as the tool's client.
func conformanceToken(ctx context.Context, t *testing.T, issuer string) string {
	t.Helper()
	client := oauth2.Config{
		ClientID: conformanceClient, RedirectURL: demo.CallbackURL,
		Endpoint: oauth2.Endpoint{AuthURL: issuer + "/authorize", TokenURL: issuer + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
	verifier := oauth2.GenerateVerifier()
	final, err := demo.NewBrowser(demo.SignIn(demo.Users()[0].Login), nil).
		Visit(ctx, client.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), func(u *url.URL) bool {
			return u.Scheme+"://"+u.Host+u.Path == demo.CallbackURL
		})
	if err != nil {
		t.Fatal(err)
	}
	token, err := client.Exchange(context.WithValue(ctx, oauth2.HTTPClient, direct), final.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

// conformanceOf runs the scenarios that a revision requires of a server, which
// has to pass them, and returns how each check of each scenario ended. The tool
// runs some that are not scored as well, which may fail.
func conformanceOf(ctx context.Context, t *testing.T, server, revision string) map[string][]string {
	t.Helper()
	results := t.TempDir()
	tool := startNode(ctx, t, conformanceTool, "server", "--url", server, "--requirements", revision, "--output-dir", results)
	said, err := io.ReadAll(tool.out)
	if err != nil {
		t.Fatal(err)
	}
	if code := tool.exitCode(); code != 0 {
		t.Errorf("%s of %s: the tool ended with %d:\n%s", revision, server, code, summary(said))
	}
	ended := map[string][]string{} // scenario → check and how it ended
	passed, all := 0, 0
	for scenario, checks := range readScenarios(t, results) {
		for _, c := range checks {
			all++
			if c.Status == "SUCCESS" {
				passed++
			}
			ended[scenario] = append(ended[scenario], c.ID+" "+c.Name+" "+c.Status)
		}
	}
	if len(ended) < 30 {
		t.Errorf("%s of %s: only %d scenarios ran", revision, server, len(ended))
	}
	t.Logf("%s of %s: %d scenarios, %d of %d checks passed", revision, server, len(ended), passed, all)
	return ended
}

// wantSame fails for each scenario that did not end as it did bare.
func wantSame(t *testing.T, bare, behind map[string][]string) {
	t.Helper()
	scenarios := maps.Clone(bare)
	maps.Copy(scenarios, behind)
	for _, scenario := range slices.Sorted(maps.Keys(scenarios)) {
		if want, got := bare[scenario], behind[scenario]; !slices.Equal(want, got) {
			t.Errorf("%s:\n bare   %s\n behind %s", scenario, strings.Join(want, "\n        "), strings.Join(got, "\n        "))
		}
	}
}
