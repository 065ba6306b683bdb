package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/config"
	"github.com/sallyport/sallyport/core/coretest"
	"github.com/sallyport/sallyport/core/seal"
)

// TestConnectionsAreHeldToTheirHeaders: a client that sends no request, half a
// one, or one with a header that has no end, does not keep its connection.
func TestConnectionsAreHeldToTheirHeaders(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		request string
		lasts   time.Duration // at most
		status  int           // 0: no answer
	}{
		{"a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 2 * time.Minute, 200},
		{"nothing", "", 10 * time.Second, 0},
		{"half a header", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", 10 * time.Second, 0},
		{"a large header", "GET / HTTP/1.1\r\nHost: a\r\nX-Large: " + strings.Repeat("x", 70<<10) + "\r\n\r\n", 10 * time.Second, 431},
		{"a large path", "GET /" + strings.Repeat("x", 70<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 10 * time.Second, 431},
		{"as large as it may be", "GET / HTTP/1.1\r\nHost: a\r\nX-Large: " + strings.Repeat("x", 60<<10) + "\r\n\r\n", 2 * time.Minute, 200},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				l := coretest.Listen()
				done := make(chan error, 1)
				go func() {
					done <- serveAll(ctx, hclog.NewNullLogger(), []net.Listener{l}, []http.Handler{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}, atOnce())
				}()
				conn, err := l.Dial()
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, c.request) }() // may never be read to its end
				answer := bufio.NewReader(conn)
				status := 0
				if res, err := http.ReadResponse(answer, nil); err == nil {
					status = res.StatusCode
					_, _ = io.Copy(io.Discard, res.Body)
				}
				_, _ = answer.ReadByte()
				if took := time.Since(began); status != c.status || took > c.lasts {
					t.Errorf("%d, %v", status, took)
				}
				_ = conn.Close()
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestProxiesMaySpeakHTTP2(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- serveAll(ctx, hclog.NewNullLogger(), []net.Listener{l}, []http.Handler{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Proto)
		})}, atOnce())
	}()
	for proto, protocols := range map[string]func(*http.Protocols){
		"HTTP/2.0": func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, "HTTP/1.1": func(p *http.Protocols) { p.SetHTTP1(true) },
	} {
		transport := &http.Transport{Protocols: &http.Protocols{}}
		protocols(transport.Protocols)
		res, err := (&http.Client{Transport: transport}).Get("http://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(res.Body); string(body) != proto {
			t.Errorf("%s, want %s", body, proto)
		}
		_ = res.Body.Close()
		transport.CloseIdleConnections()
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The default address of the operator's listener is a convenience: a server
// whose operator did not choose it goes on without.
func TestDefaultOperatorListenerIsOptional(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for given, want := range map[bool]bool{true: false, false: true} {
		d := testDeployment(t)
		d.cfg.Server.Listen, d.cfg.Server.OperatorListen = "127.0.0.1:0", taken.Addr().String()
		d.given = func(string) bool { return given }
		ctx, stop := context.WithCancel(t.Context())
		served := false
		err := d.serve(ctx, func(net.Addr) { served = true; stop() })
		stop()
		if served != want || (err == nil) != want {
			t.Errorf("given %v: served %v, %v", given, served, err)
		}
		if want && (len(d.warned) == 0 || !strings.Contains(strings.Join(d.warned, " "), "server/operator_listen")) {
			t.Errorf("warned of %q", d.warned)
		}
	}
}

// testDeployment is a deployment without tenants in a folder of its own.
func testDeployment(t *testing.T) *deployment {
	t.Helper()
	dir := t.TempDir()
	d, err := assemble(t.Context(), &config.Config{
		Keys: []config.Secret{config.NewSecret(seal.NewKey().Reveal())}, Store: config.NewSecret("bolt://" + filepath.Join(dir, "state.db")),
		Audit: "off", Plugins: config.Plugins{Dir: dir, CacheDir: filepath.Join(dir, "cache")}, Server: config.Server{AdminSocket: "off"},
	}, system{out: io.Discard, err: io.Discard, force: t.Context()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.close() })
	return d
}
