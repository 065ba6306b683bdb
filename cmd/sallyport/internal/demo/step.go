package demo

import (
	"context"
	"fmt"
	"io"
	"time"
)

// step is one thing that must come out right. do returns what was seen.
type step struct {
	name string
	do   func(context.Context) (string, error)
}

// runSteps runs steps in order until one fails, and prints a line for each
// with its time, then a total.
func runSteps(ctx context.Context, out io.Writer, now func() time.Time, steps []step) error {
	width := 0
	for _, s := range steps {
		width = max(width, len(s.name))
	}
	start := now()
	for i, s := range steps {
		began := now()
		seen, err := s.do(ctx)
		took := milliseconds(now().Sub(began))
		if err != nil {
			fmt.Fprintf(out, "FAIL %s  %s\n     %v\n%d of %d steps passed in %s\n",
				took, s.name, err, i, len(steps), milliseconds(now().Sub(start)))
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "ok   %s  %-*s  %s\n", took, width, s.name, seen)
	}
	fmt.Fprintf(out, "all %d steps passed in %s\n", len(steps), milliseconds(now().Sub(start)))
	return nil
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%8.1f ms", float64(d)/float64(time.Millisecond))
}
