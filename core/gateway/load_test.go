package gateway_test

import (
	"flag"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest"
)

var lasting = flag.Duration("lasting", 0, "how long TestStreamLasts keeps a stream open in real time; 0 is a second")

// TestStreamLasts is TestStreamLastsAnHourHoweverSilent with real clocks and a
// real network, for as long as the flag says. The bubble shows that no timer of
// ours ends a stream; this one would show a timer that is not ours.
func TestStreamLasts(t *testing.T) {
	t.Parallel()
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	lasts := max(*lasting, time.Second)
	handle(s, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(lasts) // in silence
		_, _ = io.WriteString(w, "data: last\n\n")
	})
	began := time.Now()
	res, err := s.Browser().Do(request(t, s, token, http.MethodGet, "/music/mcp", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || !strings.HasSuffix(string(body), "data: last\n\n") {
		t.Errorf("after %v: %q, %v", time.Since(began), body, err)
	}
}

// BenchmarkStreams opens 2,000 streams and reports what each holds in memory
// while it is open and silent: straight to the backend, which is what client and
// backend hold here, and through the gateway. The difference is the gateway's.
func BenchmarkStreams(b *testing.B) {
	const streams = 2000
	s := coretest.New(b)
	token := s.Login(b, s.Browser(), "ada").Access
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, way := range []struct{ name, target string }{{"direct", s.Backend.URL + "/mcp"}, {"gateway", s.URL + "/music/mcp"}} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				transport := &http.Transport{}
				client := &http.Client{Transport: transport}
				before, goroutines := held(), runtime.NumGoroutine()
				open := make([]*http.Response, 0, streams)
				for range streams {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, way.target, nil)
					if err != nil {
						b.Fatal(err)
					}
					r.Header.Set("Authorization", "Bearer "+token)
					res, err := client.Do(r)
					if err != nil || res.StatusCode != http.StatusOK {
						b.Fatal(res, err)
					}
					if _, err := io.ReadFull(res.Body, make([]byte, len("data: first\n\n"))); err != nil {
						b.Fatal(err)
					}
					open = append(open, res)
				}
				b.ReportMetric(float64(held()-before)/streams, "bytes/stream")
				b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/streams, "goroutines/stream")
				for _, res := range open {
					_ = res.Body.Close()
				}
				for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines+streams/10 && time.Now().Before(deadline); {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
}

// TestSlowReadersHoldNoMemory has clients that read a byte and then nothing of
// streams that offer megabytes, over real sockets. What no client reads stays
// with the backend and in the kernel's buffers. It runs alone: it weighs the
// whole process.
func TestSlowReadersHoldNoMemory(t *testing.T) {
	const streams, most = 50, 128 << 10
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	var sent atomic.Int64
	piece := []byte("data: " + strings.Repeat("x", 1<<20) + "\n\n")
	flood := make(chan struct{})
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-flood:
		case <-r.Context().Done():
		}
		for range 64 {
			n, err := w.Write(piece)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	client := &http.Client{Transport: &http.Transport{ReadBufferSize: 1 << 10}}
	for range streams {
		r := request(t, s, token, http.MethodGet, "/music/mcp", nil)
		res, err := client.Do(r)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res, err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		if _, err := io.ReadFull(res.Body, make([]byte, len("data: first\n\n"))); err != nil {
			t.Fatal(err)
		}
	}
	silent := held()
	close(flood)
	// Until everybody is stuck.
	for last, same := int64(-1), 0; same < 10; time.Sleep(50 * time.Millisecond) {
		if now := sent.Load(); now != last {
			last, same = now, 0
		} else {
			same++
		}
	}
	each := (held() - silent) / streams
	t.Logf("%d streams that nobody reads hold %d bytes each more than silent ones; the backend got rid of %d bytes each, of 64 MiB", streams, each, sent.Load()/streams)
	if each > most {
		t.Errorf("a stream that nobody reads holds %d bytes more than a silent one, want at most %d", each, most)
	}
}

// held is what is in use, in bytes.
func held() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

var bodied = flag.Int("bodied", 64, "how many streams TestStreamsHoldNoBodies opens")

// TestStreamsHoldNoBodies opens streams by calls with a small body and by calls
// with one of almost a MiB, and compares what the process holds for each. It runs
// alone: it weighs the whole process.
func TestStreamsHoldNoBodies(t *testing.T) {
	s := coretest.New(t)
	token := s.Login(t, s.Browser(), "ada").Access
	handle(s, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: first\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	open := func(body string) int64 {
		client := &http.Client{Transport: &http.Transport{}}
		before := held()
		for range *bodied {
			res, err := client.Do(request(t, s, token, http.MethodPost, "/music/mcp", struct{ io.Reader }{strings.NewReader(body)}))
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatal(res, err)
			}
			t.Cleanup(func() { _ = res.Body.Close() })
			if _, err := io.ReadFull(res.Body, make([]byte, len("data: first\n\n"))); err != nil {
				t.Fatal(err)
			}
		}
		return max(held()-before, 1)
	}
	open("{}") // what the first streams of a process leave behind counts for neither
	small, large := open("{}"), open(`{"x":"`+strings.Repeat("x", 1<<20-10)+`"}`)
	t.Logf("%d streams hold %d KiB after bodies of 2 bytes, %d KiB after bodies of 1 MiB", *bodied, small>>10, large>>10)
	if large > 2*small {
		t.Errorf("%d streams hold %d bytes after bodies of 1 MiB, and %d after bodies of 2 bytes", *bodied, large, small)
	}
}
