package redis

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// The user that the README makes gets what the driver needs, here over IPv6.
func TestACLUser(t *testing.T) {
	for _, p := range storetest.Programs(t, venv) {
		for _, kind := range []string{"redis", "redis+cluster"} {
			t.Run(p.Name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				line := documented(t, "sallyport on ")
				settings := append(strings.Fields("--user sallyport on >secret"), strings.Fields(line)...)
				if kind != "redis" {
					settings = append(settings, "+cluster|slots", "--cluster-enabled", "yes")
				}
				server := p.Start(t, settings...)
				if kind != "redis" {
					oneNodeCluster(t, server.Addr, server.Addr)
				}
				_, port, err := net.SplitHostPort(server.Addr)
				if err != nil {
					t.Fatal(err)
				}
				url := kind + "://sallyport:secret@[::1]:" + port
				storetest.Run(t, engine(url+"?prefix=sallyport:"))
				if log := aclLog(t, server.Addr); len(log) > 0 {
					t.Errorf("the driver was refused something: %v", log)
				}
				_, err = Open(t.Context(), url+"?prefix=foreign:")
				if err == nil || !strings.Contains(err.Error(), "NOPERM") {
					t.Errorf("opened with keys that the user may not read: %v", err)
				}
			})
		}
	}
}

// At the sentinels the user needs to learn who the primary is, and to hear when
// that changes.
func TestACLUserOfSentinels(t *testing.T) {
	t.Parallel()
	g := storetest.Debian(t).StartSentinels(t, "main", "", time.Second)
	user := func(servers []*storetest.Redis, rights string) {
		for _, s := range servers {
			args := []any{"acl", "setuser", "sallyport", "on", ">secret"}
			for rule := range strings.FieldsSeq(rights) {
				args = append(args, rule)
			}
			ask(t, s.Addr, "", args...)
		}
	}
	user(g.Servers, documented(t, "sallyport on "))
	user(g.Sentinels, documented(t, "sentinel on "))
	d := mustOpen(t, "redis+sentinel://sallyport:secret@"+g.Sentinels[0].Addr+"/main?sentinel_auth=true")
	storetest.Failover(t, d, g.Servers[0].Stop)
	for _, s := range append(g.Servers[1:], g.Sentinels...) {
		if log := aclLog(t, s.Addr); len(log) > 0 {
			t.Errorf("the driver was refused something: %v", log)
		}
	}
}

// documented returns the rest of the line of the README that starts with a
// text.
func documented(t *testing.T, start string) string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, start); ok {
			return rest
		}
	}
	t.Fatalf("no line of the README starts with %q", start)
	return ""
}

// Each command of the documented line is needed.
func TestACLUserNeedsEachCommand(t *testing.T) {
	server := storetest.StartRedis(t)
	admin := redis.NewClient(&redis.Options{Addr: server.Addr, Protocol: 2})
	defer admin.Close()
	for _, command := range strings.Fields(documented(t, "sallyport on ")) {
		if !strings.HasPrefix(command, "+") {
			continue
		}
		args := []any{"acl", "setuser", "sallyport", "reset", "on", ">secret"}
		for _, rule := range strings.Fields(documented(t, "sallyport on ")) {
			if rule != command {
				args = append(args, rule)
			}
		}
		for _, do := range [][]any{args, {"script", "flush"}} {
			if err := admin.Do(t.Context(), do...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		d, err := Open(t.Context(), "redis://sallyport:secret@"+server.Addr)
		if err == nil {
			err = useAll(t.Context(), d)
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "NOPERM") && !strings.Contains(err.Error(), "can't run this command") {
			t.Errorf("without %s: %v; want that it may not run", command, err)
		}
	}
}

// useAll does everything that a driver does.
func useAll(ctx context.Context, d *Driver) error {
	if err := d.Swap(ctx, "k", nil, []byte("v"), time.Hour); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	if err := d.Swap(ctx, "k", []byte("v"), nil, 0); err != nil {
		return err
	}
	if _, err := d.Take(ctx, "k"); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := d.Scan(ctx, "", func(string) error { return nil }); err != nil {
		return err
	}
	// Something has to be there to be exported.
	if err := d.Swap(ctx, "exported", nil, []byte("v"), time.Hour); err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	if err := d.Export(ctx, func(store.Record) error { return nil }); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	var announced error
	heard := false
	err := d.Listen(ctx, func(key string) {
		if key == "" {
			announced = d.Announce(ctx, "k")
		} else {
			heard = true
		}
		if announced != nil || heard {
			stop()
		}
	})
	if heard {
		return nil
	}
	return errors.Join(announced, err)
}

func aclLog(t *testing.T, server string) []any {
	t.Helper()
	admin := redis.NewClient(&redis.Options{Addr: server, Protocol: 2})
	defer admin.Close()
	log, err := admin.Do(t.Context(), "acl", "log").Slice()
	if err != nil {
		t.Fatal(err)
	}
	return log
}
