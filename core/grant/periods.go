package grant

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream"
)

// upstreamPeriods is the record upstream/<tenant>/identity: which upstream the
// tenant had since when. It says whose a record is that names no upstream,
// because a release without identities wrote it, or a replica of that release
// wrote it again and dropped the member.
type upstreamPeriods struct {
	Periods []tenant.Period `json:"periods"` // oldest first
}

const (
	periodsID  = "identity"
	maxPeriods = 64
	// Bounds of one count of stranded grants.
	countTime = 2 * time.Second
	countMost = 10_000
)

// EnterPeriod notes that the tenant's upstream is in force from now on, if
// another was, and returns all periods, oldest first. The first call for a
// tenant makes its upstream that of every record that names none. accepted says
// that the operator decided on the change.
func (s *Store) EnterPeriod(ctx context.Context, t *tenant.Tenant, accepted bool) ([]tenant.Period, error) {
	now, same := t.Mark(), t.SameUpstreams()
	old := false // sealed with another key than the newest
	switch known, err := s.periods.Anew(ctx, t.Name, periodsID); {
	case errors.Is(err, store.ErrUnreadable): // its key is gone
		if err := s.periods.Delete(ctx, t.Name, periodsID); err != nil {
			return nil, err
		}
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	case err == nil:
		old = s.periods.Old(known)
		all := known.Value.Periods
		if n := len(all); !old && n > 0 && all[n-1].Mark() == now && (all[n-1].Accepted || !accepted) {
			return all, nil // as at most starts: nothing is written
		}
	}
	rec, err := s.periods.Upsert(ctx, t.Name, periodsID, func(p *upstreamPeriods) (time.Duration, error) {
		n := len(p.Periods)
		switch {
		case n == 0:
			p.Periods = []tenant.Period{{Identity: now.Upstream, Former: now.Former, Accepted: true}}
			return accountLife, nil
		case p.Periods[n-1].Identity == now.Upstream:
			last := &p.Periods[n-1]
			if !old && last.Mark() == now && (!accepted || last.Accepted) {
				return 0, store.Keep
			}
			last.Former, last.Accepted = now.Former, last.Accepted || accepted
			return accountLife, nil // sealed anew, too
		}
		last := p.Periods[n-1]
		p.Periods = append(p.Periods, tenant.Period{
			Since: s.stamp(), Identity: now.Upstream, Former: now.Former,
			Accepted: accepted || slices.Contains(same, last.Identity) || last.Former == now.Upstream,
		})
		if len(p.Periods) > maxPeriods {
			p.Periods = slices.Delete(p.Periods, 1, 2) // the first is what records of before are of
		}
		return accountLife, nil
	})
	return rec.Periods, err
}

// Periods returns what EnterPeriod has noted.
func (s *Store) Periods(ctx context.Context, tenantName string) ([]tenant.Period, error) {
	rec, err := s.periods.Get(ctx, tenantName, periodsID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return rec.Periods, err
}

// Stranded is grants of another upstream than a tenant's.
type Stranded struct {
	Count int
	Owner upstream.Identity // of one of them
	All   bool              // Count is all of them, and not "at least"
}

// CountStranded counts a tenant's grants that are of another upstream than the
// tenant's. It reads 10,000 grants and takes 2 s at most.
func (s *Store) CountStranded(ctx context.Context, t *tenant.Tenant) (Stranded, error) {
	bounded, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	errEnough := errors.New("enough")
	var read, count atomic.Int64
	var owner atomic.Value
	err := s.scan(bounded, t.Name, func(ctx context.Context, id string) error {
		if read.Add(1) > countMost {
			return errEnough
		}
		rec, err := s.records.Get(ctx, t.Name, id)
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnreadable):
			return nil
		case err != nil:
			return err
		}
		if from, ours := t.Owner(rec.Mark, rec.Created); !ours && !s.over(&rec, t) {
			count.Add(1)
			owner.Store(from)
		}
		return nil
	})
	found := Stranded{Count: int(count.Load()), All: err == nil}
	found.Owner, _ = owner.Load().(upstream.Identity)
	if errors.Is(err, errEnough) || bounded.Err() != nil && ctx.Err() == nil {
		return found, nil
	}
	return found, err
}
