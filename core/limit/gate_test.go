package limit

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestGateLetsInSoManyAtOnce(t *testing.T) {
	t.Parallel()
	g := NewGate(2)
	first, ok1 := g.Enter("a")
	second, ok2 := g.Enter("a")
	if _, ok3 := g.Enter("a"); !ok1 || !ok2 || ok3 {
		t.Fatalf("%v %v %v, want the third refused", ok1, ok2, ok3)
	}
	if other, ok := g.Enter("b"); !ok {
		t.Error("another key is refused for what the first has inside")
	} else {
		other()
	}
	first()
	first() // not the second's place
	third, ok := g.Enter("a")
	if !ok {
		t.Fatal("the place of one who left is not free")
	}
	if _, ok := g.Enter("a"); ok {
		t.Error("leaving twice made two places")
	}
	second()
	third()
	if len(g.inside) != 0 {
		t.Errorf("keys with nobody inside: %v", g.inside)
	}
}

func TestGateWithoutANumberIsOpen(t *testing.T) {
	t.Parallel()
	g := NewGate(0)
	for range 100 {
		leave, ok := g.Enter("a")
		if !ok {
			t.Fatal("refused")
		}
		defer leave()
	}
	if len(g.inside) != 0 {
		t.Error("an open gate counts")
	}
}

func TestGateHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	g := NewGate(3)
	var inside, most, entered atomic.Int64
	var done sync.WaitGroup
	for range 16 {
		done.Go(func() {
			for range 500 {
				leave, ok := g.Enter("a")
				if !ok {
					continue
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				entered.Add(1)
				inside.Add(-1)
				leave()
			}
		})
	}
	done.Wait()
	if most.Load() > 3 || entered.Load() == 0 || len(g.inside) != 0 {
		t.Errorf("%d at once, %d entered, %v left", most.Load(), entered.Load(), g.inside)
	}
}

func BenchmarkEnter(b *testing.B) {
	g := NewGate(1)
	b.ReportAllocs()
	for b.Loop() {
		leave, ok := g.Enter("a grant")
		if !ok {
			b.Fatal("refused")
		}
		leave()
	}
}
