package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// lockTimeout is how long Open waits for another process to let go of the file.
const lockTimeout = time.Second

// ErrHeld says that another process has the file open.
var ErrHeld = errors.New("held by another sallyport process")

// options are those that bbolt opens a store with. Syncs are left on: every
// commit writes its pages, syncs, writes the page that makes them count, and
// syncs again, so a cut of power at any moment leaves the last commit or the one
// before it.
func options() *bbolt.Options {
	return &bbolt.Options{
		Timeout: lockTimeout,
		// The default is searched page by page for a place to write to, which a
		// store that deletes as much as it writes would feel first.
		FreelistType: bbolt.FreelistMapType,
		// Else every commit writes down all free pages, which are megabytes after a
		// sweep: with half of a million records expired a Swap took 70 ms, and takes
		// 1 ms like this. The price is that Open looks at every page to find the
		// free ones: two seconds for a million records.
		NoFreelistSync: true,
		// Address space, not memory. A file that outgrows its mapping is mapped
		// anew, which waits for all readers, and a backup is a long one.
		InitialMmapSize: 1 << 30,
	}
}

func open(path string) (*bbolt.DB, error) {
	if path == "" {
		return nil, errors.New("no file named; give the path of the store's file, such as /var/lib/sallyport/state.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("the folder of %s cannot be made: %w; name a folder this user may write to", path, err)
	}
	if err := create(path); err != nil {
		return nil, explain(path, err)
	}
	if err := whole(path); err != nil {
		return nil, explain(path, err)
	}
	db, err := bbolt.Open(path, 0o600, options())
	if err != nil {
		return nil, explain(path, err)
	}
	if err := addBuckets(db); err != nil {
		return nil, errors.Join(explain(path, err), db.Close())
	}
	return db, nil
}

// create makes an empty file if there is none yet. bbolt would make it in place,
// and power cut off meanwhile leaves a file that is no store. So it is made
// under another name, and gets its own when it is whole; whoever is first wins.
// The folder is synced because the name is in there.
func create(path string) (err error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it, bbolt finds out
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	if err := temp.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(temp.Name(), 0o600, options())
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	// Where a file cannot have two names it is made in place after all.
	_ = os.Link(temp.Name(), path)
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// whole checks that a file is as long as it says, since bbolt would be killed by
// a signal where it ends too early. Copies that were cut off look like that.
func whole(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is %v", info.Mode())
	case info.Size() == 0: // bbolt makes a store of it
		return nil
	}
	o := options()
	o.ReadOnly = true
	db, err := bbolt.Open(path, 0, o)
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: it ends after %d of %d bytes", bbolterrors.ErrInvalid, info.Size(), tx.Size())
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// addBuckets makes the buckets of a new file; for others it writes nothing.
func addBuckets(db *bbolt.DB) error {
	err := db.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(records) != nil && tx.Bucket(expiry) != nil {
			return errUnchanged
		}
		_, err1 := tx.CreateBucketIfNotExists(records)
		_, err2 := tx.CreateBucketIfNotExists(expiry)
		return errors.Join(err1, err2)
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

func explain(path string, err error) error {
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return fmt.Errorf("%s is %w%s: stop that one, or give this one a file of its own (or a Redis to share)", path, ErrHeld, holder(path))
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrVersionMismatch), errors.Is(err, bbolterrors.ErrChecksum):
		return fmt.Errorf("%s is not a store file: %w; name one that sallyport wrote, or one that does not exist yet", path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be read and written by this user: %w; it should belong to this user with mode 0600", path, err)
	default:
		return fmt.Errorf("%s cannot be opened: %w; it should be a regular file on a local disk", path, err)
	}
}
