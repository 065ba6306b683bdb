package credential

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// ending is an upstream whose revocation the test writes.
type ending struct {
	*provider
	can, refreshes bool
	revoke         func(context.Context, *upstream.Credential) error
}

func (p ending) Describe() upstream.Description {
	return upstream.Description{Name: "fake", CanRevoke: p.can, CanRefresh: p.refreshes}
}

func (p ending) Revoke(ctx context.Context, c *upstream.Credential) error { return p.revoke(ctx, c) }

func TestRevokeWaitsForTheUpstreamForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Hour)
		w.tenant.Provider = ending{provider: w.provider, can: true, revoke: func(ctx context.Context, _ *upstream.Credential) error {
			<-ctx.Done()
			return &upstream.Error{Kind: upstream.Unavailable, Err: ctx.Err()}
		}}
		ctx, cancel := context.WithCancel(t.Context())
		l := w.live(t)
		cancel() // the client hung up
		began := time.Now()
		w.keeper().Revoke(ctx, w.tenant, l)
		if took := time.Since(began); took != revokeTime {
			t.Errorf("it took %v, want %v", took, revokeTime)
		}
		if line := w.audited(); strings.Count(line, `"action":"upstream_revoke_failed"`) != 1 || !strings.Contains(line, `"reason":"unavailable: no answer within the time limit"`) {
			t.Errorf("audit: %s", line)
		}
	})
}

func TestRevokeAsksTheUpstreamOnceIfItCan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		can, unreadable bool
		fault           error
		want            string // what was revoked
		audited         string
	}{
		"it can":               {true, false, nil, "old", ""},
		"it cannot":            {false, false, nil, "", ""},
		"it fails":             {true, false, errors.New("r-old at x.go:1"), "old", "unavailable: [secret] at x.go:1"},
		"nothing to revoke":    {true, true, nil, "", "unreadable"},
		"nothing, and no need": {false, true, nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, time.Hour)
				got := ""
				w.tenant.Provider = ending{provider: w.provider, can: c.can, revoke: func(_ context.Context, cred *upstream.Credential) error {
					got += cred.AccessToken.Reveal()
					return c.fault
				}}
				l := w.live(t)
				if c.unreadable {
					l.Credential = nil
				}
				w.keeper().Revoke(t.Context(), w.tenant, l)
				if got != c.want {
					t.Errorf("revoked %q, want %q", got, c.want)
				}
				line := w.audited()
				if (c.audited == "") != (line == "") || !strings.Contains(line, c.audited) || strings.Contains(line, "r-old") {
					t.Errorf("audit: %q, want %q", line, c.audited)
				}
			})
		})
	}
}

func TestCredentialRenewedWhileItsGrantWasRevokedIsRevokedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, -time.Second)
		var revoked []string
		w.tenant.Provider = ending{provider: w.provider, can: true, refreshes: true, revoke: func(_ context.Context, cred *upstream.Credential) error {
			revoked = append(revoked, cred.AccessToken.Reveal())
			return nil
		}}
		l, k := w.live(t), w.keeper()
		slow := w.provider.refresh
		w.provider.refresh = func(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
			ended, err := w.grants.Revoke(ctx, w.tenant, w.access, "c")
			if err != nil {
				t.Error(err)
				return nil, err
			}
			k.Revoke(ctx, w.tenant, ended)
			return slow(ctx, req)
		}
		if got := outcome(k.Fresh(t.Context(), w.tenant, l)); got != "gone" {
			t.Errorf("the renewal: %s", got)
		}
		if got := strings.Join(revoked, " "); got != "old new" {
			t.Errorf("revoked %q, want old and new", got)
		}
	})
}
