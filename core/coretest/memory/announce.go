package memory

import (
	"context"
	"sync"

	"github.com/sallyport/sallyport/core/store"
)

// Announcing is a Driver that announces: every listener has heard a key when
// Announce returns.
type Announcing struct {
	*Driver

	mu        sync.Mutex
	listeners map[*func(string)]struct{}
	cut       bool
}

var _ store.Announcer = (*Announcing)(nil)

// Cut makes later announcements get lost without anybody noticing; Cut(false)
// ends that.
func (a *Announcing) Cut(cut bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut = cut
}

// Listeners returns how many calls of Listen hear announcements now.
func (a *Announcing) Listeners() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.listeners)
}

// Announce implements store.Announcer.
func (a *Announcing) Announce(_ context.Context, key string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cut {
		return nil
	}
	for f := range a.listeners {
		(*f)(key)
	}
	return nil
}

// Listen implements store.Announcer.
func (a *Announcing) Listen(ctx context.Context, f func(key string)) error {
	a.mu.Lock()
	if a.listeners == nil {
		a.listeners = map[*func(string)]struct{}{}
	}
	a.listeners[&f] = struct{}{}
	f("")
	a.mu.Unlock()
	<-ctx.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.listeners, &f)
	return ctx.Err()
}
