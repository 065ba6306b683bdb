//go:build !linux

package admin

import (
	"errors"
	"fmt"
	"net"
	"os"
)

// peer is not implemented for this platform, where the modes of the folder and
// of the socket say who may connect: the server's own user.
func peer(c net.Conn) (Actor, error) {
	if _, ok := c.(*net.UnixConn); !ok {
		return Actor{}, errors.New("not a unix socket")
	}
	return Actor{UID: os.Geteuid()}, nil
}

func reach(path string) (address string, release func(), err error) {
	if len(path) > maxAddress {
		return "", nil, fmt.Errorf("%s is too long for a unix socket; choose a path of at most %d characters", path, maxAddress)
	}
	return path, func() {}, nil
}
