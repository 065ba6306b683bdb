package grant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// Live is a grant together with the secret from a token that names it: the
// only way to its credential. It is shared by those who verified the same
// token: nobody changes anything in it.
type Live struct {
	ID         string
	Record     Record
	Credential *upstream.Credential // nil on Tokens.Grant
	Token      Times                // of the access token that was verified
	secret     seal.Secret
}

// Times are those of one access token.
type Times struct {
	Expires time.Time
	Issued  time.Time // zero: unknown, because the grant was refreshed since
}

// LeasedError says that somebody else is renewing the credential.
type LeasedError struct {
	Lease Lease // as it is now
}

// Error is for the log.
func (e *LeasedError) Error() string { return "grant: the credential is being renewed elsewhere" }

// ErrLeaseLost says that a lease stood still for too long and somebody else took
// over.
var ErrLeaseLost = errors.New("grant: the lease was taken over")

// live opens the credential of a record.
func (s *Store) live(t *tenant.Tenant, tok token, rec Record) (*Live, error) {
	return s.opened(t.Name, &Live{ID: tok.id(), secret: tok.grantSecret()}, rec)
}

// Lease claims the right to renew the credential. It returns the grant as it is
// now, or a *LeasedError while another holder has the lease, unless that lease
// still is dead, which may be nil: one that was watched standing still. What
// the dead one was about without keeping an answer is noted as lost.
func (s *Store) Lease(ctx context.Context, t *tenant.Tenant, l *Live, holder string, dead *Lease) (*Live, error) {
	return s.change(ctx, t, l, func(r *Record) error {
		if r.State == NeedsLogin {
			return refuse(LoginRequired)
		}
		if r.Lease != nil && r.Lease.Holder != holder && (dead == nil || *r.Lease != *dead) {
			return &LeasedError{*r.Lease}
		}
		if r.Lease != nil && r.Journal == nil {
			lost := Setback{Kind: upstream.Unavailable}
			if r.Setback != nil {
				lost = *r.Setback
			}
			if lost.Lost.IsZero() {
				lost.Lost = time.Unix(r.Lease.Since, 0)
			}
			r.Setback = &lost
		}
		r.Lease = &Lease{Holder: holder, Since: s.now().Unix()}
		return nil
	})
}

// Beat shows that the holder of the lease is alive.
func (s *Store) Beat(ctx context.Context, t *tenant.Tenant, l *Live, holder string) error {
	_, err := s.change(ctx, t, l, held(holder, func(r *Record) error {
		r.Lease.Beat++
		return nil
	}))
	return err
}

// KeepJournal stores the answers of a renewal that is under way; none: what was
// kept is dropped.
func (s *Store) KeepJournal(ctx context.Context, t *tenant.Tenant, l *Live, holder string, answers []byte) error {
	_, err := s.change(ctx, t, l, held(holder, func(r *Record) error {
		if r.Journal = nil; len(answers) > 0 {
			r.Journal = s.keys.Seal(envelope("journal", t.Name, l.ID, l.secret), answers)
		}
		return nil
	}))
	return err
}

// Journal returns what KeepJournal stored, or nil.
func (s *Store) Journal(t *tenant.Tenant, l *Live) ([]byte, error) {
	if l.Record.Journal == nil {
		return nil, nil
	}
	return s.keys.Open(envelope("journal", t.Name, l.ID, l.secret), l.Record.Journal)
}

// Renew stores a renewed credential and ends the lease.
func (s *Store) Renew(ctx context.Context, t *tenant.Tenant, l *Live, holder string, cred *upstream.Credential) (*Live, error) {
	sealed, err := s.sealCredential(t.Name, l.ID, l.secret, cred)
	if err != nil {
		return nil, err
	}
	renewed, err := s.change(ctx, t, l, held(holder, func(r *Record) error {
		r.Credential, r.Journal, r.Lease, r.Setback = sealed, nil, nil, nil
		r.Renewed = s.stamp()
		return nil
	}))
	if err == nil {
		// The upstream may have ended the credential of before.
		s.records.Announce(ctx, t.Name, l.ID)
	}
	return renewed, err
}

// Release ends a lease without a new credential. The journal stays for the
// next attempt: what is in it may be the only copy of a rotated token. A nil
// setback leaves the one there is: nothing was attempted.
func (s *Store) Release(ctx context.Context, t *tenant.Tenant, l *Live, holder string, setback *Setback) error {
	_, err := s.change(ctx, t, l, held(holder, func(r *Record) error {
		if r.Lease = nil; setback != nil {
			r.Setback = setback
		}
		return nil
	}))
	return err
}

// held runs f only while holder has the lease.
func held(holder string, f func(*Record) error) func(*Record) error {
	return func(r *Record) error {
		if r.Lease == nil || r.Lease.Holder != holder {
			return ErrLeaseLost
		}
		return f(r)
	}
}

// change updates a grant without moving its end.
func (s *Store) change(ctx context.Context, t *tenant.Tenant, l *Live, f func(*Record) error) (*Live, error) {
	rec, err := s.records.Update(ctx, t.Name, l.ID, func(r *Record) (time.Duration, error) {
		left := r.ends(t).Sub(s.now())
		if left <= 0 {
			return 0, refuse(Gone)
		}
		if err := s.claim(t, r); err != nil {
			return 0, err
		}
		return left, f(r)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(Gone)
	}
	if err != nil {
		return nil, err
	}
	return s.opened(t.Name, l, rec)
}

// opened returns l with rec as its record and the credential in it opened.
func (s *Store) opened(tenantName string, l *Live, rec Record) (*Live, error) {
	plain, err := s.keys.Open(envelope("credential", tenantName, l.ID, l.secret), rec.Credential)
	if err != nil {
		return nil, fmt.Errorf("grant %s: credential: %w", l.ID, err)
	}
	var w credentialJSON
	if err := json.Unmarshal(plain, &w); err != nil {
		return nil, fmt.Errorf("grant %s: credential: %w", l.ID, err)
	}
	return &Live{ID: l.ID, Record: rec, Credential: w.credential(), secret: l.secret}, nil
}

func (s *Store) sealCredential(tenantName, id string, secret seal.Secret, c *upstream.Credential) ([]byte, error) {
	plain, err := json.Marshal(credentialToJSON(c))
	if err != nil {
		return nil, fmt.Errorf("grant %s: credential: %w", id, err)
	}
	return s.keys.Seal(envelope("credential", tenantName, id, secret), plain), nil
}

// reseal brings the second envelope under the newest server key, as every write
// does with the first. Only a token opens it, so this is where a key's last
// grants leave it. What cannot be opened stays as it is: with it the key is gone,
// or comes back.
func (s *Store) reseal(tenantName string, tok token, r *Record) {
	for use, sealed := range map[string]*[]byte{"credential": &r.Credential, "journal": &r.Journal} {
		if len(*sealed) == 0 || s.keys.Newest(*sealed) {
			continue
		}
		purpose := envelope(use, tenantName, tok.id(), tok.grantSecret())
		if plain, err := s.keys.Open(purpose, *sealed); err == nil {
			*sealed = s.keys.Seal(purpose, plain)
		}
	}
}

// envelope is the second envelope: server key and grant secret together.
func envelope(use, tenantName, id string, secret seal.Secret) seal.Purpose {
	return seal.Purpose{Use: use, Tenant: tenantName, Record: id, Secret: secret}
}

// credentialJSON is the credential inside its envelope, the one place where
// its tokens are written out.
type credentialJSON struct {
	AccessToken      string           `json:"at"`
	TokenType        string           `json:"type,omitempty"`
	RefreshToken     string           `json:"rt,omitempty"`
	ExpiresAt        time.Time        `json:"exp,omitzero"`
	RefreshExpiresAt time.Time        `json:"rt_exp,omitzero"`
	Scopes           []string         `json:"scopes,omitempty"`
	Account          upstream.Account `json:"account"`
	Extra            json.RawMessage  `json:"extra,omitempty"`
}

func credentialToJSON(c *upstream.Credential) credentialJSON {
	return credentialJSON{
		AccessToken: c.AccessToken.Reveal(), TokenType: c.TokenType, RefreshToken: c.RefreshToken.Reveal(),
		ExpiresAt: c.ExpiresAt, RefreshExpiresAt: c.RefreshExpiresAt,
		Scopes: c.Scopes, Account: c.Account, Extra: c.Extra,
	}
}

func (w credentialJSON) credential() *upstream.Credential {
	return &upstream.Credential{
		AccessToken: seal.NewSecret(w.AccessToken), TokenType: w.TokenType, RefreshToken: seal.NewSecret(w.RefreshToken),
		ExpiresAt: w.ExpiresAt, RefreshExpiresAt: w.RefreshExpiresAt,
		Scopes: w.Scopes, Account: w.Account, Extra: w.Extra,
	}
}
