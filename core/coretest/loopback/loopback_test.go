package loopback

import (
	"net"
	"testing"
)

func TestNobodyGetsAnAddressTwice(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	t.Run("", func(t *testing.T) {
		for range 500 {
			addr := Free(t)
			if seen[addr] {
				t.Fatalf("%s was given twice", addr)
			}
			seen[addr] = true
		}
	})
	// What is given can be listened on, again and again.
	addr := Free(t)
	for range 2 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
}
