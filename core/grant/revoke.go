package grant

import (
	"context"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
)

// Revoke ends the grant that a code, an access token or a refresh token names,
// and with it all the others (RFC 7009 §2.1 wants that for a refresh token and
// allows it for an access token). A token that a newer one has replaced counts
// until it expires: a client that missed an answer holds no other.
//
// The Live returned is the grant as it was; its Credential is nil if it cannot
// be opened any more, or is of another upstream than the tenant's, which keeps
// nothing from being deleted. Without an error
// the grant is gone. A *Refusal says that nothing was done: WrongClient for
// the token of another client, every other reason for a token that counts for
// nothing already.
func (s *Store) Revoke(ctx context.Context, t *tenant.Tenant, text, clientID string) (*Live, error) {
	tok, err := s.openAny(t.Name, text)
	if err != nil {
		return nil, err
	}
	rec, err := s.update(ctx, t, tok, func(r *Record) (time.Duration, error) {
		if r.ClientHash != HashClient(clientID) {
			return 0, refuse(WrongClient)
		}
		return 0, store.Delete
	})
	if err != nil {
		return nil, err
	}
	if _, ours := t.Owner(rec.Mark, rec.Created); !ours { // its credential is not for the tenant's upstream to see
		return &Live{ID: tok.id(), Record: rec, secret: tok.grantSecret()}, nil
	}
	l, err := s.live(t, tok, rec)
	if err != nil {
		return &Live{ID: tok.id(), Record: rec, secret: tok.grantSecret()}, nil //nolint:nilerr // the grant has ended; an unreadable credential cannot be ended upstream
	}
	return l, nil
}

// openAny opens a token of any use. Its prefix says which.
func (s *Store) openAny(tenantName, text string) (token, error) {
	for _, use := range []Use{Code, Access, Refresh} {
		if tok, err := s.open(use, tenantName, text); ReasonOf(err) != BadToken {
			return tok, err
		}
	}
	return token{}, refuse(BadToken)
}
