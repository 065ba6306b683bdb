package audit

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

func TestRecordWritesOneLine(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	zone := time.FixedZone("", 3600)
	log := New(&out, func() time.Time { return time.Date(2026, 1, 2, 4, 4, 5, 0, zone) })
	ctx := context.WithValue(t.Context(), middleware.RequestIDKey, "req-1")
	log.Record(ctx, Event{Action: Rejected, Tenant: "music", Client: "c", Subject: "42", Grant: "g", Reason: "two\nlines \"quoted\""})
	var got map[string]string
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("%q: %v", out.String(), err)
	}
	want := map[string]string{
		"time": "2026-01-02T03:04:05Z", "action": "access_rejected", "tenant": "music", "client": "c", "sub": "42", "grant": "g",
		"reason": "two\nlines \"quoted\"", "request": "req-1",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	out.Reset()
	log.Record(t.Context(), Event{Action: Denied})
	if want := `{"time":"2026-01-02T03:04:05Z","action":"consent_denied"}` + "\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestNilLogDropsEvents(t *testing.T) {
	t.Parallel()
	var log *Log
	log.Record(t.Context(), Event{Action: Denied}) // must not panic
}

func TestLinesOfConcurrentRecordsStayWhole(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := New(&out, nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { log.Record(t.Context(), Event{Action: Consented, Tenant: "music"}) })
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q", line)
		}
	}
	if len(lines) != 50 {
		t.Errorf("%d lines", len(lines))
	}
}
