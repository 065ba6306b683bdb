package gosdk_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/resource"
	"github.com/sallyport/sallyport/core/resource/gosdk"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

func TestBehindTheSDKsMiddleware(t *testing.T) {
	t.Parallel()
	const own = "https://tools.example.com/mcp"
	store := &memory.Driver{}
	s := coretest.New(t, func(c *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		store.Now, c.Store = c.Now, store
		tenants[0].Backend, tenants[0].External = nil, own
		tenants[0].ResourceServers = []tenant.ResourceServer{{ID: "tools", Secret: seal.NewSecret("secret")}}
	})
	client := fetch.New(fetch.Config{PrivateHosts: []string{strings.TrimPrefix(s.URL, "http://")}})
	defer client.Close()
	gate, err := resource.New(resource.Config{
		Issuer: s.URL + "/music", Resource: own, ID: "tools", Secret: seal.NewSecret("secret"), Fetch: client, Now: s.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	protect := auth.RequireBearerToken(gosdk.Verifier(gate), &auth.RequireBearerTokenOptions{ResourceMetadataURL: gate.MetadataURL()})
	h := protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := auth.TokenInfoFromContext(r.Context())
		token, err := gosdk.User(info).UpstreamToken(r.Context())
		if info.UserID != "ada" || !slices.Equal(info.Scopes, []string{"read"}) || err != nil {
			t.Errorf("%+v, %v", info, err)
		}
		_, _ = io.WriteString(w, token.Reveal())
	}))
	call := func(token string) (int, http.Header, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, own, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code, rec.Header(), rec.Body.String()
	}
	first, second := s.Login(t, s.Browser(), "ada"), s.Login(t, s.Browser(), "ada")
	if status, _, body := call(first.Access); status != http.StatusOK || body != "upstream-access-ada-0" {
		t.Errorf("%d %s", status, body)
	}
	if status, header, _ := call("sp_at_x"); status != http.StatusUnauthorized || !strings.Contains(header.Get("WWW-Authenticate"), gate.MetadataURL()) {
		t.Errorf("a bad token: %d %v", status, header)
	}
	s.Advance(time.Minute) // beyond what Sallyport remembers of grants
	store.Fail(func(string, string) error { return errors.New("store-detail") })
	if status, _, body := call(second.Access); status < 500 || strings.Contains(body, "detail") || strings.Contains(body, "127.0.0.1") {
		t.Errorf("the issuer is in trouble: %d %s", status, body)
	}
}

func TestNobodyIsNoUser(t *testing.T) {
	t.Parallel()
	for _, info := range []*auth.TokenInfo{nil, {}, auth.TokenInfoFromContext(context.Background())} {
		if u := gosdk.User(info); u != nil {
			t.Errorf("%+v", u)
		}
	}
}
