package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"

	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/upstream"
)

const (
	// maxQueued is how many lines wait for a log that takes none. Lines beyond
	// it are counted, and the count is a line of its own.
	maxQueued = 8192
	// maxBatch is how many lines one write has at most.
	maxBatch = 256
	// stallTime is how long a write may take before the log counts as failing.
	stallTime = 5 * time.Second
	// retryPause is the time between two attempts at a log that fails.
	retryPause = time.Second
	// tellPause is the time between two reports of the same failure.
	tellPause = time.Minute
	// maxField bounds each text of a line, in bytes: some of them come from
	// upstreams and clients.
	maxField = 512
)

// ErrUnavailable says that audit lines are required and cannot be written.
var ErrUnavailable = errors.New("audit: lines cannot be written, and audit_required is set")

// Config is what a Log is made of. Only Out is required.
type Config struct {
	Out io.Writer
	// Writer names this process in its lines, beside their number. Empty: a
	// random name.
	Writer string
	// Required makes Check fail while lines cannot be written.
	Required bool
	// Notify is told when writing fails, again every minute while it does, and
	// with a zero Failing when lines are written again. It is never called by
	// the goroutine of a request.
	Notify func(Status)
	Now    func() time.Time // nil: time.Now
}

// Status is how a Log is doing.
type Status struct {
	Failing error  // why lines are not written now; nil: they are
	Queued  int    // lines that wait
	Written uint64 // lines, since the start
	Dropped uint64 // lines that never will be written, since the start
}

// Log writes events as lines: each with the name of its writer and a number
// that goes up by one, so that a missing line is seen. Recording never waits
// for the log: lines are queued, and a goroutine that is there while there are
// some writes them. A nil Log drops all events.
type Log struct {
	cfg      Config
	refusals *throttle

	mu      sync.Mutex
	out     io.Writer
	queue   []entry       // oldest first
	omitted uint64        // lines that found no place since the last that says so
	done    chan struct{} // closed when the goroutine that writes ends; nil: there is none
	wake    chan struct{} // ends the pause of that goroutine
	seq     uint64        // of the line written last
	torn    bool          // the last write ended within a line
	status  Status
	told    time.Time // when Notify was called last, zero: all is well
}

// entry is a line that waits.
type entry struct {
	at      time.Time
	seq     uint64 // 0: not tried yet
	request string
	Event
}

// New returns a Log.
func New(c Config) *Log {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Writer == "" {
		c.Writer = seal.RandomID(9)
	}
	if c.Notify == nil {
		c.Notify = func(Status) {}
	}
	l := &Log{cfg: c, out: c.Out, wake: make(chan struct{}, 1)}
	l.refusals = newThrottle(c.Now, func(e Event) { l.add(entry{at: c.Now(), Event: e}) })
	return l
}

// Record queues e with the time and the id of the request it was made in.
func (l *Log) Record(ctx context.Context, e Event) {
	if l != nil {
		l.add(entry{at: l.cfg.Now(), request: middleware.GetReqID(ctx), Event: e})
	}
}

// Refuse is Record for refusals, of which a sender can cause any number: of
// those with the same action, tenant, grant and sender ten a minute become a
// line each, and the rest one line with their number. sender is the address of
// a request, with its port.
func (l *Log) Refuse(ctx context.Context, sender string, e Event) {
	if l == nil {
		return
	}
	if e.Address == "" && e.Grant == "" {
		e.Address = network(sender)
	}
	if l.refusals.allow(e) {
		l.Record(ctx, e)
	}
}

// Check returns ErrUnavailable if lines are required and are not written now.
// What must not happen without a line asks before it does it.
func (l *Log) Check() error {
	if l == nil || !l.cfg.Required {
		return nil
	}
	if s := l.Status(); s.Failing != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, s.Failing)
	}
	return nil
}

// Required reports whether Check can fail.
func (l *Log) Required() bool { return l != nil && l.cfg.Required }

// Status returns how the log is doing.
func (l *Log) Status() Status {
	if l == nil {
		return Status{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Queued = len(l.queue)
	if s.Failing == nil && l.omitted > 0 {
		s.Failing = errors.New("more lines come than the log takes")
	}
	return s
}

// add queues a line, or counts it where there is no place.
func (l *Log) add(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) >= maxQueued {
		l.omitted++
		l.status.Dropped++
		return
	}
	l.sayOmitted(e.at)
	l.queue = append(l.queue, e)
	if l.done == nil {
		l.done = make(chan struct{})
		go l.write(l.done)
	}
}

// sayOmitted queues the line that stands for those that found no place.
func (l *Log) sayOmitted(at time.Time) {
	if l.omitted > 0 {
		l.queue = append(l.queue, entry{at: at, Event: Event{Action: Dropped, Omitted: l.omitted}})
		l.omitted = 0
	}
}

// write writes lines until there are none.
func (l *Log) write(done chan struct{}) {
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.sayOmitted(l.cfg.Now())
		}
		if len(l.queue) == 0 {
			l.queue, l.done = nil, nil
			close(done)
			l.mu.Unlock()
			return
		}
		text, ends := l.encode()
		out := l.out
		l.mu.Unlock()
		stalled := time.AfterFunc(stallTime, func() { l.report(errors.New("the log takes no lines")) })
		n, err := out.Write(text)
		stalled.Stop()
		l.wrote(n, ends)
		l.report(err)
		if err != nil {
			select {
			case <-time.After(retryPause):
			case <-l.wake:
			}
		}
	}
}

// encode returns the next lines as text, and where each of them ends.
func (l *Log) encode() (text []byte, ends []int) {
	var b bytes.Buffer
	if l.torn {
		b.WriteByte('\n')
	}
	for i := range min(len(l.queue), maxBatch) {
		e := &l.queue[i]
		e.seq = l.seq + uint64(i) + 1
		line, err := json.Marshal(e.line(l.cfg.Writer))
		if err != nil {
			continue // texts, numbers and a time: it cannot fail
		}
		b.Write(append(line, '\n'))
		ends = append(ends, b.Len())
	}
	return b.Bytes(), ends
}

// wrote takes the lines that are written whole out of the queue. What was
// written of another stays in the file as a line of its own.
func (l *Log) wrote(n int, ends []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	whole := 0
	for whole < len(ends) && ends[whole] <= n {
		whole++
	}
	start := 0
	if whole > 0 {
		start = ends[whole-1]
	}
	l.torn = n > start || whole == 0 && l.torn && n == 0
	l.seq += uint64(whole)
	l.status.Written += uint64(whole)
	l.queue = l.queue[whole:]
}

// report keeps what became of a write, and tells it if that is news.
func (l *Log) report(err error) {
	l.mu.Lock()
	now := l.cfg.Now()
	l.status.Failing = err
	news := err == nil && !l.told.IsZero() || err != nil && now.Sub(l.told) >= tellPause
	switch {
	case err == nil:
		l.told = time.Time{}
	case news:
		l.told = now
	}
	s := l.status
	s.Queued = len(l.queue)
	l.mu.Unlock()
	if news {
		l.cfg.Notify(s)
	}
}

// Reopen writes to another file from now on, and returns the one of before,
// which the caller closes.
func (l *Log) Reopen(out io.Writer) (before io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.out, l.torn = l.out, out, false
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return before
}

// Flush waits until every line recorded until now is written, or ctx ends.
func (l *Log) Flush(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	done := l.done
	l.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s := l.Status()
		lost := "1 line"
		if s.Queued != 1 {
			lost = fmt.Sprintf("%d lines", s.Queued)
		}
		return errors.Join(fmt.Errorf("audit: %s could not be written before the end", lost), s.Failing)
	}
}

// Close writes the counts that are left and waits like Flush. The Log can be
// used on; the file is the caller's to close.
func (l *Log) Close(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.refusals.flush()
	return l.Flush(ctx)
}

// line is the shape of a line.
type line struct {
	Time     time.Time         `json:"time"`
	Writer   string            `json:"writer"`
	Seq      uint64            `json:"seq"`
	Action   Action            `json:"action"`
	Tenant   string            `json:"tenant,omitempty"`
	Client   string            `json:"client,omitempty"`
	Server   string            `json:"server,omitempty"`
	Provider string            `json:"provider,omitempty"`
	Host     string            `json:"host,omitempty"`
	Subject  string            `json:"sub,omitempty"`
	Upstream upstream.Identity `json:"upstream,omitempty"`
	Grant    string            `json:"grant,omitempty"`
	Reason   string            `json:"reason,omitempty"`
	Address  string            `json:"address,omitempty"`
	Operator string            `json:"operator,omitempty"`
	Omitted  uint64            `json:"omitted,omitempty"`
	Request  string            `json:"request,omitempty"`
}

func (e *entry) line(writer string) line {
	return line{
		e.at.UTC(), writer, e.seq, e.Action, short(e.Tenant), short(e.Client), short(e.Server), short(e.Provider), short(e.Host),
		short(e.Subject), e.Upstream, short(e.Grant), short(e.Reason), short(e.Address), short(e.Operator), e.Omitted, e.request,
	}
}

// short cuts a text to maxField bytes.
func short(text string) string {
	if len(text) <= maxField {
		return text
	}
	return string(bytes.ToValidUTF8([]byte(text[:maxField]), nil)) + "…"
}
