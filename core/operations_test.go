package core_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/upstream/upstreamtest"
)

// counting is a driver that notes what it is asked.
type counting struct {
	store.Driver
	mu    sync.Mutex
	asked []string // operation and kind of record
}

func (c *counting) note(op, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, _, _ := strings.Cut(key, "/")
	c.asked = append(c.asked, op+" "+kind)
}

// take returns what was asked since the last time.
func (c *counting) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

func (c *counting) Get(ctx context.Context, key string) ([]byte, error) {
	c.note("get", key)
	return c.Driver.Get(ctx, key)
}

func (c *counting) Swap(ctx context.Context, key string, old, new []byte, ttl time.Duration) error {
	c.note("swap", key)
	return c.Driver.Swap(ctx, key, old, new, ttl)
}

func (c *counting) Take(ctx context.Context, key string) ([]byte, error) {
	c.note("take", key)
	return c.Driver.Take(ctx, key)
}

// What a login, a refresh and a call ask of the store is a number that grows
// unnoticed, with the latency of a distant Redis in each.
func TestStoreOperationsOfALogin(t *testing.T) {
	t.Parallel()
	var driver *counting
	s := coretest.New(t, func(c *core.Config, _ []*tenant.Tenant, _ *upstreamtest.Fake) {
		driver = &counting{Driver: c.Store}
		c.Store = driver
	})
	var tokens coretest.Tokens
	call := func() {
		if a := s.Call(t, "music", tokens.Access); a.Status != http.StatusOK {
			t.Errorf("call: %d %s", a.Status, a.Body)
		}
	}
	again := func() {
		a := refresh(t, s, tokens)
		if a.Status != http.StatusOK {
			t.Fatalf("refresh: %d %s", a.Status, a.Body)
		}
		tokens.Access, _ = a.JSON(t)["access_token"].(string)
		tokens.Refresh, _ = a.JSON(t)["refresh_token"].(string)
	}
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"login", func() { tokens = s.Login(t, s.Browser(), "ada") }, "swap session, get session, take session, swap account, swap account, swap grant, get not-before, swap grant"},
		{"call", call, ""},
		{"refresh", again, "swap grant"},
		{"call with the new token", call, ""},
		{"nothing", s.Forget, ""},
		{"call of a grant that is not remembered", call, "get not-before, get grant"},
		{"call again", call, ""},
		{"nothing", s.Forget, ""},
		{"refresh of a grant that is not remembered", again, "get blocked, get not-before, get grant, swap grant"},
	} {
		driver.take()
		step.do()
		if got := strings.Join(driver.take(), ", "); got != step.want {
			t.Errorf("%s: %s; want %s", step.name, got, step.want)
		}
	}
}
