package store

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func start(ttl time.Duration) *cache[int] { return newCache[int](ttl, time.Now) }

// held reads a key through the cache as a collection does.
func held(c *cache[int], key string) (int, bool) {
	if v := c.get(key); v != nil {
		return v.Value, true
	}
	return 0, false
}

func TestReadThatAChangeOvertookIsNotHeld(t *testing.T) {
	t.Parallel()
	for name, overtake := range map[string]func(*cache[int]){
		"a change here":      func(c *cache[int]) { c.wrote("k", c.begin("k"), 2, nil) },
		"a deletion here":    func(c *cache[int]) { c.drop("k") },
		"something unknown":  func(c *cache[int]) { c.drop("") },
		"nothing":            func(*cache[int]) {},
		"a read":             func(c *cache[int]) { c.read("k", c.begin("k"), 1, nil) },
		"a change elsewhere": func(c *cache[int]) { c.wrote(elsewhere(c), c.begin(elsewhere(c)), 5, nil) },
	} {
		c := start(time.Hour)
		began := c.begin("k")
		overtake(c)
		c.read("k", began, 1, nil) // what the driver held before
		got, ok := held(c, "k")
		switch name {
		case "a change here":
			if !ok || got != 2 {
				t.Errorf("after %s: %d %v, want 2", name, got, ok)
			}
		case "a deletion here", "something unknown":
			if ok {
				t.Errorf("after %s: %d is held", name, got)
			}
		default:
			if !ok || got != 1 {
				t.Errorf("after %s: %d %v, want 1", name, got, ok)
			}
		}
	}
}

// elsewhere is a key of another stripe than k.
func elsewhere(c *cache[int]) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("e", i); c.stripe(key) != c.stripe("k") {
			return key
		}
	}
}

// Of two changes under way at once it is not known which the driver made last.
func TestOfTwoChangesAtOnceNeitherIsHeld(t *testing.T) {
	t.Parallel()
	c := start(time.Hour)
	first, second := c.begin("k"), c.begin("k")
	c.wrote("k", first, 1, nil)
	c.wrote("k", second, 2, nil)
	if got, ok := held(c, "k"); ok {
		t.Errorf("%d is held", got)
	}
}

func TestVersionIsHeldForItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(5 * time.Second)
		began := c.begin("k")
		time.Sleep(time.Second) // the driver takes its time, which counts
		v := c.read("k", began, 1, nil)
		c.attach(v, Name{1}, "derived")
		time.Sleep(4*time.Second - time.Nanosecond)
		if _, ok := held(c, "k"); !ok || c.find(Name{1}) != "derived" {
			t.Error("not held until its time is over")
		}
		time.Sleep(time.Nanosecond)
		if _, ok := held(c, "k"); ok || c.find(Name{1}) != nil {
			t.Error("held when its time is over")
		}
		time.Sleep(5 * time.Second) // nobody asks any more
		synctest.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.byKey)+len(c.byName)+c.byAge.Len() != 0 || c.timer != nil {
			t.Error("what nobody asks for stays in memory")
		}
	})
}

func TestWhatIsAttachedGoesWithItsVersion(t *testing.T) {
	t.Parallel()
	c := start(time.Hour)
	v := c.read("k", c.begin("k"), 1, nil)
	for i := range byte(maxNames + 1) {
		c.attach(v, Name{i}, i)
	}
	c.attach(v, Name{maxNames}, "again")
	if c.find(Name{0}) != nil || c.find(Name{1}) != byte(1) || c.find(Name{maxNames}) != "again" || len(c.byName) != maxNames {
		t.Errorf("%d names are held: %v", len(c.byName), c.byName)
	}
	c.wrote("k", c.begin("k"), 2, nil)
	if len(c.byName) != 0 {
		t.Errorf("names outlive their version: %v", c.byName)
	}
	c.attach(v, Name{1}, "late")
	if c.find(Name{1}) != nil {
		t.Error("something is attached to a version that is no longer held")
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := start(time.Hour)
	for i := range maxVersions + 10 {
		key := fmt.Sprint(i)
		c.attach(c.read(key, c.begin(key), i, nil), Name{byte(i), byte(i >> 8)}, i)
	}
	if len(c.byKey) != maxVersions || c.byAge.Len() != maxVersions || len(c.byName) != maxVersions {
		t.Errorf("%d keys, %d versions, %d names, want %d", len(c.byKey), c.byAge.Len(), len(c.byName), maxVersions)
	}
	if _, ok := held(c, "9"); ok {
		t.Error("an old one is held")
	}
	if got, ok := held(c, "10"); !ok || got != 10 {
		t.Error("the oldest that has room is not held")
	}
	c.wrote("10", c.begin("10"), 11, make([]byte, maxSealed+1))
	if _, ok := held(c, "10"); ok {
		t.Error("a large one is held")
	}
}
