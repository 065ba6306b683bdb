package redis

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

func connectCluster(o *redis.ClusterOptions) *redis.ClusterClient {
	// With policies go-redis asks COMMAND how to spread one over the nodes; each
	// of ours names one key. A user without a right to COMMAND would be asked for
	// it before everything else, and each time.
	o.DisableRoutingPolicies = true
	cluster := redis.NewClusterClient(o)
	cluster.AddHook(rediscover{cluster})
	return cluster
}

// rediscover is a hook that makes the client of a cluster ask who serves what
// when a command fails. By itself go-redis asks when a node redirects it, and
// else once a minute; a primary that died redirects nobody, and what is sent
// only once (see once) would be sent to the dead one for that long after its
// replica took over. The client asks in the background, and at most every 200
// milliseconds.
type rediscover struct{ cluster *redis.ClusterClient }

var _ redis.Hook = rediscover{}

func (r rediscover) failed(ctx context.Context, err error) error {
	if err != nil && !errors.Is(err, redis.Nil) {
		r.cluster.ReloadState(ctx)
	}
	return err
}

// DialHook implements redis.Hook.
func (rediscover) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (r rediscover) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return r.failed(ctx, next(ctx, cmd)) }
}

// ProcessPipelineHook implements redis.Hook.
func (r rediscover) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return r.failed(ctx, next(ctx, cmds)) }
}
