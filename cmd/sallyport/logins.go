package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// loginTime bounds warnLogins, which begins loginsAtOnce logins at a time.
const (
	loginTime    = 10 * time.Second
	loginsAtOnce = 8
)

// warnLogins begins a login at each tenant's upstream, as far as the URL that a
// browser would be sent to, and returns a line for each that fails: a provider
// that reads a discovery document learns only then that an issuer is wrong. They
// are warnings, because the upstream may be down or out of this machine's reach.
func warnLogins(ctx context.Context, tenants *tenant.Set) []string {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	names := tenants.Names()
	warnings := make([]string, len(names))
	var mu sync.Mutex
	var late []string
	var g errgroup.Group
	g.SetLimit(loginsAtOnce)
	for i, name := range names {
		g.Go(func() error {
			err := tryLogin(ctx, tenants.Get(name))
			switch {
			case err == nil:
			case ctx.Err() != nil:
				mu.Lock()
				defer mu.Unlock()
				late = append(late, name)
			default:
				warnings[i] = fmt.Sprintf("tenants/%s: a login would fail now: %v", name, err)
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	said := slices.DeleteFunc(warnings, func(w string) bool { return w == "" })
	slices.Sort(late)
	if len(late) > 0 {
		said = append(said, fmt.Sprintf("no login could be begun within %s at %s: the upstream does not answer, or there are too many tenants to try", loginTime, some(late)))
	}
	return said
}

func tryLogin(ctx context.Context, t *tenant.Tenant) error {
	req := upstream.AuthorizeRequest{State: "check", Scopes: t.UpstreamScopes(t.Scopes)}
	if t.Provider.Describe().PKCE {
		req.CodeChallenge = string(oauth.ChallengeOf(strings.Repeat("check", 10)))
	}
	_, err := t.Provider.Authorize(ctx, req)
	if e, ok := errors.AsType[*upstream.Error](err); ok {
		return errors.New(e.Why())
	}
	return err
}
