package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/store"
)

var _ store.Exporter = (*Driver)(nil)

// Export implements store.Exporter. It reads the records of one page of a scan
// in one go. A key under our prefix that does not expire was not written by this
// package; it is an error, for it may be anything.
func (d *Driver) Export(ctx context.Context, f func(store.Record) error) error {
	return each(ctx, d, "export", "", d.read, f)
}

// read returns the records of some keys, without those that are gone.
func (d *Driver) read(ctx context.Context, keys []string) ([]store.Record, error) {
	pipe := d.client.Pipeline()
	var values []*redis.StringCmd
	var ttls []*redis.DurationCmd
	for _, key := range keys {
		values, ttls = append(values, pipe.Get(ctx, key)), append(ttls, pipe.PTTL(ctx, key))
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	var found []store.Record
	for i, key := range keys {
		value, err := values[i].Bytes()
		ttl := ttls[i].Val()
		switch {
		case errors.Is(err, redis.Nil), ttl == -2: // PTTL's word for a key that is not there
		case err != nil:
			return nil, err
		case ttl <= 0:
			return nil, fmt.Errorf("the key %.100q does not expire, so sallyport did not write it; give the store a prefix of its own", key)
		default:
			found = append(found, store.Record{Key: strings.TrimPrefix(key, d.prefix), Value: value, TTL: ttl})
		}
	}
	return found, nil
}
