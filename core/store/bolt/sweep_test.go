package bolt

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// BenchmarkSweep measures a sweep of values that expired all at once, and how
// long a change waits before and during it.
func BenchmarkSweep(b *testing.B) {
	const n = 20_000
	value := bytes.Repeat([]byte{0xa5}, 1200) // a grant's size
	for b.Loop() {
		b.StopTimer()
		c := newClock()
		d := mustOpen(b, newPath(b), c)
		var fill errgroup.Group
		for caller := range maxBatch {
			fill.Go(func() error {
				for i := caller; i < n; i += maxBatch {
					// Random ids, as grants have.
					if err := d.Swap(b.Context(), fmt.Sprintf("grant/music/%016x", uint64(i)*0x9e3779b97f4a7c15), nil, value, time.Hour); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := fill.Wait(); err != nil {
			b.Fatal(err)
		}
		idle := changesUntil(b, d, "before", func(changes int) bool { return changes == 200 })
		c.advance(2 * time.Hour)
		swept := make(chan struct{})
		var sweep errgroup.Group
		b.StartTimer()
		sweep.Go(func() error {
			defer close(swept)
			for n := sweepBatch; n == sweepBatch; {
				var err error
				if n, err = d.sweepOnce(sweepBatch); err != nil {
					return err
				}
			}
			return nil
		})
		busy := changesUntil(b, d, "during", func(int) bool {
			select {
			case <-swept:
				return true
			default:
				return false
			}
		})
		if err := sweep.Wait(); err != nil {
			b.Fatal(err)
		}
		for unit, waits := range map[string][]time.Duration{"before": idle, "during": busy} {
			slices.Sort(waits)
			b.ReportMetric(waits[len(waits)/2].Seconds()*1000, "p50-ms-"+unit)
			b.ReportMetric(waits[len(waits)*99/100].Seconds()*1000, "p99-ms-"+unit)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)*1e6/n, "µs/value")
}

// changesUntil makes one change after the other and returns how long each took.
func changesUntil(b *testing.B, d *Driver, name string, enough func(changes int) bool) (waits []time.Duration) {
	b.Helper()
	for !enough(len(waits)) || len(waits) == 0 {
		began := time.Now()
		swap(b, d, fmt.Sprint(name, len(waits)), nil, "v", time.Hour)
		waits = append(waits, time.Since(began))
	}
	return waits
}
