package redis

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/storetest"
)

// A primary is killed while its keys change. The driver finds the replica that
// takes over, and what everybody was told stays true.
func TestFailoverUnderContention(t *testing.T) {
	const soon = time.Second // a machine under load must not take a busy server for dead
	for _, p := range storetest.Programs(t, venv) {
		t.Run(p.Name+"/sentinel", func(t *testing.T) {
			t.Parallel()
			g := p.StartSentinels(t, "main", "", soon)
			storetest.Failover(t, mustOpen(t, "redis+sentinel://"+g.Sentinels[0].Addr+"/main"), g.Servers[0].Stop)
		})
		t.Run(p.Name+"/cluster", func(t *testing.T) {
			t.Parallel()
			nodes := p.StartCluster(t, soon)
			storetest.Failover(t, mustOpen(t, "redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr), nodes[0].Stop)
		})
	}
}

// With replicas=1 a write counts when a replica has it, so no death of a primary
// takes back what was acknowledged. A cluster's primaries have one replica each:
// until the dead one is back, its successor acknowledges nothing.
func TestConfirmedWritesSurviveFailover(t *testing.T) {
	debian := storetest.Debian(t)
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		g := debian.StartSentinels(t, "main", "", time.Second)
		d := mustOpen(t, "redis+sentinel://"+g.Sentinels[0].Addr+"/main?replicas=1")
		if lost := storetest.Failover(t, d, g.Servers[0].Stop); lost > 0 {
			t.Errorf("%d acknowledged changes are lost", lost)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		nodes := debian.StartCluster(t, time.Second)
		d := mustOpen(t, "redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr+"?replicas=1")
		disturb := func() {
			nodes[0].Stop()
			nodes[1].Await("CLUSTER NODES", "master,fail")
			nodes[1].Await("CLUSTER INFO", "cluster_slots_ok:16384")
			nodes[0].Start()
		}
		if lost := storetest.Failover(t, d, disturb); lost > 0 {
			t.Errorf("%d acknowledged changes are lost", lost)
		}
	})
	t.Run("without a replica", func(t *testing.T) {
		t.Parallel()
		d := mustOpen(t, "redis://"+debian.Start(t).Addr+"?replicas=1")
		err := d.Swap(t.Context(), "k", nil, []byte("v"), time.Hour)
		if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
			t.Errorf("a write that no replica has: %v", err)
		}
	})
}

// Planned failovers need lose nothing. A cluster's primary stops for its replica
// to catch up; Sentinel tells the old primary last, which goes on acknowledging
// what its successor does not know, unless it was paused before.
func TestPlannedFailoverLosesNothing(t *testing.T) {
	debian := storetest.Debian(t)
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		g := debian.StartSentinels(t, "main", "", 5*time.Second)
		lost := storetest.Failover(t, mustOpen(t, "redis+sentinel://"+g.Sentinels[0].Addr+"/main"), func() {
			ask(t, g.Servers[0].Addr, "", "client", "pause", "60000", "write")
			ask(t, g.Sentinels[0].Addr, "", "sentinel", "failover", "main")
		})
		if lost > 0 {
			t.Errorf("%d acknowledged changes are lost", lost)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		nodes := debian.StartCluster(t, 5*time.Second)
		lost := storetest.Failover(t, mustOpen(t, "redis+cluster://"+nodes[0].Addr), func() {
			for _, replica := range nodes[3:] { // one after the other: they vote on each other
				replica.Promote()
			}
			for _, primary := range nodes[:3] {
				primary.Await("INFO replication", "role:slave")
			}
		})
		if lost > 0 {
			t.Errorf("%d acknowledged changes are lost", lost)
		}
	})
}

// Redis replicates asynchronously: what it acknowledged is on the primary, and
// on a replica a moment later. If the primary is cut off and its replica takes
// over, what was acknowledged since the cut is lost. min-replicas-to-write bounds
// that to min-replicas-max-lag, and a second or so: then the primary refuses.
func TestWhatAsynchronousReplicationLoses(t *testing.T) {
	for _, p := range storetest.Programs(t, venv) {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			primary := p.Start(t, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "1", "--repl-diskless-sync-delay", "0")
			line := startProxy(t, primary.Addr)
			host, port, err := net.SplitHostPort(line.addr)
			if err != nil {
				t.Fatal(err)
			}
			replica := p.Start(t, "--replicaof", host, port)
			onPrimary := redis.NewClient(&redis.Options{Addr: primary.Addr, Protocol: 2})
			defer onPrimary.Close()
			onReplica := redis.NewClient(&redis.Options{Addr: replica.Addr, Protocol: 2})
			defer onReplica.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()

			d := mustOpen(t, "redis://"+primary.Addr)
			key, kept := "sallyport:k", 0
			for ctx.Err() == nil { // refused until the replica is there
				if err = d.Swap(ctx, "k", nil, []byte("0"), time.Hour); err == nil {
					break
				}
				ordinary(t, "creation", err)
				time.Sleep(10 * time.Millisecond)
			}
			for ctx.Err() == nil && onReplica.Get(ctx, key).Val() != "0" {
				time.Sleep(10 * time.Millisecond)
			}
			line.cut.Store(true)
			swap := func() error {
				err := d.Swap(ctx, "k", []byte(strconv.Itoa(kept)), []byte(strconv.Itoa(kept+1)), time.Hour)
				if err == nil {
					kept++
				}
				return err
			}
			// A plain command shows when the primary begins to refuse.
			for ctx.Err() == nil && !redis.HasErrorPrefix(onPrimary.Set(ctx, "plain", "v", 0).Err(), "NOREPLICAS") {
				_ = swap() // refused at last
				time.Sleep(10 * time.Millisecond)
			}
			if err := swap(); p.Name == "redis 6.2" {
				if err != nil {
					t.Errorf("scripts were exempt before Redis 7.0: %v", err)
				}
			} else if ordinary(t, "a swap that no replica can get", err); !redis.HasErrorPrefix(err, "NOREPLICAS") {
				t.Errorf("refused with %v", err)
			}
			t.Logf("acknowledged after the cut: %d", kept)
			if err := onReplica.Do(ctx, "replicaof", "no", "one").Err(); err != nil {
				t.Fatal(err)
			}
			if got := onReplica.Get(ctx, key).Val(); kept == 0 || got != "0" {
				t.Errorf("the replica has %q of %d changes acknowledged since the cut", got, kept)
			}
		})
	}
}

// A server whose memory is used up refuses to store, and keeps what it has.
func TestFullServerRefuses(t *testing.T) {
	server := storetest.StartRedis(t, "--maxmemory", "5mb", "--maxmemory-policy", "noeviction")
	d := mustOpen(t, "redis://"+server.Addr)
	value := []byte(strings.Repeat("v", 256<<10))
	var err error
	n := 0
	for ; n < 100 && err == nil; n++ {
		err = d.Swap(t.Context(), strconv.Itoa(n), nil, value, time.Hour)
	}
	ordinary(t, "Swap", err)
	if !redis.HasErrorPrefix(err, "OOM") {
		t.Fatalf("after %d values: %v", n, err)
	}
	for i := range n - 1 {
		if _, err := d.Get(t.Context(), strconv.Itoa(i)); err != nil {
			t.Errorf("value %d of %d: %v", i, n-1, err)
		}
	}
	if _, err := d.Take(t.Context(), "0"); err != nil {
		t.Errorf("Take of a full server: %v", err)
	}
}
