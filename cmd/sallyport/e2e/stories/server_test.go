package stories

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/core/coretest/loopback"
	"github.com/sallyport/sallyport/core/seal"
)

// patience bounds each wait of a story.
const patience = time.Minute

// sallyport is a process of the binary under test, with files of its own.
type sallyport struct {
	t               *testing.T
	front, operator string // host:port
	dir             string
	server          string   // further members of the section server, YAML
	audit           string   // the key audit; empty: a file
	private         []string // host:port of doubles that plugins may reach
	tenants         string   // YAML below tenants:
	env             []string
	stdout          io.Writer // nil: the log file

	log  *os.File
	cmd  *exec.Cmd
	done chan struct{}
}

// newServer lays the files of a server; start runs it.
func newServer(t *testing.T) *sallyport {
	t.Helper()
	s := &sallyport{t: t, front: loopback.Free(t), operator: loopback.Free(t), dir: t.TempDir()}
	key := seal.NewKey()
	s.write("key", key.Reveal()+"\n")
	if err := os.Mkdir(filepath.Join(s.dir, "plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			text := s.logged()
			t.Logf("sallyport said:\n%s", text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
	return s
}

func (s *sallyport) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// use copies modules into the plugin folder.
func (s *sallyport) use(modules ...string) {
	s.t.Helper()
	for _, m := range modules {
		code, err := os.ReadFile(m)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, "plugins", filepath.Base(m)), code, 0o600)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// tenantURL is the issuer of the named tenant.
func (s *sallyport) tenantURL(name string) string { return "http://" + s.front + "/" + name }

func (s *sallyport) auditFile() string { return filepath.Join(s.dir, "audit") }

// configure writes the configuration file and returns its path.
func (s *sallyport) configure() string {
	s.t.Helper()
	audit := s.audit
	if audit == "" {
		audit = s.auditFile()
	}
	s.write("sallyport.yaml", fmt.Sprintf(`
server: { listen: "%[1]s", operator_listen: "%[2]s", url: "http://%[1]s/{tenant}"%[3]s }
audit: "%[4]s"
store: "bolt://%[5]s/state.db"
keys: ["${file:%[5]s/key}"]
plugins: { dir: "%[5]s/plugins", cache_dir: "%[6]s", private_hosts: ["%[7]s"] }
tenants:
%[8]s`, s.front, s.operator, s.server, audit, s.dir, cache, strings.Join(s.private, `", "`), s.tenants))
	return filepath.Join(s.dir, "sallyport.yaml")
}

// start runs the server and reports whether it came to answer.
func (s *sallyport) start() bool {
	s.t.Helper()
	s.cmd = exec.Command(*binary, "serve", "-c", s.configure())
	s.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}, s.env...)
	s.cmd.Stderr, s.cmd.Stdout = s.log, s.stdout
	if s.stdout == nil {
		s.cmd.Stdout = s.log
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(done) }(s.cmd)
	s.done = done
	return s.until(done, func() bool {
		resp, err := (&http.Client{Timeout: time.Second}).Get("http://" + s.operator + "/healthz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// mustStart is start, for a configuration without fault.
func (s *sallyport) mustStart() {
	s.t.Helper()
	if !s.start() {
		s.t.Fatal("sallyport does not start")
	}
}

// stop ends the process.
func (s *sallyport) stop() {
	if s.cmd == nil {
		return
	}
	for range 2 { // the second ends a server that drains
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.done:
			s.cmd = nil
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

// reload has the server read its configuration again and waits for its word
// about it.
func (s *sallyport) reload() {
	s.t.Helper()
	s.configure()
	before := len(s.logged())
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	if !s.until(s.done, func() bool { return strings.Contains(s.logged()[before:], "reloaded") }) {
		s.t.Fatal("the server says nothing of the reload")
	}
}

func (s *sallyport) logged() string {
	text, _ := os.ReadFile(s.log.Name())
	return string(text)
}

func (s *sallyport) audited() []byte {
	text, _ := os.ReadFile(s.auditFile())
	return text
}

// auditLines is how many lines of the audit log contain text.
func (s *sallyport) auditLines(text string) int { return bytes.Count(s.audited(), []byte(text)) }

// memory is the resident memory of the process, in bytes.
func (s *sallyport) memory() int64 {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		s.t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// until asks until the answer is yes, done is closed or patience is over.
func (s *sallyport) until(done <-chan struct{}, yes func() bool) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for !yes() {
		select {
		case <-ctx.Done():
			return false
		case <-done:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return true
}
