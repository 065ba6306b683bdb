//go:build unix

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// maxLinks is how many links a path may go through, as in the kernel.
const maxLinks = 40

// trusted reports whether only this process's user and root can decide what is
// at path: the error names the first file or folder with which another user
// could, and what to run.
func trusted(path string) error {
	at, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	for range maxLinks {
		if err := trustedFolders(filepath.Dir(at)); err != nil {
			return err
		}
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		if err := owned(at, info); err != nil {
			return err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			return closed(at, info)
		}
		target, err := os.Readlink(at)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(at), target)
		}
		at = target
	}
	return fmt.Errorf("%s goes through too many links", path)
}

// trustedFolders checks the folder of a file, and that no folder above lets
// every user put another one in its place. In a folder with the sticky bit,
// such as /tmp, users can replace only what is theirs.
func trustedFolders(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if err := owned(folder, info); err != nil {
		return err
	}
	for {
		if info.Mode()&fs.ModeSticky == 0 {
			if err := closed(folder, info); err != nil {
				return err
			}
		}
		above := filepath.Dir(folder)
		if above == folder {
			return nil
		}
		folder = above
		if info, err = os.Stat(folder); err != nil {
			return err
		}
	}
}

// owned refuses what belongs to another user.
func owned(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if own := os.Geteuid(); ok && int(stat.Uid) != own && stat.Uid != 0 {
		return fmt.Errorf("%s belongs to uid %d, who can change it: run: chown %d %s (or start as uid %d)", path, stat.Uid, own, path, stat.Uid)
	}
	return nil
}

// closed refuses what every user can write.
func closed(path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o002 != 0 {
		return fmt.Errorf("%s has mode %04o and every user can write it: run: chmod o-w %s", path, mode, path)
	}
	return nil
}

// readable returns a warning if other users can read a file with a secret:
// every user, or a group that this process does not belong to.
func readable(path string) []string {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	mode := info.Mode().Perm()
	if mode&0o004 != 0 {
		return []string{fmt.Sprintf("%s holds secrets and has mode %04o, so every user can read it: run: chmod o-r %s", path, mode, path)}
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if mode&0o040 == 0 || !ok {
		return nil
	}
	groups, err := os.Getgroups()
	if err == nil && !slices.Contains(append(groups, os.Getegid(), 0), int(stat.Gid)) {
		return []string{fmt.Sprintf("%s holds secrets and its group %d, which is not one of this process's, can read it: run: chmod g-r %s", path, stat.Gid, path)}
	}
	return nil
}
