package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartRedisCluster starts a cluster of six servers, three masters with a
// replica each, and waits until it serves all slots.
func StartRedisCluster(t testing.TB) []*Redis {
	t.Helper()
	var nodes []*Redis
	var addrs []string
	for range 6 {
		// The bus would listen 10,000 above the port, which may be no port.
		_, bus, err := net.SplitHostPort(freeAddr(t))
		if err != nil {
			t.Fatal(err)
		}
		r := StartRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000")
		nodes = append(nodes, r)
		addrs = append(addrs, r.Addr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	args := append([]string{"--cluster", "create", "--cluster-replicas", "1", "--cluster-yes"}, addrs...)
	if out, err := exec.CommandContext(ctx, "redis-cli", args...).CombinedOutput(); err != nil {
		t.Fatalf("redis-cli, of the Debian package redis-tools, makes no cluster: %v\n%s", err, out)
	}
	for _, r := range nodes {
		r.await("CLUSTER INFO", "cluster_state:ok")
	}
	return nodes
}

// StartRedisSentinel starts a sentinel that watches master under the given
// name, and waits until it knows it. Further arguments are lines of its
// configuration file.
func StartRedisSentinel(t testing.TB, name string, master *Redis, lines ...string) *Redis {
	t.Helper()
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sentinel.conf") // the sentinel writes to it
	lines = append([]string{fmt.Sprintf("sentinel monitor %s %s %s 1", name, host, port)}, lines...)
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, file, "--sentinel")
}

// await repeats a command until its reply has a text in it.
func (r *Redis) await(command, text string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		reply := r.ask(command)
		if strings.Contains(reply, text) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: %q; want %q in it", command, reply, text)
		}
	}
}
