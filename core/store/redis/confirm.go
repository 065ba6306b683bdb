package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// moves bounds how often a cluster may say that a key is elsewhere.
const moves = 3

// confirmed runs a write on the primary that has the key, and then waits there
// until enough replicas have the write as well (WAIT): the server waits for what
// came over the same connection, so both have to. If they are too few in time
// the write may still be there to stay, as after any answer that was lost.
func (d *Driver) confirmed(ctx context.Context, key string, cmd *redis.Cmd) error {
	for attempt := range moves {
		primary, err := d.primary(ctx, key)
		if err == nil {
			err = d.confirmedBy(ctx, primary, cmd)
		}
		if !redis.HasErrorPrefix(err, "MOVED") && !redis.HasErrorPrefix(err, "ASK") || attempt == moves-1 {
			return err
		}
		// The node ran nothing. The rediscover hook does not see this connection.
		if cluster, ok := d.client.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// primary is the client of the server that has a key.
func (d *Driver) primary(ctx context.Context, key string) (*redis.Client, error) {
	if cluster, ok := d.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	return d.client.(*redis.Client), nil // what NewUniversalClient makes of everything else
}

func (d *Driver) confirmedBy(ctx context.Context, primary *redis.Client, cmd *redis.Cmd) error {
	conn := primary.Conn()
	defer conn.Close()
	if err := conn.Process(ctx, noRetry{cmd}); err != nil {
		return err
	}
	have, err := conn.Wait(ctx, d.replicas, confirmTimeout).Result()
	if err != nil {
		return err
	}
	if int(have) < d.replicas {
		return fmt.Errorf("%d of %d replicas have the write", have, d.replicas)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
