package gateway_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/grant"
	"github.com/sallyport/sallyport/core/tenant"
)

// bubble is the real server between a client and a backend, all three joined by
// pipes in memory, so that a synctest bubble can hold them and own their time.
type bubble struct {
	*coretest.Bubble
	client *http.Client

	backend http.HandlerFunc // nil: an event each every, until lasts is over
	every   time.Duration
	lasts   atomic.Int64
	inside  atomic.Int64 // how many it works for
}

func newBubble(t *testing.T) *bubble {
	t.Helper()
	b := &bubble{every: time.Second}
	b.lasts.Store(int64(time.Hour))
	b.Bubble = coretest.NewBubble(t, reach(t, http.HandlerFunc(b.serve)), func(music *tenant.Tenant) {
		music.Lifetimes.Access, music.Lifetimes.Refresh = 2*time.Hour, 3*time.Hour
	})
	b.client = &http.Client{Transport: reach(t, b.Core)}
	return b
}

// reach returns a transport to a server of h.
func reach(t *testing.T, h http.Handler) http.RoundTripper {
	t.Helper()
	l := coretest.Serve(t, h)
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return l.Dial() }}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// open starts a call and returns its answer.
func (b *bubble) open(ctx context.Context, t *testing.T) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/music/mcp", strings.NewReader(message("tools/call")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.Token)
	res, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// serve is the backend.
func (b *bubble) serve(w http.ResponseWriter, r *http.Request) {
	b.inside.Add(1)
	defer b.inside.Add(-1)
	if b.backend != nil {
		b.backend(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	client := http.NewResponseController(w)
	for began := time.Now(); time.Since(began) < time.Duration(b.lasts.Load()); {
		_, _ = io.WriteString(w, "data: tick\n\n")
		if client.Flush() != nil {
			return
		}
		select {
		case <-time.After(b.every):
		case <-r.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, "data: done\n\n")
}

func TestStreamLastsAnHourHoweverSilent(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{time.Second, 25 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t)
			b.every = every
			began := time.Now()
			body, err := io.ReadAll(b.open(t.Context(), t).Body)
			if err != nil || !strings.HasSuffix(string(body), "data: done\n\n") || time.Since(began) < time.Hour || b.inside.Load() != 0 {
				t.Errorf("an event each %v: cut after %v, %d bytes, %v", every, time.Since(began), len(body), err)
			}
		})
	}
}

func TestStreamEndsWithItsGrantAndNotWithItsToken(t *testing.T) {
	t.Parallel()
	const event = 10*time.Minute + time.Second // of the stream, when something happens
	for what, c := range map[string]struct {
		begins  time.Duration // after the login
		happens func(t *testing.T, b *bubble)
		lasts   time.Duration // the stream, give or take half a minute
	}{
		"nothing":                      {0, func(*testing.T, *bubble) {}, time.Hour},
		"its token expires":            {119 * time.Minute, func(*testing.T, *bubble) {}, time.Hour},
		"it lasts longer than a token": {0, func(_ *testing.T, b *bubble) { b.lasts.Store(int64(170 * time.Minute)) }, 170 * time.Minute},
		"the grant expires":            {0, func(_ *testing.T, b *bubble) { b.lasts.Store(int64(9 * time.Hour)) }, 3 * time.Hour},
		"the grant is ended":           {0, endAll, event},
		"it is revoked by time":        {0, revokeAll, event},
		"revoked, the store down":      {0, func(t *testing.T, b *bubble) { revokeAll(t, b); b.Store.Fail(downFor(5 * time.Minute)) }, event + 5*time.Minute},
		"another process ends it":      {0, func(t *testing.T, b *bubble) { endElsewhere(t, b) }, event},
		"another announces its end":    {0, func(t *testing.T, b *bubble) { b.Core.Grants().Forget(endElsewhere(t, b)) }, event},
		"the store is down":            {0, func(_ *testing.T, b *bubble) { b.Store.Fail(func(string, string) error { return errors.New("down") }) }, time.Hour},
		"it is ended, the store down":  {0, func(t *testing.T, b *bubble) { endAll(t, b); b.Store.Fail(downFor(5 * time.Minute)) }, event + 5*time.Minute},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				time.Sleep(c.begins)
				began := time.Now()
				res := b.open(t.Context(), t)
				ended := make(chan error, 1)
				go func() {
					_, err := io.Copy(io.Discard, res.Body)
					ended <- err
				}()
				time.Sleep(event)
				c.happens(t, b)
				// It ends as if the backend had come to its end, not torn.
				if err := <-ended; err != nil {
					t.Error(err)
				}
				late := 31 * time.Second
				if what == "the grant is ended" || what == "it is revoked by time" || what == "another announces its end" {
					late = time.Second // this process has ended it, or was told
				}
				if took := time.Since(began); took < c.lasts || took > c.lasts+late {
					t.Errorf("it lasted %v, want %v", took, c.lasts)
				}
				synctest.Wait()
				if n := b.inside.Load(); n != 0 {
					t.Errorf("the backend still works for %d", n)
				}
			})
		})
	}
}

func endAll(t *testing.T, b *bubble) {
	t.Helper()
	if n, err := b.Core.Grants().DeleteAll(t.Context(), "music"); n != 1 || err != nil {
		t.Errorf("ended %d, %v", n, err)
	}
}

func revokeAll(t *testing.T, b *bubble) {
	t.Helper()
	if err := b.Core.Grants().RevokeBefore(t.Context(), grant.Scope{}, time.Now()); err != nil {
		t.Error(err)
	}
}

// endElsewhere deletes the one grant as another process does, and returns its key.
func endElsewhere(t *testing.T, b *bubble) (key string) {
	t.Helper()
	if err := b.Store.Scan(t.Context(), "grant/music/", func(k string) error { key = k; return nil }); err != nil {
		t.Fatal(err)
	}
	old, err := b.Store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Store.Swap(t.Context(), key, old, nil, 0); err != nil {
		t.Fatal(err)
	}
	return key
}

func downFor(d time.Duration) func(string, string) error {
	until := time.Now().Add(d)
	return func(string, string) error {
		if time.Now().Before(until) {
			return errors.New("down")
		}
		return nil
	}
}

// The deadline of a body does not run while the server waits for its store, for the
// upstream or for a backend: the client cannot help it.
func TestBodyDeadlineRunsOnlyWhileTheServerReads(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		waits time.Duration // of each answer of the store
		size  int64         // of each half of the body
		pause time.Duration // between them
		said  bool          // by the sender, how large the body is
		want  int
	}{
		"the store takes longer than a body may": {40 * time.Second, 100, 35 * time.Second, false, http.StatusOK},
		"the sender takes longer":                {0, 100, 31 * time.Second, false, http.StatusRequestTimeout},
		"a large body goes on for longer":        {0, 1 << 20, 2 * time.Minute, true, http.StatusOK},
		"a large one of unknown size":            {0, 2 << 20, 2 * time.Minute, false, http.StatusOK},
		"a large one after a slow store":         {40 * time.Second, 1 << 20, 2 * time.Minute, true, http.StatusOK},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				var got atomic.Int64
				b.backend = func(_ http.ResponseWriter, r *http.Request) {
					n, _ := io.Copy(io.Discard, r.Body)
					got.Store(n)
				}
				b.Store.Fail(func(string, string) error { time.Sleep(c.waits); return nil })
				body, sender := io.Pipe()
				ended := make(chan struct{})
				defer func() { _ = body.Close(); <-ended }()
				go func() {
					defer close(ended)
					half := make([]byte, c.size)
					_, _ = sender.Write(half)
					time.Sleep(c.pause)
					_, _ = sender.Write(half)
					_ = sender.Close()
				}()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/music/mcp", body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", "Bearer "+b.Token)
				if r.ContentLength = -1; c.said {
					r.ContentLength = 2 * c.size
				}
				res, err := b.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				text, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != c.want || c.want == http.StatusOK && got.Load() != 2*c.size {
					t.Errorf("%d %s, the backend got %d bytes", res.StatusCode, text, got.Load())
				}
			})
		})
	}
}

// A client that reads slowly holds up the backend, and not our memory.
func TestSlowReaderHoldsUpTheBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Int64
		b := newBubble(t)
		b.backend = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, ":")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
			event := []byte("data: " + strings.Repeat("x", 1<<20) + "\n\n")
			for range 64 {
				n, err := w.Write(event)
				sent.Add(int64(n))
				if err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
			}
		}
		body := b.open(t.Context(), t).Body
		var one [1]byte
		for range 600 { // ten minutes
			if _, err := body.Read(one[:]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := sent.Load(); n > 1<<20 {
			t.Errorf("%d bytes were taken from the backend for a client that read 600", n)
		}
	})
}

// What either side does to a stream the other notices.
func TestEitherSideEndsTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		ctx, leave := context.WithCancel(t.Context())
		res := b.open(ctx, t)
		time.Sleep(time.Minute)
		if b.inside.Load() != 1 {
			t.Fatal("the backend is not at work")
		}
		leave()
		_, _ = io.Copy(io.Discard, res.Body)
		synctest.Wait()
		if b.inside.Load() != 0 {
			t.Error("the backend still works for a client that left")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.backend = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "data: half an ev")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Minute)
			panic(http.ErrAbortHandler)
		}
		body, err := io.ReadAll(b.open(t.Context(), t).Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || string(body) != "data: half an ev" {
			t.Errorf("a backend that dies reads like an end: %q, %v", body, err)
		}
	})
}
