package grant

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// DeleteClient ends every grant of one client at a tenant and returns how many
// there were. It looks at all the tenant's grants: for operators' commands,
// never on a request's path. A grant that cannot be read is left: nobody can
// use it either.
func (s *Store) DeleteClient(ctx context.Context, tenantName, clientID string) (n int, err error) {
	hash := HashClient(clientID)
	err = s.records.IDs(ctx, tenantName, func(id string) error {
		deleted := false
		_, err := s.records.Update(ctx, tenantName, id, func(r *Record) (time.Duration, error) {
			deleted = r.ClientHash == hash
			if !deleted {
				return 0, store.Keep
			}
			return 0, store.Delete
		})
		switch {
		case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrUnreadable):
			return nil
		case err != nil:
			return err
		case deleted:
			n++
		}
		return nil
	})
	return n, err
}
