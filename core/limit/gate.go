package limit

import "sync"

// Gate bounds how many may be inside at the same time for each key. It
// remembers only keys that have somebody inside, and is safe for concurrent
// use.
type Gate struct {
	most int

	mu     sync.Mutex
	inside map[string]int
}

// NewGate returns a Gate that lets in most for each key, or anyone if most is
// not positive.
func NewGate(most int) *Gate { return &Gate{most: most, inside: map[string]int{}} }

// Enter lets one in, unless key has as many inside as it may. Whoever was let
// in calls leave when done; calling it again does nothing. It is nil for whoever
// was not.
func (g *Gate) Enter(key string) (leave func(), ok bool) {
	if g.most <= 0 {
		return func() {}, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside[key] >= g.most {
		return nil, false
	}
	g.inside[key]++
	left := false
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if left {
			return
		}
		left = true
		if g.inside[key]--; g.inside[key] == 0 {
			delete(g.inside, key)
		}
	}, true
}
