package core_test

import (
	"go/ast"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// Every row of SPEC.md names code that is there and tests that are.
func TestEveryClauseIsProven(t *testing.T) {
	t.Parallel()
	find := &proof{files: map[string]*ast.File{}}
	rows := 0
	for _, r := range rowsOf(t, "SPEC.md") {
		if r.head[len(r.head)-1] != "test" {
			continue // clients people use
		}
		rows++
		if len(r.cells) != len(r.head) {
			t.Errorf("%s: %d cells, want %v", r.where, len(r.cells), r.head)
			continue
		}
		for _, fault := range find.missing(r) {
			t.Errorf("%s: %s: %s; a test stands behind its file, `core/refuse_test.go`: `TestReusedCodeEndsTheGrant`", r.where, r.cells[0], fault)
		}
		code := r.cells[len(r.cells)-2]
		for _, match := range quoted.FindAllStringSubmatch(code, -1) {
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(match[1]))); err != nil {
				t.Errorf("%s: %s: no code at %s, from the repository's root", r.where, r.cells[0], match[1])
			}
		}
		if !quoted.MatchString(code) {
			t.Errorf("%s: %s names no code", r.where, r.cells[0])
		}
	}
	if rows < 100 {
		t.Errorf("%d rows", rows)
	}
}

// Clients of the first revision with authorization look at the origin of the
// MCP server, for the document and without it (MCP 2025-03-26, Authorization
// Base URL, Fallbacks). A tenant with a host of its own is all there; at an origin
// of several tenants nothing is, and says so.
func TestTenantWithAHostIsAtTheOrigin(t *testing.T) {
	t.Parallel()
	s := coretest.New(t, func(_ *core.Config, tenants []*tenant.Tenant, _ *upstreamtest.Fake) {
		own := tenants[1]
		own.Issuer = strings.Replace(strings.TrimSuffix(own.Issuer, "/octo"), "127.0.0.1", "octo.localhost", 1)
	})
	octo := s.At("octo")
	for _, document := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		if m := s.Get(t, nil, octo+document).JSON(t); m["issuer"] != octo || m["authorization_endpoint"] != octo+"/authorize" || m["token_endpoint"] != octo+"/token" || m["registration_endpoint"] != octo+"/register" {
			t.Errorf("%s: %v", document, m)
		}
		if a := s.Get(t, nil, document); a.Status != http.StatusNotFound || a.JSON(t)["error"] != "not_found" {
			t.Errorf("%s at an origin of several: %d %s", document, a.Status, a.Body)
		}
	}
	id := s.Register(t, "octo")
	if page := s.Get(t, nil, octo+"/authorize?"+s.AuthorizeQuery("octo", id).Encode()); page.Status != http.StatusOK {
		t.Errorf("/authorize: %d %s", page.Status, page.Body)
	}
	wantError(t, "/token", s.PostForm(t, nil, octo+"/token", nil), 400, "invalid_request")
	if m := s.Get(t, nil, octo+"/.well-known/oauth-protected-resource/mcp").JSON(t); m["resource"] != octo+"/mcp" {
		t.Errorf("the resource: %v", m)
	}
	for _, path := range []string{"/authorize", "/token", "/register"} {
		if a := s.Get(t, nil, path); a.Status != http.StatusNotFound || a.Header.Get("Location") != "" {
			t.Errorf("%s at an origin of several: %d", path, a.Status)
		}
	}
}
