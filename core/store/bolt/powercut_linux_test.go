package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/store"
)

// cuts is how many moments a test cuts the power at.
const cuts = 100

// Power is cut at many moments while a process changes its store, and each time
// the file is what a disk may have made of it: what was synced is there, and of
// what was written since, each sector is old, new or neither. Whatever the
// process acknowledged before has to be there, and nothing that it never tried.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	events := powerTrace(t)
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(1, seed))
	for range cuts {
		at := random.IntN(len(events)) + 1
		if err := newDisk(events[:at]).check(t, random); err != nil {
			t.Fatalf("power cut after event %d of %d, seed %d: %v", at, len(events), seed, err)
		}
	}
}

// The same test of a process that does not sync the page that makes a commit
// count has to find that.
func TestPowerCutNoticesMissingSync(t *testing.T) {
	t.Parallel()
	events := powerTrace(t)
	random := rand.New(rand.NewPCG(1, 2))
	last := 0 // sync
	for at, e := range events {
		if e.kind == syncFile {
			last = at
		}
		// One of the first two pages makes it count. Where the next commit has begun
		// to write, it may have damaged what the one before it needs: that opens with
		// a panic, if at all.
		before, begun := events[max(last-1, 0)], slices.ContainsFunc(events[last+1:max(at, last+1)], func(e event) bool { return e.kind == write })
		if strings.HasPrefix(e.line, "did ") && before.kind == write && before.offset < 2*4096 && !begun {
			if newDisk(slices.Delete(slices.Clone(events[:at+1]), last, last+1)).check(t, random) != nil {
				return
			}
		}
	}
	t.Error("not one of the acknowledged changes was missed")
}

func powerTrace(t *testing.T) []event {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), powerEnv+"="+filepath.Join(dir, "state.db"))
	events := trace(t, dir, cmd)
	counts := map[kind]int{}
	for _, e := range events {
		counts[e.kind]++
	}
	if counts[write] == 0 || counts[printed] != 2*powerKeys*powerChanges {
		t.Fatalf("the trace lacks something: %v", counts)
	}
	return events
}

// disk is what a process's system calls leave behind.
type disk struct {
	names, maybe map[string]int // of files: synced with the folder, and given since
	files        map[int]*diskFile
	tried, done  map[string]int // changes by key
}

type diskFile struct {
	synced  []byte
	pending []event // writes since
}

func newDisk(events []event) *disk {
	d := &disk{names: map[string]int{}, maybe: map[string]int{}, files: map[int]*diskFile{}, tried: map[string]int{}, done: map[string]int{}}
	for _, e := range events {
		if d.files[e.file] == nil {
			d.files[e.file] = &diskFile{}
		}
		f := d.files[e.file]
		switch e.kind {
		case write, resize:
			f.pending = append(f.pending, e)
		case syncFile:
			for _, p := range f.pending {
				f.synced = p.apply(f.synced, func() fate { return taken })
			}
			f.pending = nil
		case link:
			d.maybe[filepath.Base(e.name)] = e.file
		case syncDir:
			maps.Copy(d.names, d.maybe)
		case printed:
			if word, key, _ := strings.Cut(e.line, " "); word == "try" {
				d.tried[key]++
			} else {
				d.done[key]++
			}
		}
	}
	return d
}

// fate is what became of a sector that was written and not synced.
type fate int

const (
	taken fate = iota
	dropped
	torn
)

// apply makes a write or a change of size to the bytes of a file.
func (e event) apply(content []byte, fateOf func() fate) []byte {
	if e.kind == resize {
		if grow := e.offset - int64(len(content)); grow > 0 && fateOf() == taken {
			content = append(content, make([]byte, grow)...)
		}
		return content
	}
	if grow := e.offset + int64(len(e.data)) - int64(len(content)); grow > 0 {
		content = append(content, make([]byte, grow)...)
	}
	at := content[e.offset:]
	for sector := range slices.Chunk(e.data, 512) {
		switch fateOf() {
		case taken:
			copy(at, sector)
		case torn:
			copy(at, bytes.Repeat([]byte{0xde}, len(sector)))
		}
		at = at[len(sector):]
	}
	return content
}

// check opens the store as it may be after the cut and compares it with what
// the process had said by then.
func (d *disk) check(t *testing.T, random *rand.Rand) (err error) {
	t.Helper()
	const name = "state.db"
	file, there := d.names[name]
	if !there && random.IntN(2) == 0 {
		file, there = d.maybe[name]
	}
	if !there {
		if len(d.done) > 0 {
			return errors.New("changes were acknowledged, and the file may not be there")
		}
		return nil
	}
	content := bytes.Clone(d.files[file].synced)
	// All of it arrived, or hardly anything, or about half.
	odds := []float64{0.02, 0.5, 0.98}[random.IntN(3)]
	for _, p := range d.files[file].pending {
		content = p.apply(content, func() fate {
			switch {
			case random.Float64() < odds:
				return taken
			case random.IntN(4) == 0:
				return torn
			default:
				return dropped
			}
		})
	}
	path := filepath.Join(t.TempDir(), name)
	if err := writeSparse(path, content); err != nil {
		t.Fatal(err)
	}
	store, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		return err
	}
	for n := range powerKeys {
		key := fmt.Sprint("k", n)
		if err := d.checkKey(t.Context(), store, key); err != nil {
			return errors.Join(err, store.Close())
		}
	}
	if err := errors.Join(store.Swap(t.Context(), "after", nil, []byte("v"), time.Hour), store.Close()); err != nil {
		return err
	}
	_, err = Verify(t.Context(), path)
	return errors.Join(err, os.Remove(path))
}

// checkKey finds the key as some change left it that was tried, and none before
// the last one that was acknowledged.
func (d *disk) checkKey(ctx context.Context, s *Driver, key string) error {
	got, err := s.Get(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for n := d.done[key]; n <= d.tried[key]; n++ {
		if want := powerValue(key, n); bytes.Equal(got, want) {
			return nil
		}
	}
	return fmt.Errorf("%s has %.20q… of %d bytes after %d changes acknowledged and %d tried", key, got, len(got), d.done[key], d.tried[key])
}

func writeSparse(path string, content []byte) error {
	size := int64(len(content))
	content = bytes.TrimRight(content, "\x00")
	return errors.Join(os.WriteFile(path, content, 0o600), os.Truncate(path, size))
}
