// Package loopback gives tests addresses for servers that have to know theirs
// before they listen. A server that can say where it listens takes port 0 and
// does without.
package loopback

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports from first on are below those that systems give to outgoing connections
// and to port 0, so nobody takes one by chance while a server is restarted. A
// Redis cluster's bus listens busOffset above its server.
const (
	first, count = 10_000, 10_000
	busOffset    = 10_000
)

// Free returns an address for a TCP server that is the test's until it ends,
// with a port for a bus above. No other caller gets it meanwhile, in whichever
// process: the UDP port of the same number is held as the sign.
func Free(t testing.TB) string {
	t.Helper()
	for range count {
		port := first + rand.N(count)
		claim, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", address(port))
		if err != nil {
			continue
		}
		if !listens(t, port) && !listens(t, port+busOffset) {
			t.Cleanup(func() { _ = claim.Close() })
			return address(port)
		}
		_ = claim.Close()
	}
	t.Fatalf("no port from %d to %d is free", first, first+count-1)
	return ""
}

// listens tells whether there is a server already.
func listens(t testing.TB, port int) bool {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address(port))
	if err != nil {
		return true
	}
	_ = l.Close()
	return false
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
