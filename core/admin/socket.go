package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// maxAddress is how long the path of a unix socket may be on every platform.
const maxAddress = 100

// Socket is an open admin socket.
type Socket struct {
	net.Listener
	path  string
	close func() error
}

// Path returns where the socket is.
func (s *Socket) Path() string { return s.path }

// Close closes the socket and removes its file. It may be called twice.
func (s *Socket) Close() error { return s.close() }

// Listen opens a socket at path, mode 0600. It makes the folder if that is
// missing, but nothing above it. The folder must belong to this process's user
// and have mode 0700, so that no other user can connect or put a socket of
// their own in its place. A socket that a server left behind is replaced if
// no server answers at it.
func Listen(ctx context.Context, path string) (*Socket, error) {
	folder := filepath.Dir(path)
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("the folder %s cannot be made: %w; make it, or choose another one", folder, err)
	}
	if err := checkFolder(folder, os.Geteuid()); err != nil {
		return nil, err
	}
	lock, err := acquireLock(path + ".lock")
	if err != nil {
		return nil, err
	}
	address, release, err := reach(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	defer release()
	l, err := replace(ctx, path, address)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Socket{l, path, sync.OnceValue(func() error {
		return errors.Join(l.Close(), os.Remove(path), lock.Close())
	})}, nil
}

// anyUser is a uid that stands for every user.
const anyUser = -1

// Check reports what would keep Listen from opening a socket at path, as far as
// can be seen without making anything. A server that answers there is no fault.
// To root a folder of any user will do: the server need not run as root.
func Check(path string) error {
	uid := os.Geteuid()
	if uid == 0 {
		uid = anyUser
	}
	if err := checkFolder(filepath.Dir(path), uid); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, err := socketAt(path)
	return err
}

// socketAt reports whether there is a socket at path. Anything else there is an
// error.
func socketAt(path string) (bool, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != fs.ModeSocket:
		return false, fmt.Errorf("%s is not a socket; remove it, or choose another path", path)
	}
	return true, nil
}

// replace listens at address, which is another name of path.
func replace(ctx context.Context, path, address string) (*net.UnixListener, error) {
	there, err := socketAt(path)
	if err != nil {
		return nil, err
	}
	if there {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if c, err := (&net.Dialer{}).DialContext(ctx, "unix", address); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("another server answers at %s; stop that one, or choose another path", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by its path, in Socket.Close
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// dial connects to the socket at path. The error is ErrNoServer where no server
// listens.
func dial(ctx context.Context, path string) (net.Conn, error) {
	address, release, err := reach(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w %s: %w", ErrNoServer, path, err)
	}
	if err != nil {
		return nil, err
	}
	defer release()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", address)
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, fs.ErrNotExist), refused(err):
		return nil, fmt.Errorf("%w %s", ErrNoServer, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the admin socket %s is for the server's user and root: run this as one of them", path)
	}
	return nil, fmt.Errorf("the admin socket %s: %w", path, err)
}
