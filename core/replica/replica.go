// Package replica notices when servers that share a store do not share their
// keys. It owns the record replicas/all, in which every running server keeps a
// probe: a text sealed with the key that the server seals with. A server that
// cannot open the probe of another one could not open its grants either, and
// the users of one would be logged out by the other. A record that is gone while
// its servers run tells of a store that lost data.
package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
)

// Key is that of the record. It is not sealed as a whole: replicas with other
// keys have to read it.
const Key = "replicas/all"

const (
	every    = time.Minute      // between two looks at the others
	live     = 3 * time.Minute  // a replica that was not seen for longer has ended
	lifetime = 10 * time.Minute // of the record
	format   = 1
	tries    = 10 // of a write that others raced
)

// record is what is stored.
type record struct {
	Format   int              `json:"format"`
	Replicas map[string]probe `json:"replicas"` // by name
}

// probe is the entry of one replica.
type probe struct {
	Seen  int64  `json:"seen"` // Unix time
	Probe []byte `json:"probe"`
}

// Watch keeps the probe of one replica and looks at those of the others.
type Watch struct {
	Name  string
	Store store.Driver
	Keys  *seal.Keyring
	Log   hclog.Logger
	Now   func() time.Time // nil: time.Now

	strangers []string  // those of the last look
	wrote     time.Time // when this replica wrote the record last
}

func (w *Watch) now() time.Time {
	if w.Now == nil {
		w.Now = time.Now
	}
	return w.Now()
}

// Run keeps the probe until ctx ends, and then removes it.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_, _ = w.change(ctx, func(r *record) { delete(r.Replicas, w.Name) })
			return
		}
	}
}

// look writes the probe and logs an error for each replica whose keys differ,
// once for as long as it runs.
func (w *Watch) look(ctx context.Context) {
	strangers, err := w.Strangers(ctx)
	if err != nil {
		w.Log.Debug("the keys of other replicas cannot be compared", "error", err)
		return
	}
	for _, name := range strangers {
		if !slices.Contains(w.strangers, name) {
			w.Log.Error("another replica on this store seals with a key that this server does not have: users of one are logged out by the other; "+
				"give all replicas the same keys, and a new key first in the second place of every one", "replica", name)
		}
	}
	w.strangers = strangers
}

// Strangers writes the probe of this replica and returns the names of the
// others whose probe it cannot open.
func (w *Watch) Strangers(ctx context.Context) ([]string, error) {
	now, gone := w.now(), false
	r, err := w.change(ctx, func(r *record) {
		gone = len(r.Replicas) == 0 && !w.wrote.IsZero() && now.Sub(w.wrote) < lifetime
		maps.DeleteFunc(r.Replicas, func(_ string, p probe) bool { return now.Sub(time.Unix(p.Seen, 0)) > live })
		r.Replicas[w.Name] = probe{now.Unix(), w.Keys.Seal(purpose(w.Name), []byte(w.Name))}
	})
	if err != nil {
		return nil, err
	}
	w.wrote = now
	if gone {
		w.Log.Error("what this server wrote to the store minutes ago is gone: the store was emptied or restored, evicts keys, or lost writes in a failover; "+
			"users whose logins went with it log in again, and the store's own log may say why", "record", Key)
	}
	var strangers []string
	for _, name := range slices.Sorted(maps.Keys(r.Replicas)) {
		if _, err := w.Keys.Open(purpose(name), r.Replicas[name].Probe); err != nil {
			strangers = append(strangers, name)
		}
	}
	return strangers, nil
}

func purpose(name string) seal.Purpose { return seal.Purpose{Use: "replica", Record: name} }

// change applies f to the record, by compare-and-swap. A record of a newer
// format, or one that cannot be read, is left as it is.
func (w *Watch) change(ctx context.Context, f func(*record)) (record, error) {
	for range tries {
		old, err := w.Store.Get(ctx, Key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return record{}, err
		}
		r := record{Format: format}
		if old != nil {
			if err := json.Unmarshal(old, &r); err != nil {
				return r, fmt.Errorf("replica: the record %s cannot be read: %w", Key, err)
			}
			if r.Format > format {
				return r, fmt.Errorf("replica: the record %s has format %d; this version knows %d", Key, r.Format, format)
			}
		}
		if r.Replicas == nil {
			r.Replicas = map[string]probe{}
		}
		f(&r)
		text, err := json.Marshal(r)
		if err != nil {
			return r, err
		}
		err = w.Store.Swap(ctx, Key, old, text, lifetime)
		if !errors.Is(err, store.ErrConflict) {
			return r, err
		}
	}
	return record{}, store.ErrConflict
}
