package redis

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/store"
)

// silence is how long a listener hears nothing before it asks whether the
// connection still stands; after as long again it takes it for dead.
const silence = 2 * time.Second

var _ store.Announcer = (*Driver)(nil)

// channel is one for all keys. In a cluster PUBLISH reaches every node, so it
// does not matter which one a listener is connected to. Channels know no
// database numbers: stores that differ in those alone hear each other, and
// forget a little more than they need to.
func (d *Driver) channel() string { return d.prefix + "changed" }

// Announce implements store.Announcer.
func (d *Driver) Announce(ctx context.Context, key string) error {
	if err := d.client.Publish(ctx, d.channel(), key).Err(); err != nil {
		return fail("announce", err)
	}
	return nil
}

// Listen implements store.Announcer, on a connection of its own.
func (d *Driver) Listen(ctx context.Context, f func(key string)) error {
	sub := d.client.Subscribe(ctx, d.channel())
	defer func() { _ = sub.Close() }()                         // what it could say, Receive has said
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })() // Receive minds no context
	for asked := false; ; {
		message, err := sub.ReceiveTimeout(ctx, d.silence)
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() && !asked && ctx.Err() == nil {
			if err = sub.Ping(ctx); err == nil {
				asked = true
				continue
			}
		}
		if err != nil {
			return fail("listen", errors.Join(ctx.Err(), err))
		}
		asked = false
		switch m := message.(type) {
		case *redis.Subscription:
			if err := sub.Ping(ctx); err != nil { // to know at once whether we may
				return fail("listen", err)
			}
			asked = true
			f("")
		case *redis.Message:
			f(m.Payload)
		}
	}
}
