package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// file is a log's file in memory, which can fail and stand still.
type file struct {
	mu   sync.Mutex
	text strings.Builder
	err  error         // what a write returns
	most int           // bytes that failing writes take all the same
	hold chan struct{} // a write waits until it is closed
}

func (f *file) Write(b []byte) (int, error) {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		<-hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		n := min(f.most, len(b))
		f.most -= n
		f.text.Write(b[:n])
		return n, f.err
	}
	return f.text.Write(b)
}

func (f *file) fail(err error, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.most = err, most
}

// lines parses what is in the file; what is no line of ours is nil.
func (f *file) lines() (all []map[string]any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for text := range strings.Lines(f.text.String()) {
		var l map[string]any
		if json.Unmarshal([]byte(text), &l) != nil {
			l = nil
		}
		all = append(all, l)
	}
	return all
}

// numbered fails unless the whole lines have the numbers from 1 on.
func numbered(t *testing.T, lines []map[string]any) {
	t.Helper()
	next := 1.0
	for _, l := range lines {
		if l == nil {
			continue
		}
		if l["seq"] != next || l["writer"] != "w" {
			t.Errorf("line %v has the number %v of %v", next, l["seq"], l["writer"])
		}
		next++
	}
}

func TestRecordWritesOneLine(t *testing.T) {
	t.Parallel()
	var out file
	zone := time.FixedZone("", 3600)
	log := New(Config{Out: &out, Writer: "w", Now: func() time.Time { return time.Date(2026, 1, 2, 4, 4, 5, 0, zone) }})
	ctx := context.WithValue(t.Context(), middleware.RequestIDKey, "req-1")
	log.Record(ctx, Event{Action: Rejected, Tenant: "music", Client: "c", Subject: "42", Grant: "g", Reason: "two\nlines \"quoted\""})
	log.Record(t.Context(), Event{Action: Denied, Subject: strings.Repeat("é", 100_000)})
	if err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := out.lines()
	want := map[string]any{
		"time": "2026-01-02T03:04:05Z", "writer": "w", "seq": 1.0, "action": "access_rejected", "tenant": "music", "client": "c", "sub": "42", "grant": "g",
		"reason": "two\nlines \"quoted\"", "request": "req-1",
	}
	if len(got) != 2 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %v", got)
	}
	if len(got) == 2 && len(got[1]["sub"].(string)) > maxField+len("…") {
		t.Errorf("an account id of 200,000 bytes makes a text of %d", len(got[1]["sub"].(string)))
	}
}

func TestNilLogDropsEvents(t *testing.T) {
	t.Parallel()
	var log *Log
	log.Record(t.Context(), Event{Action: Denied}) // must not panic
	log.Refuse(t.Context(), "192.0.2.1:1", Event{Action: Rejected})
	if log.Check() != nil || log.Flush(t.Context()) != nil || log.Close(t.Context()) != nil || log.Status() != (Status{}) {
		t.Error("a log that is off fails")
	}
}

func TestLinesOfConcurrentRecordsStayWhole(t *testing.T) {
	t.Parallel()
	var out file
	log := New(Config{Out: &out, Writer: "w"})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { log.Record(t.Context(), Event{Action: Consented, Tenant: "music"}) })
	}
	wg.Wait()
	if err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := out.lines(); len(got) != 50 {
		t.Errorf("%d lines", len(got))
	}
	numbered(t, out.lines())
}

func TestReaderThatStandsStillHoldsNoRequestUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &file{hold: make(chan struct{})}
		var told []Status
		log := New(Config{Out: out, Writer: "w", Required: true, Notify: func(s Status) { told = append(told, s) }})
		const more = 10
		for range maxQueued + more { // and none of them waits
			log.Record(t.Context(), Event{Action: TokenIssued})
		}
		if s := log.Status(); s.Dropped < more-1 || log.Check() == nil {
			t.Errorf("status %+v, check %v", s, log.Check())
		}
		time.Sleep(stallTime + time.Second)
		synctest.Wait()
		if len(told) != 1 || told[0].Failing == nil {
			t.Errorf("told %v", told)
		}
		if err := log.Check(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("check: %v", err)
		}
		dropped := log.Status().Dropped
		close(out.hold)
		if err := log.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := out.lines()
		numbered(t, lines)
		if last := lines[len(lines)-1]; last["action"] != string(Dropped) || last["omitted"] != float64(dropped) {
			t.Errorf("%d lines found no place, and the last line is %v", dropped, last)
		}
		if len(told) != 2 || told[1].Failing != nil || log.Check() != nil {
			t.Errorf("told %v, check %v", told, log.Check())
		}
	})
}

func TestLinesThatADiskDidNotTakeAreWrittenLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out file
		told := 0
		log := New(Config{Out: &out, Writer: "w", Notify: func(Status) { told++ }})
		full := errors.New("no space left on device")
		out.fail(full, 200)
		for range 3 {
			log.Record(t.Context(), Event{Action: TokenIssued, Tenant: "music", Client: "a-client-with-a-name"})
		}
		time.Sleep(3 * tellPause / 2)
		synctest.Wait()
		if s := log.Status(); !errors.Is(s.Failing, full) || s.Queued == 0 || told != 2 {
			t.Errorf("status %+v, told %d times in a minute and a half", s, told)
		}
		ended, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := log.Flush(ended); !errors.Is(err, full) {
			t.Errorf("flush: %v", err)
		}
		out.fail(nil, 0)
		if err := log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		numbered(t, out.lines())
		whole := 0
		for _, l := range out.lines() {
			if l != nil {
				whole++
			}
		}
		if whole != 3 || told != 3 {
			t.Errorf("%d whole lines, told %d times", whole, told)
		}
	})
}

func TestReopenGoesOnInTheOtherFile(t *testing.T) {
	t.Parallel()
	var before, after file
	log := New(Config{Out: &before, Writer: "w"})
	log.Record(t.Context(), Event{Action: Consented})
	if err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := log.Reopen(&after); got != io.Writer(&before) {
		t.Error("the file of before is not returned")
	}
	log.Record(t.Context(), Event{Action: Consented})
	if err := log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(before.lines()) != 1 || len(after.lines()) != 1 || after.lines()[0]["seq"] != 2.0 {
		t.Errorf("before %v, after %v", before.lines(), after.lines())
	}
}

func TestRefusalsOfASenderAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out file
		log := New(Config{Out: &out, Writer: "w"})
		for n := range 20_000 {
			log.Refuse(t.Context(), fmt.Sprintf("[2001:db8::%x]:1", n), Event{Action: Rejected, Tenant: "music", Reason: fmt.Sprint("text of the sender's ", n)})
		}
		log.Refuse(t.Context(), "192.0.2.1:1", Event{Action: Rejected, Tenant: "music"})
		log.Refuse(t.Context(), "[2001:db8::1]:1", Event{Action: Rejected, Tenant: "music", Grant: "g"})
		time.Sleep(refusalWindow + time.Second)
		synctest.Wait()
		if err := log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines := out.lines()
		if len(lines) != maxRefusals+3 {
			t.Fatalf("%d lines", len(lines))
		}
		if last := lines[len(lines)-1]; last["omitted"] != 20_000.0-maxRefusals || last["address"] != "2001:db8::/64" {
			t.Errorf("the last line: %v", last)
		}
	})
}

func TestRefusalsOfManySendersAreBounded(t *testing.T) {
	t.Parallel()
	var out file
	log := New(Config{Out: &out, Writer: "w"})
	const senders = 3 * maxKinds
	for n := range senders {
		log.Refuse(t.Context(), fmt.Sprintf("10.%d.%d.%d:1", n>>16, n>>8&255, n&255), Event{Action: Rejected, Tenant: "music"})
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(out.lines()); got > maxKinds+maxRefusals+1 {
		t.Errorf("%d senders left %d lines", senders, got)
	}
}
