package store

import (
	"context"
	"math/rand/v2"
	"time"
)

// Announcer is what a Driver may be besides, if several processes share its
// store: a way to tell the others that a key changed. An announcement may be
// lost; nothing may depend on it but how soon something is noticed.
type Announcer interface {
	// Announce tells all listeners of all processes about key.
	Announce(ctx context.Context, key string) error

	// Listen calls f with each key announced, one at a time. The first call is
	// f(""), once Listen hears what is announced from then on: whatever was
	// announced before it may have missed. It returns when ctx ends, and with
	// an error as soon as it may miss something again.
	Listen(ctx context.Context, f func(key string)) error
}

// Follow calls forget with what other processes announce, see
// Collection.Forget, until ctx ends; with a driver that cannot announce it
// returns at once. While it cannot listen it says so to trouble, and tries
// again.
func Follow(ctx context.Context, d Driver, trouble func(error), forget ...func(key string)) {
	announcer, ok := d.(Announcer)
	if !ok {
		return
	}
	const first, most = 100 * time.Millisecond, 5 * time.Second
	wait := first
	for {
		err := announcer.Listen(ctx, func(key string) {
			wait = first
			for _, f := range forget {
				f(key)
			}
		})
		if ctx.Err() != nil {
			return
		}
		trouble(err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, most)
	}
}
