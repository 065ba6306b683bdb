package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/coretest"
)

// atOnce is the drain of servers that no proxy stands before.
func atOnce() drain { return drain{tell: func() {}, force: context.Background()} }

// draining is a server that is about to be stopped, in a bubble of
// testing/synctest.
type draining struct {
	t        *testing.T
	listener *coretest.Listener
	signals  chan os.Signal
	began    time.Time
	done     chan error
	told     atomic.Int64 // how often drain.tell was called
}

// serveUntilSignal serves h and ends as the process does.
func serveUntilSignal(t *testing.T, delay time.Duration, h http.HandlerFunc) *draining {
	t.Helper()
	d := &draining{t: t, listener: coretest.Listen(), signals: make(chan os.Signal), done: make(chan error, 1), began: time.Now()}
	ctx, force := untilSignal(d.signals, func() {})
	go func() {
		d.done <- serveAll(ctx, hclog.NewNullLogger(), []net.Listener{d.listener}, []http.Handler{h},
			drain{delay: delay, tell: func() { d.told.Add(1) }, force: force})
	}()
	return d
}

// sendRest sends the signals that the test did not, so that no goroutine waits.
func (d *draining) sendRest() {
	for range 2 {
		select {
		case d.signals <- syscall.SIGTERM:
		case <-time.After(time.Second):
			return
		}
	}
}

// wantDone waits for the end of the process and compares when it came.
func (d *draining) wantDone(after time.Duration) {
	d.t.Helper()
	if err := <-d.done; err != nil {
		d.t.Error(err)
	}
	if took := time.Since(d.began); took < after || took > after+time.Second {
		d.t.Errorf("the process ended after %v, want %v", took, after)
	}
	if _, err := d.listener.Dial(); err == nil {
		d.t.Error("the listener is open after the end")
	}
	d.sendRest()
}

// dial connects and returns what sends a GET and reads its answer.
func (d *draining) dial() (ask func(path string) (*http.Response, error)) {
	d.t.Helper()
	conn, err := d.listener.Dial()
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close() })
	reader := bufio.NewReader(conn)
	return func(path string) (*http.Response, error) {
		if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return nil, err
		}
		res, err := http.ReadResponse(reader, nil)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
		}
		return res, err
	}
}

// answerAfter is a handler that takes as long as the path says.
func answerAfter(_ http.ResponseWriter, r *http.Request) {
	if d, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/")); err == nil {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
	}
}

func TestListenerStaysOpenWhileDraining(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := serveUntilSignal(t, 10*time.Second, answerAfter)
		kept := d.dial()
		if res, err := kept("/"); err != nil || res.Close {
			t.Fatalf("before the signal: %v, close %v", err, res != nil && res.Close)
		}
		d.signals <- syscall.SIGTERM
		synctest.Wait()
		if d.told.Load() != 1 {
			t.Errorf("told %d times that draining began, want once", d.told.Load())
		}
		time.Sleep(9 * time.Second)
		for what, ask := range map[string]func(string) (*http.Response, error){"a connection from before": kept, "a new connection": d.dial()} {
			res, err := ask("/")
			if err != nil || res.StatusCode != http.StatusOK || !res.Close {
				t.Errorf("%s: %v, Connection: close %v", what, err, res != nil && res.Close)
			}
			if _, err := ask("/"); err == nil {
				t.Errorf("%s: open after its answer", what)
			}
		}
		d.wantDone(10 * time.Second)
		if d.told.Load() != 2 {
			t.Errorf("told %d times, want once more when the listener closes", d.told.Load())
		}
	})
}

func TestCallsUnderWayFinish(t *testing.T) {
	t.Parallel()
	for path, c := range map[string]struct {
		ok    bool
		after time.Duration
	}{
		"/5s":   {true, 10 * time.Second},
		"/30s":  {true, 30 * time.Second},
		"/100s": {false, 40 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := serveUntilSignal(t, 10*time.Second, answerAfter)
			answered := make(chan error, 1)
			ask := d.dial()
			go func() {
				res, err := ask(path)
				if err == nil && !res.Close {
					err = errors.New("the answer does not close its connection")
				}
				answered <- err
			}()
			synctest.Wait()
			d.signals <- syscall.SIGTERM
			d.wantDone(c.after)
			if err := <-answered; (err == nil) != c.ok {
				t.Errorf("a call of %s: %v", path, err)
			}
		})
	}
}

func TestSignalsShortenTheDrain(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		delay         time.Duration
		first, second os.Signal
		after         time.Duration // with a call of 20s under way
	}{
		"no delay":              {0, syscall.SIGTERM, nil, 20 * time.Second},
		"interrupt":             {10 * time.Second, os.Interrupt, nil, 20 * time.Second},
		"terminate, a long one": {25 * time.Second, syscall.SIGTERM, nil, 25 * time.Second},
		"twice":                 {10 * time.Second, syscall.SIGTERM, syscall.SIGTERM, time.Second},
		"interrupt twice":       {10 * time.Second, os.Interrupt, os.Interrupt, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := serveUntilSignal(t, c.delay, answerAfter)
			ask := d.dial()
			go func() { _, _ = ask("/20s") }()
			synctest.Wait()
			d.signals <- c.first
			if time.Sleep(time.Second); c.second != nil {
				d.signals <- c.second
			}
			t.Log(what)
			d.wantDone(c.after)
		})
	}
}

// TestDrainingOverHTTP2 has a proxy whose one connection carries calls.
func TestDrainingOverHTTP2(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := serveUntilSignal(t, 10*time.Second, answerAfter)
		var dialled atomic.Int64
		transport := &http.Transport{Protocols: &http.Protocols{}, DialContext: func(context.Context, string, string) (net.Conn, error) {
			dialled.Add(1)
			return d.listener.Dial()
		}}
		transport.Protocols.SetUnencryptedHTTP2(true)
		client := &http.Client{Transport: transport}
		get := func(path string) {
			t.Helper()
			res, err := client.Get("http://a" + path)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.ProtoMajor != 2 {
				t.Error(res.Proto, err)
			}
			_ = res.Body.Close()
		}
		var calls sync.WaitGroup
		calls.Go(func() { get("/15s") })
		synctest.Wait()
		d.signals <- syscall.SIGTERM
		synctest.Wait()
		for range 3 {
			get("/") // GOAWAY comes with the first answer, and the next goes over another connection
			time.Sleep(2 * time.Second)
		}
		if n := dialled.Load(); n < 2 {
			t.Errorf("%d connections: none was given up", n)
		}
		d.wantDone(15 * time.Second)
		calls.Wait()
		transport.CloseIdleConnections()
	})
}
