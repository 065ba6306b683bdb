package grant

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// LoginReason says why a grant needs a new login.
type LoginReason struct {
	Kind   upstream.Kind `json:"kind"`
	Detail string        `json:"detail,omitempty"` // for operators, at most maxDetail bytes
	Since  time.Time     `json:"since"`
}

// maxDetail bounds what a record holds of an upstream's words, in bytes.
const maxDetail = 300

// RequireLogin puts the grant into the state NeedsLogin: the holder of the
// lease found that the upstream refuses to renew the credential. Without the
// lease it fails with ErrLeaseLost: another holder may have renewed the
// credential.
func (s *Store) RequireLogin(ctx context.Context, t *tenant.Tenant, l *Live, holder string, kind upstream.Kind, detail string) error {
	stopped, err := s.change(ctx, t, l, held(holder, func(r *Record) error {
		r.State, r.Lease, r.Journal, r.Setback = NeedsLogin, nil, nil, nil
		r.LoginReason = &LoginReason{Kind: kind, Detail: detail[:min(len(detail), maxDetail)], Since: s.stamp()}
		return nil
	}))
	if err != nil {
		return err
	}
	s.records.Announce(ctx, t.Name, l.ID)
	// A mark that is not stored leaves a record that no token opens and that ends
	// by itself.
	_, _ = s.accounts.Update(ctx, t.Name, shortHash(stopped.Record.Subject), func(a *account) (time.Duration, error) {
		for i := range a.Grants {
			if a.Grants[i].ID == l.ID {
				a.Grants[i].NeedsLogin = true
				return accountLife, nil
			}
		}
		return 0, store.Keep
	})
	return nil
}

// supersede deletes what a login of a client replaces: the account's grants of
// the same client that need one. A failure leaves a record as above, so a login
// does not fail for it.
func (s *Store) supersede(ctx context.Context, t *tenant.Tenant, a account, of upstream.AccountKey, clientHash string) {
	for _, g := range a.Grants {
		if !g.NeedsLogin {
			continue
		}
		_, _ = s.records.Update(ctx, t.Name, g.ID, func(r *Record) (time.Duration, error) {
			if r.State != NeedsLogin || r.Account(t) != of || r.ClientHash != clientHash {
				return 0, store.Keep
			}
			return 0, store.Delete
		})
	}
}
