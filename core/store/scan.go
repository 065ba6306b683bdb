package store

import (
	"context"
	"strings"
)

// IDs calls f with the id of every record of a tenant, in no order, until f
// returns an error, which IDs returns. It is for operators' commands: see
// Driver.Scan.
func (c *Collection[T]) IDs(ctx context.Context, tenant string, f func(id string) error) error {
	at, err := c.place(tenant, "x")
	if err != nil {
		return err
	}
	prefix := strings.TrimSuffix(at.key, "x")
	return c.driver.Scan(ctx, prefix, func(key string) error { return f(strings.TrimPrefix(key, prefix)) })
}
