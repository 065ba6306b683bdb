package bolt

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/store/storetest"
)

func TestDriver(t *testing.T) {
	c := newClock()
	storetest.Run(t, storetest.Engine{
		Open:    func(t *testing.T) store.Driver { return mustOpen(t, newPath(t), c) },
		Advance: c.advance,
	})
}

func TestSurvivesClose(t *testing.T) {
	path, c := newPath(t), newClock()
	d := mustOpen(t, path, c)
	swap(t, d, "stays", nil, "v", time.Hour)
	swap(t, d, "goes", nil, "v", time.Minute)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Minute) // time passes for a closed store as well
	d = mustOpen(t, path, c)
	if got, err := d.Get(t.Context(), "stays"); err != nil || string(got) != "v" {
		t.Errorf("Get = %q, %v", got, err)
	}
	if _, err := d.Get(t.Context(), "goes"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of what expired meanwhile: %v", err)
	}
}

// What was acknowledged survives SIGKILL in the middle of the next write, and
// the lock does not.
func TestSurvivesCrash(t *testing.T) {
	path := newPath(t)
	cmd, lines := startChild(t, path)
	acknowledged := -1
	for lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
			t.Fatal(err)
		}
		if acknowledged == 50 {
			_ = cmd.Process.Kill() // the loop reads on what it printed before it died
		}
	}
	if acknowledged < 50 {
		t.Fatalf("the child ended after %d writes", acknowledged+1)
	}
	d, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for n := range acknowledged + 1 {
		if got, err := d.Get(t.Context(), fmt.Sprint("k", n)); err != nil || string(got) != fmt.Sprint(n) {
			t.Errorf("Get(k%d) = %q, %v", n, got, err)
		}
	}
}

// A full disk refuses changes, loses nothing, and is used again when it has
// space.
func TestFullDisk(t *testing.T) {
	path := newPath(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fullEnv+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n, err := Verify(t.Context(), path); err != nil || n < 5 {
		t.Errorf("Verify = %d, %v", n, err)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	path := newPath(t)
	other, lines := startChild(t, path)
	if !lines.Scan() {
		t.Fatal("the other process does not open the file")
	}
	before := time.Now()
	_, err := Open(t.Context(), Config{Path: path})
	if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), path) {
		t.Errorf("Open = %v; want an error that names the file and the other process", err)
	}
	if pid := fmt.Sprintf("(pid %d)", other.Process.Pid); runtime.GOOS == "linux" && !strings.Contains(err.Error(), pid) {
		t.Errorf("Open = %v; want %s in it", err, pid)
	}
	if took := time.Since(before); took > time.Minute {
		t.Errorf("Open took %v to refuse", took)
	}
}

func TestOpenMakesFileAndFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "state.db")
	mustOpen(t, path, newClock())
	for name, want := range map[string]fs.FileMode{
		path:                             0o600,
		filepath.Dir(path):               0o700 | fs.ModeDir,
		filepath.Dir(filepath.Dir(path)): 0o700 | fs.ModeDir,
	} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("mode of %s is %v, want %v", name, info.Mode(), want)
		}
	}
}

// An empty file, as mktemp or a mount leaves it, becomes a store.
func TestOpenTakesAnEmptyFile(t *testing.T) {
	path := newPath(t)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	swap(t, mustOpen(t, path, newClock()), "k", nil, "v", time.Hour)
}

func TestOpenErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, path, want string }{
		{"a text", file("text", strings.Repeat("listen: 8080\n", 1000)), "is not a store file"},
		{"a few bytes", file("short", "x"), "is not a store file"},
		{"a copy that was cut off", cutOff(t, filepath.Join(dir, "cut")), "it ends after"},
		{"a folder", dir, "should be a regular file"},
		{"below a file", filepath.Join(file("plain", ""), "state.db"), "name a folder"},
		{"no name", "", "give the path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(t.Context(), Config{Path: c.path})
			if err == nil || !strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open(%q) = %v; want %q", c.path, err, c.want)
			}
		})
	}
}

// cutOff makes a store of some records and leaves its first half.
func cutOff(t *testing.T, path string) string {
	t.Helper()
	d, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		swap(t, d, fmt.Sprint("k", n), nil, strings.Repeat("v", 4096), time.Hour)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 200<<10); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeysOfBadLength(t *testing.T) {
	d := mustOpen(t, newPath(t), newClock())
	for _, key := range []string{"", strings.Repeat("k", maxKey+1)} {
		err := d.Swap(t.Context(), key, nil, []byte("v"), time.Hour)
		if err == nil || !strings.Contains(err.Error(), "1 to 1024") {
			t.Errorf("Swap of a key of %d bytes: %v", len(key), err)
		}
		if _, err := d.Take(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Take of a key of %d bytes: %v", len(key), err)
		}
	}
}

// Closing under load neither hangs nor loses what it acknowledged.
func TestCloseUnderLoad(t *testing.T) {
	path, c := newPath(t), newClock()
	d := mustOpen(t, path, c)
	var writers sync.WaitGroup
	var acknowledged [8]int
	started := make(chan struct{}, len(acknowledged))
	for w := range acknowledged {
		writers.Go(func() {
			for n := 0; ; n++ {
				if err := d.Swap(t.Context(), fmt.Sprint(w, "/", n), nil, []byte("v"), time.Hour); err != nil {
					if errors.Is(err, store.ErrConflict) {
						t.Errorf("after Close: %v", err)
					}
					acknowledged[w] = n
					return
				}
				if n == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	for range acknowledged {
		<-started
	}
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	d = mustOpen(t, path, c)
	for w, n := range acknowledged {
		for i := range n {
			if _, err := d.Get(t.Context(), fmt.Sprint(w, "/", i)); err != nil {
				t.Errorf("acknowledged, but: %v", err)
			}
		}
	}
}

// startChild starts this test binary as another process on the file.
func startChild(t *testing.T, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // killed, which Wait calls an error
	})
	return cmd, bufio.NewScanner(out)
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "state.db") }

func mustOpen(t testing.TB, path string, c *clock) *Driver {
	t.Helper()
	d, err := Open(t.Context(), Config{Path: path, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func swap(t testing.TB, d *Driver, key string, old []byte, new string, ttl time.Duration) {
	t.Helper()
	if err := d.Swap(t.Context(), key, old, []byte(new), ttl); err != nil {
		t.Fatalf("Swap(%q): %v", key, err)
	}
}

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func BenchmarkGet(b *testing.B) { storetest.BenchmarkGet(b, mustOpen(b, newPath(b), newClock())) }

func BenchmarkSwap(b *testing.B) { storetest.BenchmarkSwap(b, mustOpen(b, newPath(b), newClock())) }

// BenchmarkMillion takes minutes and two gigabytes of disk.
func BenchmarkMillion(b *testing.B) {
	if !*million {
		b.Skip("see -million")
	}
	path, c := newPath(b), newClock()
	d := mustOpen(b, path, c)
	storetest.Million(b, d, func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		return info.Size()
	})
	swaps := func(unit string) {
		began := time.Now()
		for n := range 100 {
			swap(b, d, fmt.Sprint(unit, n), nil, "v", time.Hour)
		}
		b.ReportMetric(time.Since(began).Seconds()*10, unit)
	}
	swaps("ms/swap-before-sweep")
	c.advance(31 * time.Minute)
	began, batches := time.Now(), 0
	for n := sweepBatch; n == sweepBatch; batches++ {
		var err error
		if n, err = d.sweepOnce(sweepBatch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/sweep")
	b.ReportMetric(time.Since(began).Seconds()*1000/float64(batches), "ms/sweep-batch")
	swaps("ms/swap-after-sweep")
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	began = time.Now()
	mustOpen(b, path, c)
	b.ReportMetric(time.Since(began).Seconds(), "s/open")
}

var million = flag.Bool("million", false, "measure a store of a million records")
