package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress tells people that something long goes on: in one line that changes
// on a terminal, in a line now and then elsewhere, such as in a log.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	mu       sync.Mutex
	last     time.Time
	shown    bool // a line on the terminal that is not finished
}

func newProgress(w io.Writer, now func() time.Time) *progress {
	p := &progress{w: w, now: now, last: now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// say shows how far it is, if it is time to.
func (p *progress) say(format string, args ...any) {
	every := 10 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	if p.terminal {
		fmt.Fprintf(p.w, "\r"+format+"\x1b[K", args...)
		p.shown = true
		return
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

// end clears the line on a terminal: what came of it is printed by the command.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
