package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/memory"
	"github.com/sallyport/sallyport/core/store"
)

// The start check tries several records, each at a key of its own, and leaves
// none behind.
func TestProveTriesSeveralRecords(t *testing.T) {
	t.Parallel()
	d, keys := &memory.Driver{}, map[string]map[string]bool{}
	d.Fail(func(op, key string) error {
		if keys[op] == nil {
			keys[op] = map[string]bool{}
		}
		keys[op][key] = true
		return nil
	})
	if warnings, err := store.Prove(t.Context(), d); err != nil || len(warnings) != 0 || d.Keys("") != 0 {
		t.Errorf("%q, %v, %d records left", warnings, err, d.Keys(""))
	}
	for _, op := range []string{"swap", "get", "take"} {
		if len(keys[op]) < 8 {
			t.Errorf("%s: %d records", op, len(keys[op]))
		}
	}
}

// What only some records meet is found: a node of a cluster answers for its own
// slots.
func TestProveFindsWhatSomeRecordsMeet(t *testing.T) {
	t.Parallel()
	for _, refused := range []string{"swap", "get", "take"} {
		d, n := &memory.Driver{}, 0
		d.Fail(func(op, _ string) error {
			if op != refused {
				return nil
			}
			if n++; n < 5 {
				return nil
			}
			return errors.New("MOVED")
		})
		if _, err := store.Prove(t.Context(), d); err == nil || !strings.Contains(err.Error(), "the store cannot be used: MOVED") {
			t.Errorf("%s: %v", refused, err)
		}
	}
	if _, err := store.Prove(t.Context(), stale{&memory.Driver{}}); err == nil || !strings.Contains(err.Error(), "reads back as another one") {
		t.Errorf("a store that reads what was: %v", err)
	}
}

// stale is a store that does not take changes.
type stale struct{ *memory.Driver }

func (s stale) Swap(ctx context.Context, key string, old, changed []byte, ttl time.Duration) error {
	if old != nil {
		changed = bytes.Clone(old)
	}
	return s.Driver.Swap(ctx, key, old, changed, ttl)
}
