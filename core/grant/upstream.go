package grant

import (
	"errors"
	"net/http"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// retryChanged is what a client with a grant of another upstream is told to
// wait at most: an operator undoes a mistake in minutes.
const retryChanged = time.Minute

// errOtherUpstream is no Refusal, so that no client logs in again for it.
var errOtherUpstream = errors.New("grant: of another upstream than its tenant's; the change may be undone")

// Account returns whose grant it is. Every identity that means the tenant's
// upstream is the tenant's own.
func (r *Record) Account(t *tenant.Tenant) upstream.AccountKey {
	owner, _ := t.Owner(r.Mark, r.Created)
	return upstream.AccountKey{Issuer: owner, ID: r.Subject}
}

// OnOtherUpstream makes f be called with each refusal of a grant that is of
// another upstream than its tenant. It is called before the Store is used.
func (s *Store) OnOtherUpstream(f func(t *tenant.Tenant, owner upstream.Identity)) *Store {
	s.otherUpstream = f
	return s
}

// Waits reports whether grants of another upstream are answered 503 at the
// tenant, because the change may be undone.
func (s *Store) Waits(t *tenant.Tenant) bool { return s.now().Before(t.Upstream.WaitUntil) }

// claim refuses a grant of another upstream than the tenant's, and gives one of
// the tenant's the tenant's mark, for the next time that it is stored.
// The record stays: undoing the change makes the grant work again.
func (s *Store) claim(t *tenant.Tenant, r *Record) error {
	owner, ours := t.Owner(r.Mark, r.Created)
	if ours {
		r.Mark = t.Mark()
		return nil
	}
	if s.otherUpstream != nil {
		s.otherUpstream(t, owner)
	}
	if left := t.Upstream.WaitUntil.Sub(s.now()); left > 0 {
		return &oauth.Error{
			Code: oauth.TemporarilyUnavailable, Status: http.StatusServiceUnavailable, RetryAfter: min(left, retryChanged),
			Description: "this server was set up for another upstream service than the one you logged in with; try again shortly",
			Cause:       errOtherUpstream,
		}
	}
	return refuse(OtherUpstream)
}
