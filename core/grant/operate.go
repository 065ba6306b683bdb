package grant

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// What is in this file looks at all the grants of a tenant: it is for operators'
// commands, never on a request's path. The credentials stay sealed, so nothing
// here can tell the upstream that a grant has ended.

// Entry is a grant as an operator sees it. Nothing in it is secret.
type Entry struct {
	Summary

	Subject     string // the account's stable id at the upstream
	AccountName string
	Upstream    upstream.Identity // the app that the user granted access to; zero: a release without identities wrote it
	// Refused is why the grant's tokens are refused although its record is
	// there, and empty where they are not: NotBefore, Gone (its time is over) or
	// OtherUpstream. The record of a grant that has ended goes when its time to
	// live is over.
	Refused Reason
}

func (r *Record) entry(id string) Entry {
	return Entry{Summary: r.summary(id), Subject: r.Subject, AccountName: r.AccountName, Upstream: r.Upstream}
}

// scanners is how many grants are read at a time.
const scanners = 8

// Each calls f with every grant of a tenant, in no order and one after the
// other, until f returns an error, which Each returns. It returns how many
// grants it could not read, because their server key is gone: no client can use
// them, unless the key comes back.
func (s *Store) Each(ctx context.Context, t *tenant.Tenant, f func(Entry) error) (unreadable int, err error) {
	before, err := s.before.get(ctx)
	if err != nil {
		return 0, err
	}
	return s.each(ctx, t.Name, func(id string, r *Record) error {
		e := r.entry(id)
		e.Expires, e.Refused = r.ends(t), ReasonOf(s.ended(t, r, before))
		// A tenant that is down, or opened without its provider, has no upstream to
		// compare with.
		if _, ours := t.Owner(r.Mark, r.Created); e.Refused == "" && !ours && t.Down == "" && t.UpstreamIdentity() != "" {
			e.Refused = OtherUpstream
		}
		return f(e)
	})
}

// Unreadable counts the grants of a tenant that no server key opens.
func (s *Store) Unreadable(ctx context.Context, tenantName string) (int, error) {
	return s.each(ctx, tenantName, func(string, *Record) error { return nil })
}

func (s *Store) each(ctx context.Context, tenantName string, f func(id string, r *Record) error) (unreadable int, err error) {
	var one sync.Mutex
	enough := false
	err = s.scan(ctx, tenantName, func(ctx context.Context, id string) error {
		rec, err := s.records.Get(ctx, tenantName, id)
		one.Lock()
		defer one.Unlock()
		switch {
		case errors.Is(err, store.ErrNotFound), enough: // ended since, or unwanted
			return nil
		case errors.Is(err, store.ErrUnreadable):
			unreadable++
			return nil
		case err != nil:
			return err
		}
		err = f(id, &rec)
		enough = err != nil
		return err
	})
	return unreadable, err
}

// Delete ends a grant and returns what it was, or a Refusal with Gone if there is
// none of that id. One that cannot be read is not there.
func (s *Store) Delete(ctx context.Context, tenantName, id string) (Entry, error) {
	rec, err := s.records.Update(ctx, tenantName, id, func(*Record) (time.Duration, error) { return 0, store.Delete })
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrName), errors.Is(err, store.ErrUnreadable):
		return Entry{}, refuse(Gone)
	case err != nil:
		return Entry{}, err
	}
	return rec.entry(id), nil
}

// DeleteClient ends every grant of one client at a tenant and returns them. A
// grant that cannot be read is left.
func (s *Store) DeleteClient(ctx context.Context, tenantName, clientID string) ([]Entry, error) {
	return s.DeleteClientHash(ctx, tenantName, HashClient(clientID))
}

// DeleteClientHash is DeleteClient for a client of which the hash of its id is
// known.
func (s *Store) DeleteClientHash(ctx context.Context, tenantName, hash string) ([]Entry, error) {
	return s.endAll(ctx, tenantName, func(r *Record) bool { return r.ClientHash == hash })
}

// DeleteAccount ends every grant of one account at a tenant and returns them.
// Unlike OfAccount it misses none, however many there are. A grant that cannot
// be read is left.
func (s *Store) DeleteAccount(ctx context.Context, tenantName, subject string) ([]Entry, error) {
	return s.endAll(ctx, tenantName, func(r *Record) bool { return r.Subject == subject })
}

// DeleteAll ends every grant of a tenant and returns how many there were.
func (s *Store) DeleteAll(ctx context.Context, tenantName string) (n int, err error) {
	err = s.records.IDs(ctx, tenantName, func(id string) error {
		n++
		return s.records.Delete(ctx, tenantName, id)
	})
	return n, err
}

// endAll ends the grants that match picks. After an error it returns those that
// have ended until then.
func (s *Store) endAll(ctx context.Context, tenantName string, match func(*Record) bool) (ended []Entry, err error) {
	var one sync.Mutex
	err = s.scan(ctx, tenantName, func(ctx context.Context, id string) error {
		matched := false
		rec, err := s.records.Update(ctx, tenantName, id, func(r *Record) (time.Duration, error) {
			if matched = match(r); !matched {
				return 0, store.Keep
			}
			return 0, store.Delete
		})
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnreadable):
			return nil
		case err != nil:
			return err
		case matched:
			one.Lock()
			defer one.Unlock()
			ended = append(ended, rec.entry(id))
		}
		return nil
	})
	return ended, err
}

// scan calls f with the ids of a tenant's grants, several at a time.
func (s *Store) scan(ctx context.Context, tenantName string, f func(ctx context.Context, id string) error) error {
	g, below := errgroup.WithContext(ctx)
	g.SetLimit(scanners)
	err := s.records.IDs(below, tenantName, func(id string) error {
		if err := below.Err(); err != nil {
			return err
		}
		g.Go(func() error { return f(below, id) })
		return nil
	})
	if failed := g.Wait(); failed != nil {
		return failed // and not that the scan was given up for it
	}
	return err
}
