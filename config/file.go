package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

const (
	maxFile  = 16 << 20         // bytes
	pipeWait = 10 * time.Second // how long the writer of a named pipe may take
)

// ReadFile reads a file that the configuration names, the file of the
// configuration itself among them: 16 MiB at most, so that a device without an
// end is an error. A named pipe is read for ten seconds at most, so that one
// without a writer is an error too and stops neither a start nor a reload.
func ReadFile(name string) ([]byte, error) { return readFile(name, pipeWait) }

func readFile(name string, wait time.Duration) ([]byte, error) {
	// Without O_NONBLOCK the open itself waits for a writer.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var text []byte
	if info.Mode()&fs.ModeNamedPipe != 0 {
		text, err = readPipe(f, wait)
	} else {
		text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, fmt.Errorf("%s is a pipe, and no process wrote and closed it within %s; name a file, or start the writer first", name, wait)
	case err != nil:
		return nil, err
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s is larger than %d MiB; name another file", name, maxFile>>20)
	}
	return text, nil
}

// readPipe reads to the end that the writer makes. Before there is a writer a
// pipe looks as if it had ended.
func readPipe(f *os.File, wait time.Duration) (text []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	end := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer end()
	for {
		text, err = io.ReadAll(io.LimitReader(f, maxFile+1))
		if err != nil || len(text) > 0 {
			return text, err
		}
		select {
		case <-ctx.Done():
			return nil, os.ErrDeadlineExceeded
		case <-time.After(10 * time.Millisecond):
		}
	}
}
