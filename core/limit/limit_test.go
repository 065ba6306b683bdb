package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is a time that moves when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// allowed counts how many of n events pass.
func allowed(l *Limiter, key string, n int) (passed int) {
	for range n {
		if ok, _ := l.Allow(key); ok {
			passed++
		}
	}
	return passed
}

func TestBurstThenEvenlySpread(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := New(Rate{60, time.Minute}, 10, c.Now)
	if n := allowed(l, "a", 100); n != 60 {
		t.Fatalf("%d at once, want 60", n)
	}
	if n := allowed(l, "b", 1); n != 1 {
		t.Error("another key is refused for what the first did")
	}
	for range 5 {
		c.advance(time.Second)
		if n := allowed(l, "a", 5); n != 1 {
			t.Errorf("%d a second, want 1", n)
		}
	}
	c.advance(time.Hour)
	if n := allowed(l, "a", 100); n != 60 {
		t.Errorf("%d after a rest, want 60 and no more", n)
	}
}

func TestRetryAfterIsWhenTheNextPasses(t *testing.T) {
	t.Parallel()
	for _, r := range []Rate{{1, time.Second}, {60, time.Minute}, {7, time.Hour}, {1000, time.Second}} {
		c := newClock()
		l := New(r, 10, c.Now)
		allowed(l, "a", r.Events)
		c.advance(r.Per / time.Duration(3*r.Events))
		ok, wait := l.Allow("a")
		if ok || wait <= 0 || wait > r.Per/time.Duration(r.Events) {
			t.Errorf("%v: %v, wait %v", r, ok, wait)
		}
		c.advance(wait - time.Microsecond)
		if ok, _ := l.Allow("a"); ok {
			t.Errorf("%v: passes before the time that was told", r)
		}
		c.advance(2 * time.Microsecond)
		if ok, again := l.Allow("a"); !ok {
			t.Errorf("%v: does not pass after %v, told to wait %v more", r, wait, again)
		}
	}
}

func TestNoRateIsNoLimit(t *testing.T) {
	t.Parallel()
	for _, r := range []Rate{{}, {Per: time.Minute}, {Events: 1}} {
		l := New(r, 1, nil)
		if n := allowed(l, "a", 1000); n != 1000 || len(l.buckets) > 0 {
			t.Errorf("%v: %d passed, %d remembered", r, n, len(l.buckets))
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := New(Rate{2, time.Minute}, 100, c.Now)
	allowed(l, "busy", 2)
	for i := range 1000 {
		allowed(l, fmt.Sprint(i), 1)
		if n := allowed(l, "busy", 1); n != 0 {
			t.Fatalf("after %d other keys the one in use was forgotten", i+1)
		}
	}
	if len(l.buckets) != 100 || l.order.Len() != 100 {
		t.Errorf("%d and %d remembered, want 100", len(l.buckets), l.order.Len())
	}
	if n := allowed(l, "999", 2); n != 1 {
		t.Errorf("the key before: %d passed, want 1", n)
	}
}

func TestIdleKeysAreDropped(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := New(Rate{2, time.Minute}, 100, c.Now)
	for i := range 50 {
		allowed(l, fmt.Sprint(i), 2)
	}
	c.advance(time.Minute)
	for i := range 30 {
		allowed(l, "new"+fmt.Sprint(i), 2)
	}
	if len(l.buckets) != 30 {
		t.Errorf("%d remembered, want the 30 of the last minute", len(l.buckets))
	}
}

func TestConcurrentEventsAreAllCounted(t *testing.T) {
	t.Parallel()
	l := New(Rate{100, time.Hour}, 3, newClock().Now)
	var passed [2]atomic.Int64
	var done sync.WaitGroup
	for i := range 8 {
		done.Go(func() { passed[i%2].Add(int64(allowed(l, fmt.Sprint(i%2), 100))) })
	}
	done.Wait()
	if passed[0].Load() != 100 || passed[1].Load() != 100 {
		t.Errorf("%d and %d passed, want 100 each", passed[0].Load(), passed[1].Load())
	}
}

// BenchmarkAllow is what a request pays: a key that is known, one that is over
// its limit, and one that nobody has seen, in a full memory.
func BenchmarkAllow(b *testing.B) {
	const keys = 10_000
	names := make([]string, 2*keys)
	for i := range names {
		names[i] = fmt.Sprint("203.0.113.", i)
	}
	for _, c := range []struct {
		name string
		rate Rate
		of   int // keys in use
	}{{"known", Rate{1 << 30, time.Second}, 1}, {"refused", Rate{1, 1 << 60}, 1}, {"new", Rate{1, 1 << 60}, len(names)}} {
		b.Run(c.name, func(b *testing.B) {
			l := New(c.rate, keys, nil)
			for _, name := range names[:c.of] {
				l.Allow(name)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l.Allow(names[i%c.of])
				i++
			}
		})
	}
}
