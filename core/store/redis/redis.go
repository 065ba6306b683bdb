// Package redis keeps records in Redis or what speaks its protocol (Valkey,
// Upstash, …), 6.2 or later, for gateways that run as several processes. It
// owns the connection, the one script that compares and swaps, and the rule of
// what may be tried again; what a value means it leaves to package store and
// its callers.
//
// Each operation names one key, so a cluster needs no hash tags. Records are
// as durable as the server is set up to be: ../README.md says how, which rights
// its user needs, and what is lost when a primary is.
package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/sallyport/sallyport/core/store"
)

// swap compares and swaps KEYS[1]. ARGV: "1" if the key must hold ARGV[2], ""
// if it must not exist; the value expected; the new ttl in milliseconds, or "0"
// to delete; the new value. Values are compared and stored as they are. What
// the key holds instead is returned, false standing for nothing.
//
// Valkey since 8.1 and Redis since 8.4 have a command for it, SET … IFEQ, which
// takes the server three quarters of the script's time. A second way to do the
// same is not worth that while most servers are older.
const swap = `
local held = redis.call('GET', KEYS[1])
if ARGV[1] == '' then
  if held then return held end
elseif held ~= ARGV[2] then
  return held
end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3])
end
return 1`

// scanPage is how many keys the server looks at for one page of a scan.
const scanPage = 512

// Driver is a store.Driver on a Redis server, a Sentinel group or a cluster.
// Values expire to the millisecond, rounded up.
type Driver struct {
	client   redis.UniversalClient
	address  address
	prefix   string
	swap     *redis.Script
	replicas int // see confirmed
	silence  time.Duration
}

var _ store.Driver = (*Driver)(nil)

// Open connects to the server that a URL names and waits for its first answer:
//
//	redis://user:password@host:6379/0
//	redis+sentinel://user:password@host:26379,host:26379/master?db=0
//	redis+cluster://user:password@host:6379,host:6379
//
// User, password, ports and database may be left out; rediss instead of redis
// is TLS. Parameters are
//
//	prefix         what every key starts with, default "sallyport:"
//	db             the database number, as an alternative to the path
//	sentinel_auth  true if the sentinels ask for the same user and password
//	replicas       how many replicas have to have a write before it counts, default 0.
//	               With all of them, nothing that was acknowledged is lost with a
//	               primary, and nothing is acknowledged while one of them is away
//	ca             file with the certificates that vouch for the server, in PEM,
//	               instead of the system's
//	cert, key      files with a certificate and its key, in PEM, to show to a
//	               server that asks for one
//
// Errors say what is wrong with the URL, but never quote a password.
func Open(ctx context.Context, url string) (*Driver, error) {
	// go-redis prints connection trouble to standard error through a logger
	// that all its clients share. It says nothing there that it does not also
	// return, and what a process prints is its own business.
	logging.Disable()
	a, err := parse(url)
	if err == nil {
		err = a.readCertificates()
	}
	if err != nil {
		return nil, fmt.Errorf("redis: store URL: %w", err)
	}
	d := connect(a)
	if err := d.Ping(ctx); err != nil {
		if a.options.MasterName != "" {
			err = d.askSentinels(ctx, err)
		} else {
			err = d.Explain(err)
		}
		return nil, errors.Join(fmt.Errorf("store at %s: %w", strings.Join(a.options.Addrs, ", "), err), d.Close())
	}
	return d, nil
}

func connect(a address) *Driver {
	d := &Driver{address: a, prefix: a.prefix, swap: redis.NewScript(swap), replicas: a.replicas, silence: silence}
	if a.options.IsClusterMode {
		d.client = connectCluster(a.options.Cluster())
	} else {
		d.client = redis.NewUniversalClient(a.options)
	}
	return d
}

// Get implements store.Driver.
func (d *Driver) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := d.client.Get(ctx, d.prefix+key).Bytes()
	if err != nil {
		return nil, fail("get", err)
	}
	return value, nil
}

// Swap implements store.Driver. If the connection breaks before the answer is
// here, the error leaves open whether the swap took place.
func (d *Driver) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	px := int64(0)
	if new != nil {
		if ttl <= 0 {
			return fmt.Errorf("redis: swap: ttl is %v, it should be positive", ttl)
		}
		px = int64((ttl-1)/time.Millisecond) + 1
	}
	expect := ""
	if old != nil {
		expect = "1"
	}
	run := func(command, script string) (any, error) {
		return d.once(ctx, key, func() *redis.Cmd {
			cmd := redis.NewCmd(ctx, command, script, 1, d.prefix+key, expect, old, px, new)
			cmd.SetFirstKeyPos(3)
			return cmd
		}).Result()
	}
	answer, err := run("evalsha", d.swap.Hash())
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		answer, err = run("eval", swap) // a server that has not seen the script ran nothing
	}
	switch held, lost := answer.(string); {
	case isNil(err):
		return fmt.Errorf("redis: swap: %w", &store.Conflict{})
	case err != nil:
		return fail("swap", err)
	case lost:
		return fmt.Errorf("redis: swap: %w", &store.Conflict{Held: []byte(held)})
	}
	return nil
}

// Take implements store.Driver. If the connection breaks before the answer is
// here, the error leaves open whether the value is gone.
func (d *Driver) Take(ctx context.Context, key string) ([]byte, error) {
	value, err := d.once(ctx, key, func() *redis.Cmd { return redis.NewCmd(ctx, "getdel", d.prefix+key) }).Text()
	if err != nil {
		return nil, fail("take", err)
	}
	return []byte(value), nil
}

// once runs a command that must not run twice. go-redis sends a command again
// when a connection breaks or times out, though the server may have run it:
// the second Swap would then lose to the first and report ErrConflict, the
// second Take would find nothing, and a caller would be told for certain what
// is not so. Asking the script to accept a key that holds the new value
// already is no way out: two callers who put the same bytes would both have
// won, and so would two who delete. So the trouble is returned as it is, an
// ordinary error, unless it is certain that no server ran the command: then it
// is sent again, a few times and within a second. Redirections by a cluster
// (MOVED, ASK) are followed, for those come from a node that ran nothing.
func (d *Driver) once(ctx context.Context, key string, command func() *redis.Cmd) *redis.Cmd {
	for attempt := 0; ; attempt++ {
		cmd := command()
		if again := d.send(ctx, key, cmd); !again || attempt == retries {
			return cmd
		}
		pause := time.NewTimer(rand.N(100 * time.Millisecond << attempt))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return cmd
		}
	}
}

// send runs a command, which then has its error, and tells whether it may be
// sent again.
func (d *Driver) send(ctx context.Context, key string, cmd *redis.Cmd) (again bool) {
	if d.replicas > 0 {
		return d.confirmed(ctx, key, cmd)
	}
	return notRun(d.client.Process(ctx, noRetry{cmd}))
}

// notRun tells that no server ran the command that failed: nobody was connected
// to, or the answer is one that is given instead of running it. That is what a
// planned failover looks like: the old primary is a replica, or gone.
func notRun(err error) bool {
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return true
	}
	for _, refusal := range []string{"READONLY ", "LOADING ", "MASTERDOWN ", "CLUSTERDOWN ", "TRYAGAIN ", "MOVED ", "ASK "} {
		if redis.HasErrorPrefix(err, refusal) {
			return true
		}
	}
	return false
}

// noRetry is a command that go-redis sends at most once.
type noRetry struct{ *redis.Cmd }

// NoRetry overrides the default of every command.
func (noRetry) NoRetry() bool { return true }

// Scan implements store.Driver. In a cluster it walks all masters, but calls f
// for one key at a time. Redis may list a key twice when keys come and go
// meanwhile.
func (d *Driver) Scan(ctx context.Context, prefix string, f func(key string) error) error {
	names := func(_ context.Context, keys []string) ([]string, error) {
		for i, key := range keys {
			keys[i] = strings.TrimPrefix(key, d.prefix)
		}
		return keys, nil
	}
	return each(ctx, d, "scan", prefix, names, f)
}

// each calls f, for one at a time, for all that read makes of the keys with a
// prefix, until f returns an error, which each returns.
func each[T any](ctx context.Context, d *Driver, op, prefix string, read func(context.Context, []string) ([]T, error), f func(T) error) error {
	var mu sync.Mutex
	var stopped error // what f returned
	err := d.pages(ctx, prefix, func(keys []string) error {
		all, err := read(ctx, keys)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, one := range all {
			if stopped == nil {
				stopped = f(one)
			}
		}
		return stopped
	})
	if stopped != nil {
		return stopped
	}
	if err != nil {
		return fail(op, err)
	}
	return nil
}

// pages calls visit with the server's own names of the keys with a prefix, page
// by page: of the server, or concurrently of all masters of a cluster. It
// returns the first error.
func (d *Driver) pages(ctx context.Context, prefix string, visit func(keys []string) error) error {
	pattern := literal.Replace(d.prefix+prefix) + "*"
	walk := func(ctx context.Context, server redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := server.Scan(ctx, cursor, pattern, scanPage).Result()
			if err != nil {
				return err
			}
			if len(keys) > 0 {
				if err := visit(keys); err != nil {
					return err
				}
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	if cluster, ok := d.client.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error { return walk(ctx, master) })
	}
	return walk(ctx, d.client)
}

// literal escapes what a pattern of Redis gives a meaning to.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// Ping implements store.Driver. It reads a key: unlike PING, that is refused
// by a cluster that is down, and to a user who may not read our keys.
func (d *Driver) Ping(ctx context.Context) error {
	if err := d.client.Get(ctx, d.prefix+"ping").Err(); err != nil && !isNil(err) {
		return fail("ping", err)
	}
	return nil
}

// Close implements store.Driver.
func (d *Driver) Close() error { return d.client.Close() }

// isNil reports whether a server answered that a key holds nothing. An error
// that only wraps that answer is another one: sentinels that do not know the
// master give it too, and no grant is gone then.
func isNil(err error) bool { return err == redis.Nil } //nolint:errorlint // see above

// fail names the operation and turns the nil reply into ErrNotFound.
func fail(op string, err error) error {
	if isNil(err) {
		err = store.ErrNotFound
	}
	return fmt.Errorf("redis: %s: %w", op, err)
}
