package storetest

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/core/store"
)

// BenchmarkGet measures reading a value of a grant's size, by many callers at
// once.
func BenchmarkGet(b *testing.B, d store.Driver) {
	value := bytes.Repeat([]byte{0xa5}, 2<<10)
	if err := d.Swap(b.Context(), "k", nil, value, long); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := d.Get(b.Context(), "k"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkSwap measures replacing such a value, by one caller and by many at
// once on keys of their own.
func BenchmarkSwap(b *testing.B, d store.Driver) {
	var worker atomic.Int64
	for _, callers := range []int{1, 16} {
		b.Run(fmt.Sprintf("%dPerCPU", callers), func(b *testing.B) {
			b.SetParallelism(callers)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				key := fmt.Sprint("k", worker.Add(1))
				var old []byte
				for i := byte(0); pb.Next(); i++ {
					value := bytes.Repeat([]byte{i}, 2<<10)
					if err := d.Swap(b.Context(), key, old, value, long); err != nil {
						b.Error(err)
						return
					}
					old = value
				}
			})
		})
	}
}
