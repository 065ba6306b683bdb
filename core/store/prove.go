package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/core/seal"
)

// Checker is what a Driver may be besides: one that can tell, before anything
// is served, what will go wrong with its engine as it is set up.
type Checker interface {
	// Check returns an error if the engine is not the one that was asked for,
	// and warnings about settings that lose records. The error says what to
	// write instead.
	Check(ctx context.Context) (warnings []string, err error)
}

// Explainer is a Driver that can say what an error of its engine means for the
// operator.
type Explainer interface {
	Explain(err error) error
}

// proofs is how many records Prove writes: of a cluster of three they are all
// on one node once in two thousand times.
const proofs = 8

// Prove shows that a driver can do what serving needs: it writes records,
// reads, changes and deletes them, and has the driver check itself.
func Prove(ctx context.Context, d Driver) (warnings []string, err error) {
	if c, ok := d.(Checker); ok {
		if warnings, err = c.Check(ctx); err != nil {
			return warnings, err
		}
	}
	for range proofs {
		if err := proveOne(ctx, d); err != nil {
			if e, ok := d.(Explainer); ok {
				err = e.Explain(err)
			}
			return warnings, fmt.Errorf("the store cannot be used: %w", err)
		}
	}
	return warnings, nil
}

func proveOne(ctx context.Context, d Driver) error {
	key, first, second := "probe/"+seal.RandomID(9), []byte("1"), []byte("2")
	if err := d.Swap(ctx, key, nil, first, time.Minute); err != nil {
		return err
	}
	if err := d.Swap(ctx, key, first, second, time.Minute); err != nil {
		return err
	}
	held, err := d.Get(ctx, key)
	if err != nil {
		return err
	}
	taken, err := d.Take(ctx, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(held, second) || !bytes.Equal(taken, second) {
		return errors.New("a record that was just written reads back as another one")
	}
	return nil
}
