//go:build faults

package main

import (
	"context"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/core/upstream"
)

// newFaults reads from the environment what is to go wrong:
//
//	FAULT_CLOCK=FILE      the clock is ahead by the duration that the file holds now
//	FAULT_KILL=unkept     SIGKILL when the upstream has answered a refresh, before
//	                      the answer is kept
//	FAULT_KILL=kept       SIGKILL when the answer is kept, before it is read
//
// SIGUSR1 kills the process by SIGKILL at the first moment at which no
// conversation about a refresh is under way: between a request to the upstream
// and its answer being kept is the one moment that nobody can make safe, see
// "What is lost when a process dies?" in core/RATIONALE.md. Everything else is
// cut off wherever it is, a conversation's outcome before it is written included.
func newFaults(environ []string) faults {
	f := faults{}
	k := &killer{}
	for _, pair := range environ {
		if file, ok := strings.CutPrefix(pair, "FAULT_CLOCK="); ok {
			f.now = func() time.Time { return time.Now().Add(ahead(file)) }
		}
		if point, ok := strings.CutPrefix(pair, "FAULT_KILL="); ok {
			k.point = point
		}
	}
	f.wrap = func(p upstream.Provider) upstream.Provider { return &mortal{p, k} }
	ordered := make(chan os.Signal, 1)
	signal.Notify(ordered, syscall.SIGUSR1)
	go func() {
		<-ordered
		k.window.Lock() // waits for conversations, and lets no other begin
		die()
	}()
	return f
}

// ahead reads a duration from a file, which a test replaces as a whole.
func ahead(file string) time.Duration {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// die does not return.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

type killer struct {
	point  string
	window sync.RWMutex
}

// mortal is a provider during whose refreshes the process can die.
type mortal struct {
	upstream.Provider
	*killer
}

func (m *mortal) Refresh(ctx context.Context, req upstream.RefreshRequest) (*upstream.Credential, error) {
	m.window.RLock()
	defer m.window.RUnlock()
	req.Journal = &mortalJournal{req.Journal, m.killer}
	return m.Provider.Refresh(ctx, req)
}

// mortalJournal is a journal at which the process can die.
type mortalJournal struct {
	upstream.Journal
	*killer
}

func (j *mortalJournal) Keep(ctx context.Context, answers []byte) error {
	if j.point == "unkept" {
		die()
	}
	err := j.Journal.Keep(ctx, answers)
	if err == nil && j.point == "kept" {
		die()
	}
	return err
}
