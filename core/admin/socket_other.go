//go:build !unix

package admin

import (
	"errors"
	"os"
)

func checkFolder(string, int) error { return errors.New("this platform has no admin socket") }

func acquireLock(string) (*os.File, error) {
	return nil, errors.New("this platform has no admin socket")
}

func refused(error) bool { return false }
