package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store/storetest"
	"github.com/sallyport/sallyport/plugins"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": main})
}

// patience is how long anything in a story may take before it has failed.
const patience = 3 * time.Minute

// TestScript runs the stories in testdata/script against the program itself.
// Beside testscript's own commands they have
//
//	exits N program args…          run a program that has to exit with code N
//	serve args…                    start sallyport serve; wait until it is ready
//	sigterm                        stop it; it has to exit with code 0
//	sighup                         have it read its configuration again
//	logged [-count=N] REGEXP       wait until its log matches, N times in all
//	audited [-count=N] REGEXP      wait until the audit log, audit.jsonl, matches
//	login [-stay] URL NAME         log in at that tenant as an MCP client and call a tool; the
//	                               answer is on stdout, and all that the server answered is
//	                               in the file answers. The URL's host has to be localhost:80
//	refresh                        the client that stayed refreshes its tokens and calls the tool
//	whoami                         the client that stayed calls the tool
//	upstream ID SECRET CALLBACK    start the demo's upstream, with that one app, and its MCP server
//	http METHOD URL STATUS [NAME: VALUE]…
//	                               ask the server, whatever the URL's host, as a proxy would
//	closed NAME                    set NAME to an address that refuses connections
//	head N FILE NEW                write the first N bytes of a file to a new one
//
// the condition [race], for stories in which compiling would take minutes then,
// and the variables REPO, PLUGINS (a folder with oauth2.wasm), KEY (a server
// key), REDIS (the address of a Redis that all stories share, by prefix) and, once a server runs, FRONT and OPERATOR, its addresses. serve's log
// is the file serve.log; http's answer is on stdout. upstream sets UPSTREAM and
// BACKEND, their addresses, and CODE, an authorization code of a user's.
func TestScript(t *testing.T) {
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dist, cache := t.TempDir(), t.TempDir()
	_, err = plugins.Build(t.Context(), plugins.BuildOptions{
		Dir: filepath.Join(repo, "providers/oauth2"), Out: filepath.Join(dist, "oauth2.wasm"), Log: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Compile it once here: the stories run at the same time and would all do it.
	host, err := plugins.New(t.Context(), plugins.Config{Dirs: []string{dist}, CacheDir: filepath.Join(cache, "sallyport")})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	goEnv := toolchain(t)
	redis := storetest.StartRedis(t).Addr
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Deadline:            time.Now().Add(20 * time.Minute), // for a program that should have exited and serves
		Condition: func(name string) (bool, error) {
			if name != "race" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return raceEnabled(), nil
		},
		Setup: func(env *testscript.Env) error {
			for name, value := range goEnv {
				env.Setenv(name, value)
			}
			env.Setenv("REPO", repo)
			env.Setenv("PLUGINS", dist)
			env.Setenv("REDIS", redis)
			env.Setenv("KEY", seal.NewKey().Reveal())
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
			env.Setenv("XDG_CACHE_HOME", cache)
			env.Setenv("SALLYPORT_SERVER__DRAIN_DELAY", "0s") // no proxy has to find out
			env.Values[serverKey{}] = &server{environ: env.Vars}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits, "serve": cmdServe, "sigterm": cmdSigterm,
			"http": cmdHTTP, "closed": cmdClosed, "head": cmdHead,
			"sighup": cmdSighup, "logged": cmdLogged, "audited": cmdAudited, "login": cmdLogin, "refresh": cmdRefresh, "whoami": cmdWhoami, "upstream": cmdUpstream,
		},
	})
}

// toolchain is what the go command needs in a story, where HOME is empty.
func toolchain(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "-json", "GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS", "GOPROXY", "GOTOOLCHAIN").Output()
	if err != nil {
		t.Fatal(err)
	}
	var env map[string]string
	if err := json.Unmarshal(out, &env); err != nil {
		t.Fatal(err)
	}
	return env
}

func usage(ts *testscript.TestScript, neg, ok bool, text string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 2, "exits N program args…")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

type serverKey struct{}

// server is the sallyport serve of one story.
type server struct {
	environ []string
	process *exec.Cmd
	done    chan error
	client  *demo.Client // that stayed
}

// cmdServe starts the server and waits until its operator's listener says that
// it is ready. It listens on ports of its own choice and tells them in its log.
func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	s, _ := ts.Value(serverKey{}).(*server)
	usage(ts, neg, s.process == nil, "serve args…, once until sigterm")
	file, err := os.Create(ts.MkAbs("serve.log"))
	ts.Check(err)
	path, err := exec.LookPath("sallyport")
	ts.Check(err)
	s.process = exec.Command(path, append([]string{"serve", "--log-format", "json", "--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0"}, args...)...)
	s.process.Dir = ts.MkAbs(".")
	s.process.Env = s.environ
	pipe, err := s.process.StderrPipe()
	ts.Check(err)
	ts.Check(s.process.Start())
	s.done = make(chan error, 1)
	addresses := make(chan [2]string, 1)
	go func() {
		follow(io.TeeReader(pipe, file), addresses)
		s.done <- errors.Join(s.process.Wait(), file.Close())
	}()
	ts.Defer(func() {
		if s.process != nil {
			_ = s.process.Process.Kill()
			<-s.done
			s.process = nil // there may be one of these for an earlier server
		}
	})
	select {
	case a := <-addresses:
		ts.Setenv("FRONT", a[0])
		ts.Setenv("OPERATOR", a[1])
	case err := <-s.done:
		s.process = nil
		ts.Fatalf("serve ended: %v\n%s", err, ts.ReadFile("serve.log"))
	case <-time.After(patience):
		ts.Fatalf("serve does not say where it listens\n%s", ts.ReadFile("serve.log"))
	}
	cmdHTTP(ts, false, []string{http.MethodGet, "http://" + ts.Getenv("OPERATOR") + "/readyz", "200"})
}

// follow reads the log to its end and sends the addresses once it knows both.
func follow(log io.Reader, addresses chan<- [2]string) {
	var operator string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct {
			Message string `json:"@message"`
			Address string `json:"address"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		switch line.Message {
		case "operator listener":
			operator = line.Address
		case "serving":
			addresses <- [2]string{line.Address, operator}
		}
	}
}

func cmdSigterm(ts *testscript.TestScript, neg bool, args []string) {
	s, _ := ts.Value(serverKey{}).(*server)
	usage(ts, neg, s.process != nil && len(args) == 0, "sigterm, after serve")
	ts.Check(s.process.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-s.done:
		s.process = nil
		ts.Check(err)
	case <-time.After(patience):
		ts.Fatalf("serve does not stop\n%s", ts.ReadFile("serve.log"))
	}
}

func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) >= 3, "http METHOD URL STATUS [NAME: VALUE]…")
	u, err := url.Parse(args[1])
	ts.Check(err)
	host := u.Host
	if u.Scheme = "http"; host != ts.Getenv("OPERATOR") {
		u.Host = ts.Getenv("FRONT")
	}
	request, err := http.NewRequest(args[0], u.String(), nil)
	ts.Check(err)
	request.Host = host
	for _, header := range args[3:] {
		name, value, _ := strings.Cut(header, ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
	response, err := client.Do(request)
	ts.Check(err)
	defer response.Body.Close()
	dump, err := httputil.DumpResponse(response, true)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s", strings.ReplaceAll(string(dump), "\r\n", "\n"))
	if strconv.Itoa(response.StatusCode) != args[2] {
		ts.Fatalf("%s %s: %s, want %s\n%s", args[0], args[1], response.Status, args[2], dump)
	}
}

// cmdClosed holds a port without listening at it, so that nobody else does.
func cmdClosed(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "closed NAME")
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	ts.Check(err)
	ts.Defer(func() { _ = syscall.Close(fd) })
	ts.Check(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	address, err := syscall.Getsockname(fd)
	ts.Check(err)
	in, ok := address.(*syscall.SockaddrInet4)
	if !ok {
		ts.Fatalf("no IPv4 address: %v", address)
	}
	ts.Setenv(args[0], "127.0.0.1:"+strconv.Itoa(in.Port))
}

func cmdHead(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "head N FILE NEW")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	data, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), data[:min(n, len(data))], 0o644))
}
