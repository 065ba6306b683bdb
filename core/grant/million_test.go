package grant_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/bolt"
	redisstore "github.com/sallyport/sallyport/core/store/redis"
	"github.com/sallyport/sallyport/core/store/storetest"
)

var many = flag.Int("grants", 1000, "how many grants TestManyGrants stores; a million take minutes, and gigabytes of disk and memory")

// grantsOfAccount is how many grants each account of TestManyGrants has.
const grantsOfAccount = 4

// TestManyGrants fills a store, finds grants again and logs what that took:
//
//	go test ./core/grant -run TestManyGrants -v -timeout 1h -grants 1000000
//
// It is not parallel, so that a long run measures one store at a time.
func TestManyGrants(t *testing.T) {
	t.Run("bolt", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		driver, err := bolt.Open(t.Context(), bolt.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = driver.Close() })
		findAmongMany(t, driver)
		file, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("the file has %d bytes, %d a grant", file.Size(), file.Size()/int64(*many))
	})
	t.Run("redis", func(t *testing.T) {
		server := storetest.StartRedis(t)
		findAmongMany(t, openRedis(t, server))
		t.Logf("redis: %v", info(t, server, "memory", "used_memory", "used_memory_rss"))
	})
}

func findAmongMany(t *testing.T, driver store.Driver) {
	t.Helper()
	grants, began := newGrants(t, driver), time.Now()
	sample := fill(t, grants)
	took := time.Since(began)
	t.Logf("%d logins in %v, %.0f a second; this process: %s", *many, took.Round(time.Millisecond), float64(*many)/took.Seconds(), resident(t))

	rand.Shuffle(len(sample), func(i, j int) { sample[i], sample[j] = sample[j], sample[i] })
	times := make([]time.Duration, len(sample))
	for i, token := range sample {
		began := time.Now()
		live, err := grants.Verify(t.Context(), music, token.access)
		times[i] = time.Since(began)
		if err != nil || live.Record.Subject != token.subject {
			t.Fatalf("a grant of %s: %+v, %v", token.subject, live, err)
		}
	}
	t.Logf("verifying one of %d: %s", len(sample), spread(times))

	times = times[:min(len(sample), 200)]
	for i := range times {
		began := time.Now()
		list, whole, err := grants.OfAccount(t.Context(), music, music.Account(sample[i].subject))
		times[i] = time.Since(began)
		if err != nil || !whole || len(list) != grantsOfAccount {
			t.Fatalf("%s has %d grants (%v), %v; want %d", sample[i].subject, len(list), whole, err, grantsOfAccount)
		}
	}
	t.Logf("listing an account's %d grants: %s", grantsOfAccount, spread(times))
	t.Logf("this process afterwards: %s", resident(t))
}

// found is a grant that is looked for.
type found struct{ subject, access string }

// fill logs in many times and returns a sample of the grants.
func fill(t *testing.T, grants *grant.Store) []found {
	t.Helper()
	const callers = 512
	accounts := max(1, *many/grantsOfAccount)
	every := max(1, accounts/20_000)
	samples := make([][]found, callers)
	var g errgroup.Group
	for caller := range callers {
		g.Go(func() error {
			for i := caller; i < accounts; i += callers {
				subject := fmt.Sprintf("account-%08d", i)
				var tokens *grant.Tokens
				for range grantsOfAccount {
					var err error
					if tokens, err = login(t.Context(), grants, subject, credential(subject, 40)); err != nil {
						return err
					}
				}
				if i%every == 0 {
					samples[caller] = append(samples[caller], found{subject, tokens.Access})
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(samples...)
}

// spread is the median of times and what one in a hundred exceeds.
func spread(times []time.Duration) string {
	slices.Sort(times)
	return fmt.Sprintf("p50 %v, p99 %v", times[len(times)/2], times[len(times)*99/100])
}

// resident is the memory of this process: its own, and what the kernel keeps of
// files that it has mapped and may drop.
func resident(t *testing.T) string {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if errors.Is(err, os.ErrNotExist) {
		return "not known on this system"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.HasPrefix(s.Text(), "RssAnon:") || strings.HasPrefix(s.Text(), "RssFile:") {
			lines = append(lines, strings.Join(strings.Fields(s.Text()), " "))
		}
	}
	return strings.Join(lines, ", ")
}

// openRedis connects a driver to a server that a test started.
func openRedis(t testing.TB, server *storetest.Redis) store.Driver {
	t.Helper()
	driver, err := redisstore.Open(t.Context(), "redis://"+server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = driver.Close() })
	return driver
}

// admin is a connection for what the driver does not ask.
func admin(t testing.TB, server *storetest.Redis) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr, Protocol: 2})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// info returns lines of a section of INFO.
func info(t testing.TB, server *storetest.Redis, section string, names ...string) (lines []string) {
	t.Helper()
	all, err := admin(t, server).Info(t.Context(), section).Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(all) {
		if name, _, _ := strings.Cut(line, ":"); slices.Contains(names, name) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
