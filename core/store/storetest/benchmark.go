package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// grantSize is a grant's, whose upstream tokens are a few hundred bytes.
const grantSize = 1200

// BenchmarkGet measures reading a value of a grant's size.
func BenchmarkGet(b *testing.B, d store.Driver) {
	value := bytes.Repeat([]byte{0xa5}, grantSize)
	if err := d.Swap(b.Context(), "k", nil, value, long); err != nil {
		b.Fatal(err)
	}
	byCallers(b, func(b *testing.B, _ int64, more func() bool) {
		for more() {
			if _, err := d.Get(b.Context(), "k"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkSwap measures replacing such values, each caller its own.
func BenchmarkSwap(b *testing.B, d store.Driver) {
	byCallers(b, func(b *testing.B, caller int64, more func() bool) {
		key := fmt.Sprint("k", caller)
		var old []byte
		for i := byte(0); more(); i++ {
			value := bytes.Repeat([]byte{i}, grantSize)
			if err := d.Swap(b.Context(), key, old, value, long); err != nil {
				b.Error(err)
				return
			}
			old = value
		}
	})
}

// byCallers measures f with one caller and with 64 at once.
func byCallers(b *testing.B, f func(b *testing.B, caller int64, more func() bool)) {
	var callers atomic.Int64
	b.Run("1caller", func(b *testing.B) {
		b.ReportAllocs()
		f(b, callers.Add(1), b.Loop)
	})
	b.Run("64callers", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
		b.RunParallel(func(pb *testing.PB) { f(b, callers.Add(1), pb.Next) })
	})
}

// Million measures a store of a million grants, half of which expire after
// half an hour: filling it, then listing its keys. used tells how many bytes it
// takes.
func Million(b *testing.B, d store.Driver, used func() int64) {
	const n = 1_000_000
	value := bytes.Repeat([]byte{0xa5}, grantSize)
	began := time.Now()
	failed := make(chan error, 256)
	each(256, func(worker int) {
		for i := worker; i < n; i += 256 {
			// Ids are random, so that neighbours are not written together.
			key := fmt.Sprintf("grant/music/%016x", uint64(i)*0x9e3779b97f4a7c15)
			if err := d.Swap(b.Context(), key, nil, value, long/2+long*time.Duration(i%2)); err != nil {
				failed <- err
				return
			}
		}
	})
	close(failed)
	if err := <-failed; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/fill")
	b.ReportMetric(float64(used())/n, "B/record")
	began = time.Now()
	found := 0
	err := d.Scan(b.Context(), "grant/", func(string) error { found++; return nil })
	if err != nil || found < n {
		b.Fatal(errors.Join(err, fmt.Errorf("%d keys", found)))
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/scan")
}
