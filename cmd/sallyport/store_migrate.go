package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/replica"
	"github.com/sallyport/sallyport/core/store"
)

// copiers is how many records are written at the same time: a bolt store writes
// them with one sync, a Redis has about as many connections.
const copiers = 64

func storeMigrateCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate FROM TO",
		Short: "Copy everything from one store to another",
		Long: "Migrate copies every record, with the time that is left until it expires, and then\n" +
			"reads all of it back. FROM and TO are addresses as the key store takes them, with\n" +
			"${env:NAME} and ${file:/path} for what should not stand on a command line. Stop all\n" +
			"servers first; FROM stays as it is. Nobody has to log in again, if the keys stay\n" +
			"the same and the server is started with TO.\n\n" +
			"TO has to be empty. With --merge it need not be: records that are there already\n" +
			"stay, and those that differ are an error. So a migration that was interrupted is\n" +
			"run again with --merge.",
		Example: "  sallyport store migrate bolt:///var/lib/sallyport/state.db \\\n" +
			"      'rediss://sallyport:${env:REDIS_PASSWORD}@redis.example.com:6379/0'",
		Args: cobra.ExactArgs(2),
	}
	m := migration{now: sys.faults.clock()}
	m.p = newProgress(sys.err, m.now)
	cmd.Flags().BoolVar(&m.merge, "merge", false, "copy into a store that has records")
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error {
		addresses, err := storeAddresses(args, sys.environ)
		if err != nil {
			return err
		}
		done, err := m.between(cmd.Context(), addresses[0], addresses[1])
		m.p.end()
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), done)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s copied; %s read back, %s bytes\n",
			counted(done.Copied, "record"), grouped(done.Verified), grouped(done.Bytes))
		return err
	})
	return cmd
}

func storeAddresses(args, environ []string) (all []config.Secret, err error) {
	for _, arg := range args {
		address, fault := config.StoreAddress(arg, environ)
		if fault != nil {
			fault = fmt.Errorf("store %d: %w", len(all)+1, fault)
		}
		all, err = append(all, address), errors.Join(err, fault)
	}
	if err == nil && all[0].Reveal() == all[1].Reveal() {
		err = errors.New("both addresses are the same")
	}
	return all, err
}

// migrated is what a migration did.
type migrated struct {
	Copied   int64 `json:"copied"`
	Verified int64 `json:"verified"` // read back from the target, also what was there before
	Bytes    int64 `json:"bytes"`    // of their keys and values
}

type migration struct {
	merge bool
	now   func() time.Time
	p     *progress
}

func (m *migration) between(ctx context.Context, from, to config.Secret) (done migrated, err error) {
	source, err := openExisting(ctx, from)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := openDriver(ctx, to, nil)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	exporter, ok := source.(store.Exporter)
	if !ok {
		return done, errors.New("the source cannot be read out")
	}
	done, err = m.run(ctx, exporter, target)
	if errors.Is(err, errInterrupted) {
		err = fmt.Errorf("%w; what is copied stays: run it again with --merge", err)
	}
	return done, err
}

// errNotEmpty ends a scan at the first key.
var errNotEmpty = errors.New("the target has records already; with --merge what is there stays")

// errInterrupted is that of a migration that copied a part.
var errInterrupted = errors.New("what is copied stays")

// interrupted is an error that is errInterrupted as well.
type interrupted struct{ error }

// Is makes it errInterrupted.
func (interrupted) Is(target error) bool { return target == errInterrupted }

// Unwrap returns what went wrong.
func (i interrupted) Unwrap() error { return i.error }

func (m *migration) run(ctx context.Context, source store.Exporter, to store.Driver) (done migrated, err error) {
	if !m.merge {
		if err := to.Scan(ctx, "", func(key string) error {
			if key == replica.Key {
				return nil // what servers say of themselves belongs to no login
			}
			return errNotEmpty
		}); err != nil {
			return done, err
		}
	}
	var copied, verified, size atomic.Int64
	err = m.each(ctx, source, func(ctx context.Context, r dated) error {
		fresh, err := m.copyTo(ctx, r, to)
		if fresh {
			copied.Add(1)
		}
		m.p.say("%s copied", counted(copied.Load(), "record"))
		return err
	})
	if err != nil && !m.merge {
		return done, interrupted{err}
	}
	if err != nil {
		return done, err
	}
	err = m.each(ctx, source, func(ctx context.Context, r dated) error {
		found, err := m.isIn(ctx, r, to)
		if found {
			verified.Add(1)
			size.Add(int64(len(r.Key) + len(r.Value)))
		}
		m.p.say("%s read back", counted(verified.Load(), "record"))
		return err
	})
	return migrated{Copied: copied.Load(), Verified: verified.Load(), Bytes: size.Load()}, err
}

// dated is a record that was read at some moment.
type dated struct {
	store.Record
	expires time.Time
}

// each calls f for all records of a source, for many at the same time, and
// returns the first error.
func (m *migration) each(ctx context.Context, source store.Exporter, f func(context.Context, dated) error) error {
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(copiers)
	err := source.Export(ctx, func(r store.Record) error {
		if r.Key == replica.Key {
			return nil
		}
		workers.Go(func() error { return f(ctx, dated{r, m.now().Add(r.TTL)}) })
		return ctx.Err()
	})
	if failed := workers.Wait(); failed != nil {
		return failed
	}
	return err
}

// copyTo stores the record unless it is there already, and tells whether it did.
func (m *migration) copyTo(ctx context.Context, r dated, to store.Driver) (fresh bool, err error) {
	left := r.expires.Sub(m.now())
	if left <= 0 {
		return false, nil
	}
	err = to.Swap(ctx, r.Key, nil, r.Value, left)
	if errors.Is(err, store.ErrConflict) {
		_, err = m.isIn(ctx, r, to)
		return false, err
	}
	return err == nil, err
}

// isIn reads the record back. One that expires in a moment may be gone.
func (m *migration) isIn(ctx context.Context, r dated, to store.Driver) (found bool, err error) {
	held, err := to.Get(ctx, r.Key)
	switch {
	case errors.Is(err, store.ErrNotFound) && r.expires.Sub(m.now()) < 2*time.Second:
		return false, nil
	case errors.Is(err, store.ErrNotFound):
		return false, fmt.Errorf("the record %s is not in the target", r.Key)
	case err != nil:
		return false, err
	case !bytes.Equal(held, r.Value):
		return false, fmt.Errorf("the record %s is another one in the target, where it stays", r.Key)
	}
	return true, nil
}
