package main

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// unready is a double of an upstream whose discovery document cannot be read.
type unready struct {
	upstreamtest.Provider
	authorize func(context.Context, upstream.AuthorizeRequest) (string, error)
}

func (p unready) Authorize(ctx context.Context, r upstream.AuthorizeRequest) (string, error) {
	return p.authorize(ctx, r)
}

// TestCheckBeginsALoginAtEachTenant: what only a login would show is shown by
// check, in bounded time.
func TestCheckBeginsALoginAtEachTenant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := upstream.AuthorizeRequest{}
		var tenants []*tenant.Tenant
		for name, authorize := range map[string]func(context.Context, upstream.AuthorizeRequest) (string, error){
			"good": func(_ context.Context, r upstream.AuthorizeRequest) (string, error) {
				asked = r
				return "https://up.example/authorize", nil
			},
			"wrong": func(context.Context, upstream.AuthorizeRequest) (string, error) {
				return "", &upstream.Error{Kind: upstream.Misconfigured, Message: "Not set up.", Detail: "issuer: take the slash away"}
			},
			"silent": func(ctx context.Context, _ upstream.AuthorizeRequest) (string, error) {
				<-ctx.Done()
				return "", &upstream.Error{Kind: upstream.Unavailable, Err: ctx.Err()}
			},
		} {
			tenants = append(tenants, &tenant.Tenant{
				Name: name, Issuer: "https://" + name + ".example", Provider: unready{upstreamtest.Provider{Fake: &upstreamtest.Fake{}}, authorize},
				Backend: &url.URL{Scheme: "http", Host: "b"}, Lifetimes: tenant.DefaultLifetimes(), Scopes: []string{"read"},
			})
		}
		set, err := tenant.NewSet(tenants...)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(warnLogins(t.Context(), set), "\n")
		want := "tenants/wrong: a login would fail now: issuer: take the slash away\n" +
			"no login could be begun within 10s at silent: the upstream does not answer, or there are too many tenants to try"
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if asked.State == "" || asked.CodeChallenge == "" || strings.Join(asked.Scopes, " ") != "read" {
			t.Errorf("asked %+v", asked)
		}
	})
}
