package admin

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// peer returns the process at the other end of a connection, as the kernel
// reports it (SO_PEERCRED, see unix(7)).
func peer(c net.Conn) (Actor, error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Actor{}, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return Actor{}, err
	}
	var cred *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, failed); err != nil {
		return Actor{}, err
	}
	return Actor{UID: int(cred.Uid)}, nil
}

// reach returns an address by which the socket at path can be bound and
// connected to until release is called. A longer path than an address can hold
// is reached through its folder's descriptor.
func reach(path string) (address string, release func(), err error) {
	if len(path) <= maxAddress {
		return path, func() {}, nil
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)), func() { _ = folder.Close() }, nil
}
