package main

import (
	"errors"
	"net"
	"testing"
	"time"
)

// TestRefusedConnectionsFindTheListenerClosed: what connected before is
// accepted, and what connects after is not connected to a listener that closes.
func TestRefusedConnectionsFindTheListenerClosed(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", ":0"} {
		l, err := listen(t.Context(), address, "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		to := l.Addr().String()
		before, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = before.Close() }()
		if err := refuseConnections(l); err != nil {
			t.Fatal(err)
		}
		// The kernel itself would complete the handshake.
		after, err := net.DialTimeout("tcp", to, 500*time.Millisecond)
		if !isTimeout(err) {
			t.Errorf("%s: a connection after: %v", address, err)
		}
		if after != nil {
			_ = after.Close()
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatalf("%s: the connection from before: %v", address, err)
		}
		if _, err := before.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if n, err := accepted.Read(make([]byte, 1)); n != 1 {
			t.Errorf("%s: the connection from before: %v", address, err)
		}
		_ = accepted.Close()
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
