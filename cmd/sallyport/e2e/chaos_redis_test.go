package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store/storetest"
)

// redisSet is a Redis that survives the loss of a primary.
type redisSet struct {
	url       string
	nodes     []*storetest.Redis
	sentinels []*storetest.Redis // none in a cluster
	primaries int
	kills     int
}

// takeover is how long a primary may be silent before it is replaced.
const takeover = time.Second

// A write counts when all replicas have it: the death of a primary could take
// back what was acknowledged, as Sentinel may promote the one that is behind.

func startSentinels(t *testing.T) *redisSet {
	t.Helper()
	g := storetest.Debian(t).StartSentinels(t, "main", "", takeover, "--appendonly", "yes")
	var sentinels []string
	for _, s := range g.Sentinels {
		sentinels = append(sentinels, s.Addr)
	}
	return &redisSet{
		url: "redis+sentinel://" + strings.Join(sentinels, ",") + "/main?replicas=2", nodes: g.Servers, sentinels: g.Sentinels, primaries: 1,
	}
}

func startCluster(t *testing.T) *redisSet {
	t.Helper()
	nodes := storetest.Debian(t).StartCluster(t, takeover, "--appendonly", "yes")
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.Addr)
	}
	return &redisSet{url: "redis+cluster://" + strings.Join(addrs, ",") + "?replicas=1", nodes: nodes, primaries: 3}
}

// failOver kills a primary, waits until another has taken its place, starts it
// again and waits until it has become that one's replica.
func (s *redisSet) failOver(ctx context.Context, rng *rand.Rand) error {
	primaries, err := s.settled(ctx, s.nodes, len(s.nodes)-s.primaries)
	if err != nil {
		return err
	}
	dead := primaries[rng.IntN(len(primaries))]
	dead.Stop()
	s.kills++
	var rest []*storetest.Redis
	for _, n := range s.nodes {
		if n != dead {
			rest = append(rest, n)
		}
	}
	primaries, err = s.settled(ctx, rest, 0)
	if err != nil {
		return err
	}
	// A primary that is back while a sentinel still names it serves what it knew
	// when it died. Machines take longer to come back than sentinels to agree.
	for _, sentinel := range s.sentinels {
		if err := s.names(ctx, sentinel, primaries[0]); err != nil {
			return err
		}
	}
	dead.Start()
	_, err = s.settled(ctx, s.nodes, len(s.nodes)-s.primaries)
	return err
}

// settled waits until there are as many primaries as there should be, and at
// least so many replicas that are connected to theirs.
func (s *redisSet) settled(ctx context.Context, nodes []*storetest.Redis, replicas int) ([]*storetest.Redis, error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var primaries []*storetest.Redis
		connected := 0
		for _, n := range nodes {
			role := tell(ctx, n, "ROLE")
			if strings.HasPrefix(role, "master") {
				primaries = append(primaries, n)
			} else if strings.Contains(role, "connected") {
				connected++
			}
		}
		if len(primaries) == s.primaries && connected >= replicas {
			return primaries, nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
	return nil, errors.New("redis does not settle")
}

// names waits until a sentinel names the primary.
func (s *redisSet) names(ctx context.Context, sentinel, primary *storetest.Redis) error {
	_, port, err := net.SplitHostPort(primary.Addr)
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if strings.Contains(tell(ctx, sentinel, "SENTINEL", "get-master-addr-by-name", "main"), port) {
			return nil
		}
		if !pause(ctx, 50*time.Millisecond) {
			return ctx.Err()
		}
	}
	return errors.New("the sentinels do not agree")
}

// tell sends a server a command and returns the reply, or what went wrong.
func tell(ctx context.Context, n *storetest.Redis, command ...string) string {
	host, port, err := net.SplitHostPort(n.Addr)
	if err != nil {
		return fmt.Sprint(err)
	}
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", host, "-p", port}, command...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(out)
}
