package grant

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/sallyport/sallyport/core/oauth"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// Store keeps the grants of all tenants.
type Store struct {
	records  *store.Collection[Record]
	accounts *store.Collection[account]
	periods  *store.Collection[upstreamPeriods]
	before   notBeforeCache
	keys     *seal.Keyring
	now      func() time.Time

	otherUpstream func(t *tenant.Tenant, owner upstream.Identity) // nil: not called
	watch         func(tenantName, id string)                     // nil: see Watch
}

// NewStore returns a Store over driver. A nil now means time.Now. It remembers
// nothing, see Remember, but tells those who do which grants end.
func NewStore(driver store.Driver, keys *seal.Keyring, now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{
		records:  store.NewCollection[Record](driver, keys, "grant").Remember(0, now),
		accounts: store.NewCollection[account](driver, keys, "account"),
		periods:  store.NewCollection[upstreamPeriods](driver, keys, "upstream"),
		before:   notBeforeCache{records: store.NewCollection[notBefore](driver, keys, notBeforeKind).Remember(0, now), now: now},
		keys:     keys, now: now,
	}
}

// New is what a finished login knows.
type New struct {
	ClientID    string
	ClientName  string
	RedirectURI string
	Challenge   oauth.CodeChallenge
	Resource    string
	Scopes      []string
	Credential  *upstream.Credential
}

// Create stores a pending grant and returns its code.
func (s *Store) Create(ctx context.Context, t *tenant.Tenant, n New) (code string, err error) {
	var tok token
	rand.Read(tok.grant[:])
	tok.grant[0] &^= 0x80 // its id begins with a letter, and no command takes it for a flag
	rand.Read(tok.secret[:])
	now := s.stamp()
	tok.expires = now.Add(t.Lifetimes.Code)
	cred, err := s.sealCredential(t.Name, tok.id(), tok.grantSecret(), n.Credential)
	if err != nil {
		return "", err
	}
	// In this order: a crash in between leaves an id without a grant in the
	// index, and never a grant that its user cannot see.
	index, err := s.enroll(ctx, t, t.Account(n.Credential.Account.ID), tok.id(), tok.expires)
	if err != nil {
		return "", err
	}
	err = s.records.Create(ctx, t.Name, tok.id(), Record{
		State: Pending, Created: now, LastUsed: now, Renewed: now, Expires: tok.expires,
		ClientHash: HashClient(n.ClientID), ClientName: n.ClientName,
		RedirectURI: n.RedirectURI, Challenge: n.Challenge, Resource: n.Resource, Scopes: n.Scopes,
		Subject: n.Credential.Account.ID, AccountName: n.Credential.Account.Name, Mark: t.Mark(),
		Credential: cred,
	}, t.Lifetimes.Code)
	if err != nil {
		return "", err
	}
	s.supersede(ctx, t, index, t.Account(n.Credential.Account.ID), HashClient(n.ClientID))
	return s.mint(Code, t.Name, tok), nil
}

// Presented is what a token request shows beside the token. The client is
// authenticated by then.
type Presented struct {
	ClientID    string
	RedirectURI string   // code only
	Verifier    string   // code only
	Resources   []string // RFC 8707, may be empty
	Scopes      []string // refresh only, may be empty
	Network     string   // refresh only: that of the request, see Repeats
}

// Tokens is what the token endpoint answers.
type Tokens struct {
	Access    string
	Refresh   string
	ExpiresIn time.Duration // of Access
	Grant     *Live
	// Repeated says how a refresh repeated one of before; nil: it did not.
	Repeated *Repeats
}

// Redeem turns a code into tokens: pending → active, one winner. A code that
// comes a second time from its client with the right verifier ends the grant
// (RFC 9700 §2.1.1, OAuth 2.1 §4.1.3): either the first or the second bearer
// stole it. Without the verifier, or later than codeProof, it ends nothing: codes
// stay in logs and histories, and whoever finds one could log the user out.
func (s *Store) Redeem(ctx context.Context, t *tenant.Tenant, code string, p Presented) (*Tokens, error) {
	tok, err := s.open(Code, t.Name, code)
	if err != nil && ReasonOf(err) != Expired { // an expired code may still be a replayed one
		return nil, err
	}
	expired := err
	before, err := s.before.get(ctx)
	if err != nil {
		return nil, err
	}
	replay := false
	rec, err := s.update(ctx, t, tok, func(r *Record) (time.Duration, error) {
		replay = false
		if r.ClientHash != HashClient(p.ClientID) {
			return 0, refuse(WrongClient) // a stranger's request ends nobody's grant
		}
		if err := s.claim(t, r); err != nil {
			return 0, err
		}
		if r.State != Pending {
			if !s.provesReplay(r, p) {
				return 0, refuse(CodeUsed)
			}
			replay = true
			return 0, store.Delete
		}
		if expired != nil {
			return 0, expired
		}
		if err := s.ended(t, r, before); err != nil {
			return 0, err
		}
		if err := r.checkCode(p); err != nil {
			return 0, err
		}
		r.CodeProof = shortProof(r.Challenge)
		r.State, r.Generation, r.Challenge = Active, 1, ""
		s.reseal(t.Name, tok, r)
		return s.extend(r, t), nil
	})
	if err != nil {
		return nil, err
	}
	if replay {
		return nil, refuse(CodeReuse)
	}
	return s.issue(t, tok, rec), nil
}

// Refresh rotates the refresh token. The one just rotated away is answered
// with the current pair again for the tenant's reuse window: clients really do
// refresh twice, lose answers and race themselves. Anything older is theft and
// ends the grant (RFC 9700 §4.14.2).
func (s *Store) Refresh(ctx context.Context, t *tenant.Tenant, refreshToken string, p Presented) (*Tokens, error) {
	tok, err := s.open(Refresh, t.Name, refreshToken)
	if err != nil {
		return nil, err
	}
	before, err := s.before.get(ctx)
	if err != nil {
		return nil, err
	}
	reuse := false
	var repeated *Repeats
	rec, err := s.update(ctx, t, tok, func(r *Record) (time.Duration, error) {
		reuse, repeated = false, nil
		switch {
		case r.ClientHash != HashClient(p.ClientID):
			return 0, refuse(WrongClient)
		case r.State == NeedsLogin:
			return 0, refuse(LoginRequired)
		case r.State != Active:
			return 0, refuse(NotActive)
		}
		if err := s.ended(t, r, before); err != nil {
			return 0, err
		}
		if err := s.claim(t, r); err != nil {
			return 0, err
		}
		if err := r.checkResource(p.Resources); err != nil {
			return 0, err
		}
		if err := r.checkScopes(p.Scopes); err != nil {
			return 0, err
		}
		switch {
		case tok.generation == r.Generation:
			s.rotate(r, p.Network)
			s.reseal(t.Name, tok, r)
			return s.extend(r, t), nil
		case tok.generation+1 == r.Generation && s.stamp().Sub(r.Rotated) <= t.Lifetimes.ReuseWindow:
			if reuse = r.repeat(p.Network); reuse {
				return 0, store.Delete
			}
			repeated = r.Repeats
			return r.ends(t).Sub(s.now()), nil
		case tok.generation < r.Generation:
			reuse = true
			return 0, store.Delete
		default: // newer than the record: a store that was set back
			return 0, refuse(Gone)
		}
	})
	if err != nil {
		return nil, err
	}
	if reuse {
		return nil, refuse(RefreshReuse)
	}
	tokens := s.issue(t, tok, rec)
	tokens.Repeated = repeated
	return tokens, nil
}

// update changes the record of a token; a record that is not there is a
// refusal.
func (s *Store) update(ctx context.Context, t *tenant.Tenant, tok token, f func(*Record) (time.Duration, error)) (Record, error) {
	rec, err := s.records.Update(ctx, t.Name, tok.id(), f)
	if errors.Is(err, store.ErrNotFound) {
		return rec, refuse(Gone)
	}
	return rec, err
}

// stamp is the time as records hold it, to the second like that of a token:
// fractions and zones were a tenth of the bytes beside the upstream's tokens.
func (s *Store) stamp() time.Time { return s.now().UTC().Truncate(time.Second) }

// over tells whether the grant has come to its end.
func (s *Store) over(r *Record, t *tenant.Tenant) bool { return !s.now().Before(r.ends(t)) }

// extend moves the grant's end, which its absolute lifetime bounds, and returns
// its time to live from now.
func (s *Store) extend(r *Record, t *tenant.Tenant) time.Duration {
	r.LastUsed = s.stamp()
	r.Expires = r.LastUsed.Add(t.Lifetimes.Refresh)
	r.Expires = r.ends(t)
	return r.Expires.Sub(r.LastUsed)
}

// issue mints the pair that belongs to the record's generation.
func (s *Store) issue(t *tenant.Tenant, tok token, rec Record) *Tokens {
	tok.generation = rec.Generation
	access, refresh := tok, tok
	refresh.expires = rec.ends(t)
	access.expires = s.now().Add(t.Lifetimes.Access)
	if access.expires.After(refresh.expires) {
		access.expires = refresh.expires
	}
	return &Tokens{
		Access:    s.mint(Access, t.Name, access),
		Refresh:   s.mint(Refresh, t.Name, refresh),
		ExpiresIn: access.expires.Sub(s.now()).Truncate(time.Second),
		Grant:     &Live{ID: tok.id(), Record: rec, secret: tok.grantSecret()},
	}
}
