package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// process is a program at work, such as a script of the folder node. It ends
// when its input does.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err output
}

// startNode runs a script until ctx ends or the test is over, whichever comes
// first.
func startNode(ctx context.Context, t *testing.T, script string, args ...string) *process {
	t.Helper()
	cmd := exec.CommandContext(ctx, installed(t, "node/node_modules/.bin/node"), append([]string{script}, args...)...)
	cmd.Dir = "node"
	return start(t, script, cmd)
}

// installed returns the path of a program that `make test` installs here.
func installed(t *testing.T, name string) string {
	t.Helper()
	program, err := filepath.Abs(name)
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		t.Fatalf("this test needs cmd/sallyport/e2e/%s, which `make test` installs: %v", name, err)
	}
	return program
}

// start starts a command that ends with the test.
func start(t *testing.T, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, err: newOutput(t)}
	cmd.Stderr = p.err.File
	var errIn, errOut error
	var out io.Reader
	p.in, errIn = cmd.StdinPipe()
	out, errOut = cmd.StdoutPipe()
	if errIn != nil || errOut != nil {
		t.Fatal(errIn, errOut)
	}
	p.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.in.Close()
		_ = cmd.Wait() // what it did was checked by what it printed
		if said := p.err.String(); said != "" && t.Failed() {
			t.Logf("%s said:\n%s", name, said)
		}
	})
	return p
}

// exitCode waits for the end, after all output was read.
func (p *process) exitCode() int {
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// url reads the line that a server prints first.
func (p *process) url(t *testing.T) string {
	t.Helper()
	address, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("the upstream does not start: %v", err)
	}
	return strings.TrimSpace(address)
}

// startEmulate starts the emulator of an upstream and returns its URL.
func startEmulate(t *testing.T, service string, seed map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{service: seed})
	if err != nil {
		t.Fatal(err)
	}
	// Not t.Context, which ends before the stories' cleanups.
	p := startNode(context.Background(), t, "emulate.mjs", service, string(text))
	address := p.url(t)
	go func() { _, _ = io.Copy(io.Discard, p.out) }() // it logs there
	return address
}
