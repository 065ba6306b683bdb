//go:build unix

package admin

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// checkFolder refuses a folder in which another user than uid could act; anyUser
// stands for the folder's owner.
func checkFolder(folder string, uid int) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", folder)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && uid != anyUser && int(stat.Uid) != uid {
		return fmt.Errorf("the folder %s belongs to uid %d; it must belong to this process's user (uid %d)", folder, stat.Uid, uid)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("the folder %s has mode %04o and is open to other users; run: chmod 700 %s (systemd: RuntimeDirectoryMode=0700)", folder, mode, folder)
	}
	return nil
}

// acquireLock takes the lock that a server holds as long as it listens.
func acquireLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("another server holds %s; stop that one, or choose another path", path)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// refused reports whether a socket is there and no process listens at it, or
// no socket can be there.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR)
}
