// Package oplog writes log lines for the operator at a bounded rate. It owns
// that a flood of one kind does not fill the log and that what is left out is
// counted in a line of its own; it leaves the words to its callers.
package oplog

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

const (
	// maxLines is how many lines of one kind are written in each window.
	maxLines = 10
	window   = time.Minute
)

// Log writes lines. A nil Log writes none.
type Log struct {
	to hclog.Logger

	mu    sync.Mutex
	kinds map[string]*kind
}

// kind counts the lines of one window, which begins with the first of them.
type kind struct {
	lines   int
	left    int // not written
	level   hclog.Level
	message string
	args    []any // of the line that counts what was left out
}

// New returns a Log that writes to logger.
func New(logger hclog.Logger) *Log { return &Log{to: logger, kinds: map[string]*kind{}} }

// Write writes a line, or counts it where maxLines of its kind were written in
// this window. A kind is the message and what: a tenant, a step, an error kind;
// never something that the sender of a request chooses, because each is kept
// for a window. args are those of hclog.
func (l *Log) Write(level hclog.Level, message string, what []any, args ...any) {
	if l == nil {
		return
	}
	if !l.count(level, message, what) {
		return
	}
	l.to.Log(level, message, append(append([]any{}, what...), args...)...)
}

// count reports whether the line is to be written.
func (l *Log) count(level hclog.Level, message string, what []any) bool {
	key := keyOf(message, what)
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kinds[key]
	if k == nil {
		k = &kind{level: level, message: message, args: what}
		l.kinds[key] = k
	}
	if k.lines < maxLines {
		k.lines++
		if k.lines == 1 {
			time.AfterFunc(window, func() { l.end(key) })
		}
		return true
	}
	k.left++
	return false
}

// end ends the window of a kind, and writes how many lines it left out.
func (l *Log) end(key string) {
	l.mu.Lock()
	k := l.kinds[key]
	delete(l.kinds, key)
	l.mu.Unlock()
	if k != nil && k.left > 0 {
		l.to.Log(k.level, k.message, append(append([]any{}, k.args...), "suppressed", k.left, "within", window)...)
	}
}

func keyOf(message string, what []any) string {
	key := message
	for _, w := range what {
		if s, ok := w.(string); ok {
			key += "\x00" + s
		}
	}
	return key
}
