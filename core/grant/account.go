package grant

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// account is the record account/<tenant>/<hash of the account {issuer, id}>:
// which grants a user has. (An id may hold any character; the hash hides nothing
// from whoever can guess one.) Releases before upstream identities kept it at
// the hash of the id alone and know no other place, so this release writes both
// and reads both: see indexes. It is an index and no more. A grant's own record says
// whose it is, so an id too many shows nothing and ends nothing; but none may
// be missing. Therefore a login adds its id before it stores its grant, and
// what happens to the grant later, above all a refresh, leaves the index alone.
type account struct {
	Grants []listed `json:"grants"` // oldest first
	// Partial: ids had to be left out, or an earlier index could not be read.
	Partial bool `json:"partial,omitempty"`
}

// listed is a grant in the index.
type listed struct {
	ID string `json:"id"`
	// Code is when the grant's code ends (Unix time). Before that, its record
	// may be missing because it is not there yet; one that is stored later
	// cannot be redeemed.
	Code int64 `json:"code"`
	// NeedsLogin says that the next login looks at the grant: it may replace it.
	NeedsLogin bool `json:"needs_login,omitempty"`
}

const (
	maxListed = 256
	// accountLife is counted from the last login. It is longer than a config can
	// let a grant live: a tenant's own lifetimes may be made longer after the
	// index was written, and refreshing does not write it again.
	accountLife = 11 * 365 * 24 * time.Hour
)

// Summary is a grant as its user sees it. Nothing in it is secret, and reading
// it needs no token: the credential stays sealed.
type Summary struct {
	ID          string
	State       State
	ClientHash  string
	ClientName  string // chosen by the client
	RedirectURI string
	Scopes      []string
	Created     time.Time
	LastUsed    time.Time // code redeemed or token refreshed
	Expires     time.Time
	LoginReason *LoginReason // not nil where State is NeedsLogin
}

// enroll adds a grant that is about to be stored to its account's indexes, and
// returns the one that says which grants need a login.
func (s *Store) enroll(ctx context.Context, t *tenant.Tenant, of upstream.AccountKey, id string, codeEnds time.Time) (account, error) {
	entry := listed{ID: id, Code: codeEnds.Unix()}
	if _, err := s.enrollAt(ctx, t, of, of.Hash(), entry); err != nil {
		return account{}, err
	}
	return s.enrollAt(ctx, t, of, shortHash(of.ID), entry)
}

// indexes are the places of an account's index: its own, those of identities
// that mean the same upstream, and that of the id alone.
func indexes(t *tenant.Tenant, of upstream.AccountKey) []string {
	return append(accountHashes(t, of), shortHash(of.ID))
}

// accountHashes are the hashes of an account under its own identity and those
// that mean the same upstream.
func accountHashes(t *tenant.Tenant, of upstream.AccountKey) []string {
	hashes := []string{of.Hash()}
	if of.Issuer == t.UpstreamIdentity() {
		for _, same := range t.SameUpstreams() {
			hashes = append(hashes, upstream.AccountKey{Issuer: same, ID: of.ID}.Hash())
		}
	}
	return hashes
}

func (s *Store) enrollAt(ctx context.Context, t *tenant.Tenant, of upstream.AccountKey, at string, entry listed) (account, error) {
	partial := false
	add := func(a *account) (time.Duration, error) {
		if len(a.Grants) >= maxListed {
			if err := s.makeRoom(ctx, t, of, a); err != nil {
				return 0, err
			}
		}
		a.Grants = append(a.Grants, entry)
		a.Partial = a.Partial || partial
		return accountLife, nil
	}
	a, err := s.accounts.Upsert(ctx, t.Name, at, add)
	if !errors.Is(err, store.ErrUnreadable) {
		return a, err
	}
	partial = true // it was sealed with a key that is gone
	if err := s.accounts.Delete(ctx, t.Name, at); err != nil {
		return a, err
	}
	return s.accounts.Upsert(ctx, t.Name, at, add)
}

// makeRoom takes the ids of ended grants out of a full index, and the oldest
// of what remains beyond three quarters: reading all grants at each login of
// somebody who has that many would be too much.
func (s *Store) makeRoom(ctx context.Context, t *tenant.Tenant, of upstream.AccountKey, a *account) error {
	_, ended, err := s.read(ctx, t, of, a.Grants)
	if err != nil {
		return err
	}
	a.drop(ended)
	if extra := len(a.Grants) - maxListed*3/4; extra > 0 {
		a.Grants, a.Partial = a.Grants[extra:], true
	}
	return nil
}

// drop takes ids out and tells whether any was there.
func (a *account) drop(ids []string) bool {
	before := len(a.Grants)
	a.Grants = slices.DeleteFunc(a.Grants, func(g listed) bool { return slices.Contains(ids, g.ID) })
	return len(a.Grants) < before
}

// OfAccount returns the grants of a user at a tenant, newest first, and tidies
// the index. Without whole there may be more than the index knows. An error is
// the store's.
func (s *Store) OfAccount(ctx context.Context, t *tenant.Tenant, of upstream.AccountKey) (grants []Summary, whole bool, err error) {
	whole = true
	for _, at := range indexes(t, of) {
		found, complete, err := s.indexed(ctx, t, of, at)
		if err != nil {
			return nil, false, err
		}
		grants, whole = append(grants, found...), whole && complete
	}
	slices.Reverse(grants) // a login adds to the end of an index
	slices.SortStableFunc(grants, func(a, b Summary) int { return b.Created.Compare(a.Created) })
	seen := map[string]bool{}
	return slices.DeleteFunc(grants, func(g Summary) bool {
		before := seen[g.ID]
		seen[g.ID] = true
		return before
	}), whole, nil
}

// indexed returns the grants of one index, oldest first.
func (s *Store) indexed(ctx context.Context, t *tenant.Tenant, of upstream.AccountKey, at string) (grants []Summary, whole bool, err error) {
	a, err := s.accounts.Get(ctx, t.Name, at)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, true, nil
	case errors.Is(err, store.ErrUnreadable):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	grants, ended, err := s.read(ctx, t, of, a.Grants)
	if err != nil {
		return nil, false, err
	}
	if len(ended) > 0 {
		_, _ = s.accounts.Update(ctx, t.Name, at, func(a *account) (time.Duration, error) { // if it fails, next time
			switch {
			case !a.drop(ended):
				return 0, store.Keep
			case len(a.Grants) == 0 && !a.Partial:
				return 0, store.Delete
			}
			return accountLife, nil
		})
	}
	return grants, !a.Partial, nil
}

// read returns the grants in the index that are there and the ids of those
// that have ended. A grant that cannot be read, because its server key is
// gone, is neither: nobody can use it, unless the key comes back.
func (s *Store) read(ctx context.Context, t *tenant.Tenant, of upstream.AccountKey, index []listed) (grants []Summary, ended []string, err error) {
	before, err := s.before.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	found := make([]*Summary, len(index))
	gone := make([]bool, len(index))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, l := range index {
		g.Go(func() error {
			rec, err := s.records.Get(ctx, t.Name, l.ID)
			switch {
			case errors.Is(err, store.ErrNotFound):
				gone[i] = s.now().Unix() >= l.Code
			case errors.Is(err, store.ErrUnreadable):
			case err != nil:
				return err
			case rec.Account(t) == of && s.ended(t, &rec, before) == nil:
				summary := rec.summary(l.ID)
				summary.Expires = rec.ends(t)
				found[i] = &summary
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i, l := range index {
		if found[i] != nil {
			grants = append(grants, *found[i])
		} else if gone[i] {
			ended = append(ended, l.ID)
		}
	}
	return grants, ended, nil
}

// EndOfAccount ends a grant if it is this user's, and returns what it was. A
// grant of somebody else is refused as Gone, like one that is not there. Its id
// leaves the index when that is read.
func (s *Store) EndOfAccount(ctx context.Context, t *tenant.Tenant, of upstream.AccountKey, id string) (Summary, error) {
	rec, err := s.records.Update(ctx, t.Name, id, func(r *Record) (time.Duration, error) {
		if r.Account(t) != of {
			return 0, refuse(Gone)
		}
		return 0, store.Delete
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrName), errors.Is(err, store.ErrUnreadable):
		return Summary{}, refuse(Gone)
	case err != nil:
		return Summary{}, err
	}
	return rec.summary(id), nil
}

func (r *Record) summary(id string) Summary {
	return Summary{
		ID: id, State: r.State, ClientHash: r.ClientHash, ClientName: r.ClientName, RedirectURI: r.RedirectURI,
		Scopes: r.Scopes, Created: r.Created, LastUsed: r.LastUsed, Expires: r.Expires,
		LoginReason: r.LoginReason,
	}
}
