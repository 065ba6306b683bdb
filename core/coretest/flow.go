package coretest

import (
	"context"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
	"github.com/sallyport/sallyport/core/store/redis"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// BenchmarkFlow measures a flow on a bolt file and on a Redis server, with one
// caller and with 64 at once, and reports how many ran a second and what each
// asked of the store. setUp prepares an empty store and returns what makes a
// caller; a caller is called by one goroutine, again and again.
func BenchmarkFlow(b *testing.B, flow string, setUp func(b *testing.B, d store.Driver) func() (caller func())) {
	callers := []struct {
		name string
		n    int
	}{{"1caller", 1}, {"64callers", max(64, runtime.GOMAXPROCS(0))}}
	for _, kind := range []struct {
		name string
		open func(*testing.B) store.Driver
	}{
		{"bolt", func(b *testing.B) store.Driver {
			d, err := bolt.Open(b.Context(), bolt.Config{Path: filepath.Join(b.TempDir(), "state.db")})
			return opened(b, d, err)
		}},
		{"redis", func(b *testing.B) store.Driver {
			d, err := redis.Open(b.Context(), "redis://"+storetest.StartRedis(b).Addr)
			return opened(b, d, err)
		}},
	} {
		for _, c := range callers {
			b.Run(kind.name+"/"+c.name, func(b *testing.B) {
				d := &counted{Driver: kind.open(b)}
				newCaller := setUp(b, d)
				ready := make(chan func(), c.n)
				for range c.n {
					ready <- newCaller()
				}
				measure(b, c.n, ready, d)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), flow+"/s")
				b.ReportMetric(float64(d.asked.Load())/float64(b.N), "store-ops/"+flow)
			})
		}
	}
}

// measure runs the callers that are ready and counts from there.
func measure(b *testing.B, callers int, ready <-chan func(), d *counted) {
	b.ReportAllocs()
	d.asked.Store(0)
	if callers == 1 {
		once := <-ready
		for b.Loop() {
			once()
		}
		return
	}
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		once := <-ready
		for pb.Next() {
			once()
		}
	})
}

func opened(b *testing.B, d store.Driver, err error) store.Driver {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	return d
}

// counted is a driver that counts what it is asked on a request's path. It does
// not announce.
type counted struct {
	store.Driver
	asked atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string) ([]byte, error) {
	c.asked.Add(1)
	return c.Driver.Get(ctx, key)
}

func (c *counted) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	c.asked.Add(1)
	return c.Driver.Swap(ctx, key, old, new, ttl)
}

func (c *counted) Take(ctx context.Context, key string) ([]byte, error) {
	c.asked.Add(1)
	return c.Driver.Take(ctx, key)
}
