package storetest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/loopback"
)

// Redis is a real server for a test. It listens on a free port of 127.0.0.1
// and ::1, keeps its files in a temporary folder and ends with the test.
type Redis struct {
	Addr string // host:port

	t        testing.TB
	program  Program
	password string   // that ask authenticates with; empty: none
	args     []string // all but the port
	cmd      *exec.Cmd
	done     chan struct{} // closed when the process has ended
	out      output
}

// StartRedis starts Debian's redis-server: see Program.Start.
func StartRedis(t testing.TB, settings ...string) *Redis {
	t.Helper()
	return Debian(t).Start(t, settings...)
}

// Start starts a server and waits until it answers. Further arguments are
// settings of its configuration file, such as "--requirepass", "secret".
// Without any it forgets everything when it stops; "--appendonly", "yes" keeps
// it.
func (p Program) Start(t testing.TB, settings ...string) *Redis {
	t.Helper()
	return p.start(t, append([]string{"--save", "", "--appendonly", "no"}, settings...)...)
}

// start starts the program with arguments, the first of which may be a
// configuration file.
func (p Program) start(t testing.TB, args ...string) *Redis {
	t.Helper()
	r := &Redis{t: t, program: p, args: append(args, "--bind", "127.0.0.1", "-::1", "--dir", t.TempDir())}
	r.Addr = loopback.Free(t)
	t.Cleanup(r.Stop)
	if !r.run() {
		t.Fatalf("%s does not start:\n%s", p.Name, r.out.String())
	}
	return r
}

// Start starts a stopped server again, on the same port and with the same
// files.
func (r *Redis) Start() {
	r.t.Helper()
	if !r.run() {
		r.t.Fatalf("%s does not start again:\n%s", r.program.Name, r.out.String())
	}
}

// Freeze stops the process without ending it: connections stay open and
// nothing is answered, as on a machine that hangs.
func (r *Redis) Freeze() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		r.t.Fatal(err)
	}
}

// Stop kills the server as a crash would. Stopping a stopped one is no error.
func (r *Redis) Stop() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill() // fails only if it has ended by itself
	<-r.done
	r.cmd = nil
}

// run starts the process and tells whether it came to answer.
func (r *Redis) run() bool {
	r.t.Helper()
	_, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd = exec.Command(r.program.path, append(r.args[:len(r.args):len(r.args)], "--port", port)...)
	r.cmd.Stdout, r.cmd.Stderr = &r.out, &r.out
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // it is killed in the end, which Wait calls an error
		close(done)
	}(r.cmd, r.done)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-r.done:
			r.cmd = nil
			return false
		case <-time.After(10 * time.Millisecond):
		}
		// A server that asks for a password is up as well.
		if reply := r.ask("PING"); strings.HasPrefix(reply, "+PONG") || strings.HasPrefix(reply, "-NOAUTH") {
			return true
		}
	}
	r.t.Fatalf("%s does not answer:\n%s", r.program.Name, r.out.String())
	return false
}

// ask sends an inline command and returns what one read gets of the reply.
func (r *Redis) ask(command string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if r.password != "" {
		if reply := exchange(conn, "AUTH "+r.password); !strings.HasPrefix(reply, "+OK") {
			return reply
		}
	}
	return exchange(conn, command)
}

func exchange(conn net.Conn, command string) string {
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return err.Error()
	}
	reply := make([]byte, 4096)
	n, err := conn.Read(reply)
	if err != nil {
		return err.Error()
	}
	return string(reply[:n])
}

// output collects what a process prints, to be shown if it fails.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
