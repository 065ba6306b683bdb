package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// The test binary is the other process of some tests: the value is the file to
// open.
const (
	childEnv = "SALLYPORT_BOLT_TEST_CHILD"
	powerEnv = "SALLYPORT_BOLT_TEST_POWER"
	fullEnv  = "SALLYPORT_BOLT_TEST_FULL"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(child(path, writeUntilKilled))
	}
	if path := os.Getenv(powerEnv); path != "" {
		os.Exit(child(path, changeAFewKeys))
	}
	if path := os.Getenv(fullEnv); path != "" {
		os.Exit(child(path, fillTheDisk))
	}
	os.Exit(m.Run())
}

func child(path string, do func(context.Context, *Driver) error) int {
	d, err := Open(context.Background(), Config{Path: path})
	if err == nil {
		err = errors.Join(do(context.Background(), d), d.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// writeUntilKilled writes a key after the other, and prints the number of each
// as soon as it is acknowledged.
func writeUntilKilled(ctx context.Context, d *Driver) error {
	for n := 0; ; n++ {
		if err := d.Swap(ctx, fmt.Sprint("k", n), nil, fmt.Append(nil, n), time.Hour); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// fillTheDisk writes until the disk is full, which a limit on the size of files
// stands for, and goes on when it is not any more.
func fillTheDisk(ctx context.Context, d *Driver) error {
	signal.Ignore(syscall.SIGXFSZ) // then a write fails as it does on a full disk
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	full := before
	full.Cur = 20 << 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		return err
	}
	value := make([]byte, 1<<20)
	n := 0
	var failed error
	for ; n < 100 && failed == nil; n++ {
		failed = d.Swap(ctx, fmt.Sprint("k", n), nil, value, time.Hour)
	}
	if failed == nil || errors.Is(failed, store.ErrConflict) {
		return fmt.Errorf("after %d values: %v", n, failed) //nolint:errorlint // it may be none
	}
	for range 2 { // and while it is full
		if err := d.Swap(ctx, "more", nil, value, time.Hour); err == nil || errors.Is(err, store.ErrConflict) {
			return fmt.Errorf("on a full disk: %v", err) //nolint:errorlint // it may be none
		}
		for i := range n - 1 {
			if _, err := d.Get(ctx, fmt.Sprint("k", i)); err != nil {
				return err
			}
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return err
	}
	return d.Swap(ctx, "more", nil, value, time.Hour)
}

// How many keys changeAFewKeys changes, and how often each.
const (
	powerKeys    = 6
	powerChanges = 16
)

// changeAFewKeys makes changes to some keys at the same time. It prints "try"
// and the key before each and "did" and the key after.
func changeAFewKeys(ctx context.Context, d *Driver) error {
	var workers sync.WaitGroup
	var errs [powerKeys]error
	for n := range errs {
		workers.Go(func() {
			key := fmt.Sprint("k", n)
			for i := range powerChanges {
				_, err1 := os.Stdout.WriteString("try " + key + "\n")
				err2 := d.Swap(ctx, key, powerValue(key, i), powerValue(key, i+1), time.Hour)
				_, err3 := os.Stdout.WriteString("did " + key + "\n")
				if errs[n] = errors.Join(err1, err2, err3); errs[n] != nil {
					return
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(errs[:]...)
}

// powerValue is what a key holds after n changes: nothing every fourth time,
// else a value of its own, now and then one of several pages.
func powerValue(key string, n int) []byte {
	if n%4 == 0 {
		return nil
	}
	return []byte(strings.Repeat(fmt.Sprintf("%s has changed %d times. ", key, n), 1+37*(n%7)))
}
