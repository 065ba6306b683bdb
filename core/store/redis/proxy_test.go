package redis

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// proxy stands between a client and a server and loses answers on demand.
type proxy struct {
	addr, backend string
	mu            sync.Mutex
	command       string      // whose answer to lose, or to give; empty: none
	reply         string      // to give instead of asking the server; empty: lose its answer
	cut           atomic.Bool // nothing passes in either direction, and nobody notices
}

// wire is one direction of a connection through the proxy.
type wire struct {
	io.Writer
	proxy *proxy
}

func (w wire) Write(b []byte) (int, error) {
	if w.proxy.cut.Load() {
		return len(b), nil
	}
	return w.Writer.Write(b)
}

func startProxy(t *testing.T, backend string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), backend: backend}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return p
}

// swallow makes the proxy pass the next such command on, wait until the server
// has answered, and close the connection instead of passing the answer back.
func (p *proxy) swallow(command string) { p.answer(command, "") }

// answer makes the proxy itself answer the next such command.
func (p *proxy) answer(command, reply string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.command, p.reply = command, reply
}

// meddles tells whether a request is the one to meddle with, and how.
func (p *proxy) meddles(request []byte) (reply string, yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == "" || !bytes.Contains(request, []byte("\r\n"+p.command+"\r\n")) {
		return "", false
	}
	p.command = ""
	return p.reply, true
}

// serve relays until either side hangs up, or until the answer comes that is to
// be lost. A request fits in one read; an answer may take several.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.backend)
	if err != nil {
		return
	}
	var lose atomic.Bool
	var answers sync.WaitGroup
	answers.Go(func() {
		defer client.Close()
		relay(wire{client, p}, server, func(answer []byte) ([]byte, bool) { return answer, !lose.Load() })
	})
	relay(wire{server, p}, client, func(request []byte) ([]byte, bool) {
		reply, yes := p.meddles(request)
		lose.Store(yes && reply == "")
		if reply != "" {
			_, err := io.WriteString(client, reply)
			return nil, err == nil
		}
		return request, true
	})
	server.Close()
	answers.Wait()
}

// relay copies what edit makes of what it reads, as long as edit agrees.
func relay(to io.Writer, from io.Reader, edit func([]byte) ([]byte, bool)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		edited, ok := edit(buf[:n])
		if !ok {
			return
		}
		if _, err := to.Write(edited); err != nil {
			return
		}
	}
}

// oneNodeCluster gives a server all slots and has it announce the proxy.
func oneNodeCluster(t *testing.T, backend, announced string) {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: backend, Protocol: 2})
	defer c.Close()
	_, port, err := net.SplitHostPort(announced)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	slots := []any{"cluster", "addslots"}
	for slot := range 16384 {
		slots = append(slots, slot)
	}
	for _, args := range [][]any{
		{"config", "set", "cluster-announce-ip", "127.0.0.1"}, // which it would learn from other nodes
		{"config", "set", "cluster-announce-port", port},
		slots,
	} {
		if err := c.Do(ctx, args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// The node takes up its slots a moment later.
	for err := c.Get(ctx, "k").Err(); !errors.Is(err, redis.Nil); err = c.Get(ctx, "k").Err() {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
