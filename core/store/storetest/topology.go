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

// StartCluster starts a cluster of six servers, three primaries and then a
// replica of each, and waits until it serves all slots. A primary that does not
// answer for nodeTimeout is replaced.
func (p Program) StartCluster(t testing.TB, nodeTimeout time.Duration, settings ...string) []*Redis {
	t.Helper()
	var nodes []*Redis
	var addrs []string
	for range 6 {
		r := p.Start(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", fmt.Sprint(nodeTimeout.Milliseconds()),
		}, settings...)...)
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
		r.Await("CLUSTER INFO", "cluster_state:ok")
	}
	for _, r := range nodes {
		// Each hears of every other, so that what is published at one is heard at all.
		r.await("CLUSTER NODES", func(reply string) bool { return strings.Count(reply, " connected") == len(nodes) })
	}
	for _, r := range nodes[3:] {
		r.Await("INFO replication", "master_link_status:up")
	}
	return nodes
}

// Group is a primary, its two replicas, and the three sentinels that watch it.
type Group struct {
	Servers   []*Redis // the primary first
	Sentinels []*Redis
}

// StartSentinels starts a group whose primary is known by the given name and
// replaced if two sentinels have had no answer from it for downAfter. All six
// ask for the password, unless it is empty. The settings are for the servers.
func (p Program) StartSentinels(t testing.TB, name, password string, downAfter time.Duration, settings ...string) *Group {
	t.Helper()
	if password != "" {
		settings = append(settings, "--requirepass", password, "--masterauth", password)
	}
	primary := p.Start(t, settings...)
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		t.Fatal(err)
	}
	g := &Group{Servers: []*Redis{primary}}
	for range 2 {
		g.Servers = append(g.Servers, p.Start(t, append(settings, "--replicaof", host, port, "--repl-diskless-sync-delay", "0")...))
	}
	lines := []string{
		fmt.Sprintf("sentinel monitor %s %s %s 2", name, host, port),
		fmt.Sprintf("sentinel down-after-milliseconds %s %d", name, downAfter.Milliseconds()),
		// A vote that nobody wins is repeated after twice this time.
		fmt.Sprintf("sentinel failover-timeout %s %d", name, downAfter.Milliseconds()),
	}
	if password != "" {
		lines = append(lines, "requirepass "+password, fmt.Sprintf("sentinel auth-pass %s %s", name, password))
	}
	for range 3 {
		file := filepath.Join(t.TempDir(), "sentinel.conf") // the sentinel writes to it
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		g.Sentinels = append(g.Sentinels, p.start(t, file, "--sentinel"))
	}
	for _, r := range g.Servers {
		r.password = password
	}
	for _, r := range g.Servers[1:] {
		r.Await("INFO replication", "master_link_status:up")
	}
	for _, r := range g.Sentinels {
		r.password = password
		r.Await("INFO sentinel", "slaves=2,sentinels=3")
	}
	return g
}

// Await repeats a command until its reply has a text in it.
func (r *Redis) Await(command, text string) {
	r.t.Helper()
	r.await(command, func(reply string) bool { return strings.Contains(reply, text) })
}

func (r *Redis) await(command string, good func(reply string) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		reply := r.ask(command)
		if good(reply) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s goes on answering %q", command, reply)
		}
	}
}
