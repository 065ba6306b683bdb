package redis

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// confirmed sends a write to the primary that has the key, and then waits there
// until enough replicas have the write as well (WAIT): the server waits for what
// came over the same connection, so both have to. If they are too few in time
// the write may still be there to stay, as after any answer that was lost.
func (d *Driver) confirmed(ctx context.Context, key string, cmd *redis.Cmd) (again bool) {
	primary, err := d.primary(ctx, d.prefix+key)
	if err != nil {
		cmd.SetErr(err)
		return true
	}
	conn := primary.Conn()
	defer func() { _ = conn.Close() }() // it goes back to the pool
	if err := conn.Process(ctx, noRetry{cmd}); err != nil {
		if cluster, ok := d.client.(*redis.ClusterClient); ok {
			// The hook of the cluster's client does not see this connection.
			_ = rediscover{cluster}.failed(ctx, err)
		}
		return notRun(err)
	}
	have, err := conn.Wait(ctx, d.replicas, confirmTimeout).Result()
	if err == nil && int(have) < d.replicas {
		err = fmt.Errorf("%d of %d replicas have the write", have, d.replicas)
	}
	if err != nil {
		cmd.SetErr(err)
	}
	return false
}

// primary is the client of the server that has a key.
func (d *Driver) primary(ctx context.Context, key string) (*redis.Client, error) {
	if cluster, ok := d.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	return d.client.(*redis.Client), nil // what NewUniversalClient makes of everything else
}
