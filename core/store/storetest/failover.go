package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// How much Failover does: enough keys to have some on every node of a cluster,
// and enough acknowledged changes to each, before and after the disturbance.
const (
	failoverKeys  = 12
	changesPerKey = 20
)

// Failover races changes of a few keys while disturb takes away the server that
// holds some or all of them, and checks what everybody was told against what is
// there in the end:
//
//   - whatever was acknowledged is there, or it was asked for before disturb
//     returned: an engine that replicates asynchronously may lose that, and the
//     number of such changes is logged;
//   - of the changes of one value, one was acknowledged, that which is there;
//   - who was told ErrConflict changed nothing.
//
// Every value is written once, so what is there in the end has one history. The
// store has to serve again, by itself, within patience.
//
// It returns how many acknowledged changes were lost.
func Failover(t *testing.T, d store.Driver, disturb func()) (lost int) {
	t.Helper()
	h := &history{changes: map[string]*change{}, acknowledged: map[string]int{}}
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for worker := range racers {
		workers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					key := fmt.Sprint("k", rand.IntN(failoverKeys))
					h.change(t, d, key, fmt.Sprintf("%s %d/%d", key, worker, n))
				}
			}
		})
	}
	h.await(t, changesPerKey)
	began := time.Now()
	disturb()
	h.disturbed()
	h.await(t, changesPerKey)
	took := time.Since(began)
	close(stop)
	workers.Wait()
	lost = h.check(t, d)
	t.Logf("%d changes acknowledged, of them %d lost; %d failed; every key changed %d times again %v after the disturbance",
		h.count(acknowledged), lost, h.count(unknown), changesPerKey, took.Round(time.Millisecond))
	return lost
}

// change is one call of Swap and what it answered.
type change struct {
	key, old, new string // old is "" for a creation
	after         bool   // it was asked for after the disturbance
	answer        answer
}

type answer int

const (
	unknown answer = iota // an error that leaves open what happened
	acknowledged
	refused // ErrConflict: it did not happen
)

type history struct {
	mu           sync.Mutex
	after        bool
	changes      map[string]*change // by the new value
	acknowledged map[string]int     // changes of each key, since the start or the disturbance
}

// change reads a key and swaps what it holds for a value.
func (h *history) change(t *testing.T, d store.Driver, key, value string) {
	old, err := d.Get(t.Context(), key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		time.Sleep(time.Millisecond) // a server that is away refuses quickly
		return
	}
	c := &change{key: key, old: string(old), new: value}
	h.mu.Lock()
	c.after = h.after
	h.changes[value] = c
	h.mu.Unlock()
	err = d.Swap(t.Context(), key, old, []byte(value), long)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		c.answer = acknowledged
		if c.after == h.after {
			h.acknowledged[key]++
		}
	case errors.Is(err, store.ErrConflict):
		c.answer = refused
	case errors.Is(err, store.ErrNotFound):
		t.Errorf("Swap: %v", err)
	}
}

func (h *history) disturbed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.after = true
	clear(h.acknowledged)
}

// await waits until every key was changed n times.
func (h *history) await(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(3 * patience); ; time.Sleep(5 * time.Millisecond) {
		h.mu.Lock()
		done := len(h.acknowledged) == failoverKeys
		for _, have := range h.acknowledged {
			done = done && have >= n
		}
		h.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("changes acknowledged by key: %v; want %d of each", h.acknowledged, n)
		}
	}
}

func (h *history) count(a answer) (n int) {
	for _, c := range h.changes {
		if c.answer == a {
			n++
		}
	}
	return n
}

// check follows the history of each key back from what it holds now, and
// returns how many acknowledged changes are not in it.
func (h *history) check(t *testing.T, d store.Driver) (lost int) {
	t.Helper()
	happened := map[string]bool{}
	for n := range failoverKeys {
		key := fmt.Sprint("k", n)
		held, err := d.Get(t.Context(), key)
		if err != nil {
			t.Errorf("Get: %v", err)
			continue
		}
		for value := string(held); value != ""; value = h.changes[value].old {
			c := h.changes[value]
			if c == nil || c.key != key || happened[value] {
				t.Fatalf("%s held %q, which nobody wrote there", key, value)
			}
			happened[value] = true
			if c.answer == refused {
				t.Errorf("%s: the change from %q to %q was refused, and happened", key, c.old, c.new)
			}
		}
	}
	var gone []string
	for value, c := range h.changes {
		if c.answer != acknowledged || happened[value] {
			continue
		}
		lost++
		if c.after {
			gone = append(gone, value)
		}
	}
	if slices.Sort(gone); len(gone) > 0 {
		t.Errorf("%d changes were acknowledged after the disturbance, and are not there: %s", len(gone), strings.Join(gone, ", "))
	}
	return lost
}
