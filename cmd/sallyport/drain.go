package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// finishTime is how long calls under way may take after the listeners closed.
const finishTime = 30 * time.Second

// lastConnections is how long connections are accepted that were begun before
// refuseConnections.
const lastConnections = 100 * time.Millisecond

// drain is how serving ends.
type drain struct {
	delay time.Duration   // how long the listeners stay open
	tell  func()          // called when draining begins, and when the listeners are about to close
	force context.Context // ends at the second signal; draining ends with it
}

// stopSignal is the cause of a context that a signal ended.
type stopSignal struct{ os.Signal }

func (s stopSignal) Error() string { return s.String() }

// untilSignal returns a context that ends at the first signal and one that ends
// at the second, after which stop is called.
func untilSignal(signals <-chan os.Signal, stop func()) (first, second context.Context) {
	first, cancel := context.WithCancelCause(context.Background())
	second, force := context.WithCancel(context.Background())
	go func() {
		cancel(stopSignal{<-signals})
		<-signals
		force()
		stop()
	}()
	return first, second
}

// delayAfter returns how long the listeners stay open after ctx has ended.
// SIGINT comes from an operator at a terminal, who waits.
func (d drain) delayAfter(ctx context.Context) time.Duration {
	if s, ok := errors.AsType[stopSignal](context.Cause(ctx)); ok && s.Signal == os.Interrupt {
		return 0
	}
	return d.delay
}

// run ends the servers: proxies get the delay to find out, while everything is
// served; then the listeners close, and calls under way get finishTime.
func (d drain) run(ctx context.Context, log hclog.Logger, servers []*http.Server, listeners []net.Listener) error {
	delay := d.delayAfter(ctx)
	d.tell()
	if delay > 0 {
		log.Info("draining: still serving, not ready", "for", delay.String())
		d.wait(delay)
		for _, l := range listeners {
			if err := refuseConnections(l); err != nil {
				log.Debug("connections may meet a closing listener", "error", err)
			}
		}
		d.wait(lastConnections)
		d.tell()
	}
	log.Info("stopping", "calls_finish_within", finishTime.String())
	return d.shutdown(ctx, log, servers)
}

// wait waits for a time, or until draining is cut short.
func (d drain) wait(t time.Duration) {
	select {
	case <-time.After(t):
	case <-d.force.Done():
	}
}

func (d drain) shutdown(ctx context.Context, log hclog.Logger, servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	defer context.AfterFunc(d.force, cancel)()
	errs := make([]error, len(servers))
	var done sync.WaitGroup
	for i, s := range servers {
		done.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				log.Warn("calls under way were cut off", "error", err)
				errs[i] = s.Close()
			}
		})
	}
	done.Wait()
	return errors.Join(errs...)
}

// closeConnections has every answer that begins while draining is true close
// its connection. To HTTP/2 net/http translates the header into GOAWAY (RFC 9113
// §6.8).
func closeConnections(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &closingWriter{ResponseWriter: w, draining: draining}
		next.ServeHTTP(c, r)
		c.begin() // an answer without a body may have no WriteHeader of its own
	})
}

// closingWriter adds the header at the last moment: a call may have begun before
// draining did.
type closingWriter struct {
	http.ResponseWriter
	draining *atomic.Bool
	begun    bool
}

// WriteHeader implements http.ResponseWriter.
func (w *closingWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.begin()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *closingWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *closingWriter) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap gives http.ResponseController the rest.
func (w *closingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *closingWriter) begin() {
	if !w.begun && w.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	w.begun = true
}
