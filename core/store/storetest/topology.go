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
	for _, r := range nodes[3:] {
		r.Await("INFO replication", "master_link_status:up")
	}
	awaitBus(ctx, t, nodes)
	return nodes
}

// awaitBus waits until what is published at any node is heard at every node. A
// node drops what comes from one that has not introduced itself on that
// connection, and no command tells when that is over.
func awaitBus(ctx context.Context, t testing.TB, nodes []*Redis) {
	t.Helper()
	for _, listener := range nodes {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if reply := exchange(conn, "SUBSCRIBE storetest"); !strings.Contains(reply, "subscribe") {
			t.Fatalf("%s: SUBSCRIBE: %s", listener.Addr, reply)
		}
		heard, piece := "", make([]byte, 4096)
		for _, speaker := range nodes {
			for !strings.Contains(heard, speaker.Addr) {
				if ctx.Err() != nil {
					t.Fatalf("%s does not hear what is published at %s", listener.Addr, speaker.Addr)
				}
				speaker.ask("PUBLISH storetest " + speaker.Addr)
				_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
				n, _ := conn.Read(piece)
				heard += string(piece[:n])
			}
		}
		_ = conn.Close()
	}
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
	// Each of them may have to bring another one up to date as a primary; Redis
	// waits five seconds for more that ask for it.
	settings = append(settings, "--repl-diskless-sync-delay", "0")
	primary := p.Start(t, settings...)
	host, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		t.Fatal(err)
	}
	g := &Group{Servers: []*Redis{primary}}
	for range 2 {
		g.Servers = append(g.Servers, p.Start(t, append(settings, "--replicaof", host, port)...))
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

// Promote has a cluster's replica take the place of its living primary. Redis
// gives that up after 5 s, and says so to nobody, if the replica has not caught
// up by then or another vote came in between: it has to be asked again.
func (r *Redis) Promote() {
	r.t.Helper()
	const givenUp = 6 * time.Second
	reply := ""
	for range 5 {
		reply = r.ask("CLUSTER FAILOVER")
		if _, ok := r.await("INFO replication", "role:master", givenUp); ok {
			return
		}
	}
	r.t.Fatalf("CLUSTER FAILOVER answers %q and leads to nothing", reply)
}

// Await repeats a command until its reply has a text in it.
func (r *Redis) Await(command, text string) {
	r.t.Helper()
	if reply, ok := r.await(command, text, patience); !ok {
		r.t.Fatalf("%s goes on answering %q", command, reply)
	}
}

func (r *Redis) await(command, text string, limit time.Duration) (reply string, ok bool) {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		reply = r.ask(command)
		if ok = strings.Contains(reply, text); ok || time.Now().After(deadline) {
			return reply, ok
		}
	}
}
