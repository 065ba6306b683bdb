package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/core/store"
)

// The suite keeps rounds and racers low enough for a disk that syncs in
// milliseconds. A race lost once in a hundred rounds is found by running it
// more than once.
const (
	rounds = 10
	racers = 8
)

var contention = []test{
	{"no update of a counter is lost", countersCount},
	{"one creator wins", oneCreator},
	{"one taker wins", oneTaker},
	{"one deleter wins", oneDeleter},
	{"delete or update wins", deleteOrUpdate},
	{"take and update agree on who was first", takeAndUpdate},
}

func countersCount(t *testing.T, e Engine) {
	d := e.Open(t)
	keys := []string{"counter/a", "counter/b"}
	for _, k := range keys {
		put(t, d, k, nil, []byte("0"))
	}
	const increments = 25
	each(racers, func(worker int) {
		for range increments {
			if err := increment(t, d, keys[worker%len(keys)]); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for _, k := range keys {
		holds(t, d, k, []byte(strconv.Itoa(racers/len(keys)*increments)))
	}
}

func increment(t *testing.T, d store.Driver, key string) error {
	for {
		old, err := d.Get(t.Context(), key)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(old))
		if err != nil {
			return err
		}
		err = d.Swap(t.Context(), key, old, []byte(strconv.Itoa(n+1)), long)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// oneCreator races creations with values of their own and with equal ones.
func oneCreator(t *testing.T, e Engine) {
	d := e.Open(t)
	for round := range rounds {
		key := fmt.Sprint("k", round)
		value := func(worker int) []byte {
			if round%2 == 0 {
				return []byte("same")
			}
			return fmt.Append(nil, worker)
		}
		won := winners(t, store.ErrConflict, func(worker int) error {
			return d.Swap(t.Context(), key, nil, value(worker), long)
		})
		if len(won) != 1 {
			t.Fatalf("creators %v won; want one", won)
		}
		holds(t, d, key, value(won[0]))
	}
}

func oneTaker(t *testing.T, e Engine) {
	d := e.Open(t)
	for range rounds {
		put(t, d, "k", nil, []byte("v"))
		won := winners(t, store.ErrNotFound, func(int) error {
			got, err := d.Take(t.Context(), "k")
			if err == nil && string(got) != "v" {
				return fmt.Errorf("took %q", got)
			}
			return err
		})
		if len(won) != 1 {
			t.Fatalf("takers %v won; want one", won)
		}
		absent(t, d, "k")
	}
}

func oneDeleter(t *testing.T, e Engine) {
	d := e.Open(t)
	for range rounds {
		put(t, d, "k", nil, []byte("v"))
		won := winners(t, store.ErrConflict, func(int) error {
			return d.Swap(t.Context(), "k", []byte("v"), nil, 0)
		})
		if len(won) != 1 {
			t.Fatalf("deleters %v won; want one", won)
		}
		absent(t, d, "k")
	}
}

// deleteOrUpdate is a revocation during a refresh: even workers delete, odd
// ones update.
func deleteOrUpdate(t *testing.T, e Engine) {
	d := e.Open(t)
	for round := range rounds {
		key := fmt.Sprint("k", round)
		put(t, d, key, nil, []byte("old"))
		won := winners(t, store.ErrConflict, func(worker int) error {
			if worker%2 == 0 {
				return d.Swap(t.Context(), key, []byte("old"), nil, 0)
			}
			return d.Swap(t.Context(), key, []byte("old"), fmt.Append(nil, worker), long)
		})
		switch {
		case len(won) != 1:
			t.Fatalf("%v won; want one", won)
		case won[0]%2 == 0:
			absent(t, d, key)
		default:
			holds(t, d, key, fmt.Append(nil, won[0]))
		}
	}
}

// takeAndUpdate races one Take with one Swap. The taker always gets a value;
// it is the new one exactly if the update was first and hence succeeded.
func takeAndUpdate(t *testing.T, e Engine) {
	d := e.Open(t)
	for range rounds {
		put(t, d, "k", nil, []byte("old"))
		var taken []byte
		won := winners(t, store.ErrConflict, func(worker int) (err error) {
			switch worker {
			case 0:
				taken, err = d.Take(t.Context(), "k")
				return err
			case 1:
				return d.Swap(t.Context(), "k", []byte("old"), []byte("new"), long)
			default:
				return store.ErrConflict
			}
		})
		switch fmt.Sprint(won, " ", string(taken)) {
		case "[0 1] new", "[0] old":
		default:
			t.Fatalf("workers %v won and the taker got %q", won, taken)
		}
		absent(t, d, "k")
	}
}

// winners lets racers run f at the same time and returns those whom it gave no
// error, in order. All others have to get the error that losing means.
func winners(t *testing.T, lost error, f func(worker int) error) []int {
	t.Helper()
	var errs [racers]error
	each(racers, func(worker int) { errs[worker] = f(worker) })
	var won []int
	for worker, err := range errs {
		if err == nil {
			won = append(won, worker)
			continue
		}
		is(t, fmt.Sprintf("worker %d", worker), err, lost)
	}
	return won
}

// each runs f in n goroutines that start together, and waits for them.
func each(n int, f func(worker int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for worker := range n {
		wg.Go(func() {
			<-start
			f(worker)
		})
	}
	close(start)
	wg.Wait()
}
