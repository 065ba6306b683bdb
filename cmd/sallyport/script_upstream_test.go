package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport/sallyport/cmd/sallyport/internal/demo"
)

func cmdSighup(ts *testscript.TestScript, neg bool, args []string) {
	s, _ := ts.Value(serverKey{}).(*server)
	usage(ts, neg, s.process != nil && len(args) == 0, "sighup, after serve")
	ts.Check(s.process.Process.Signal(syscall.SIGHUP))
}

// cmdLogged waits for the server's log.
func cmdLogged(ts *testscript.TestScript, neg bool, args []string) {
	waitFor(ts, neg, "logged", "serve.log", args)
}

// cmdAudited waits for the audit log.
func cmdAudited(ts *testscript.TestScript, neg bool, args []string) {
	waitFor(ts, neg, "audited", "audit.jsonl", args)
}

// waitFor looks at a file again and again; it is the server's to write it within
// patience.
func waitFor(ts *testscript.TestScript, neg bool, command, file string, args []string) {
	want := 1
	if len(args) == 2 {
		n, err := strconv.Atoi(strings.TrimPrefix(args[0], "-count="))
		ts.Check(err)
		want, args = n, args[1:]
	}
	usage(ts, neg, len(args) == 1, command+" [-count=N] REGEXP")
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if len(pattern.FindAllString(ts.ReadFile(file), -1)) >= want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("serve does not write %s\n%s", args[0], ts.ReadFile(file))
		}
	}
}

// cmdUpstream gives the story somebody to log in at.
func cmdUpstream(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 3, "upstream ID SECRET CALLBACK")
	up := httptest.NewServer(demo.NewUpstream(demo.UpstreamConfig{
		TokenLifetime: time.Hour, // nothing but the story renews
		Apps:          []demo.App{{ID: args[0], Secret: args[1], Name: "Sallyport", RedirectURI: args[2]}},
	}))
	ts.Defer(up.Close)
	backend := httptest.NewServer(demo.NewBackend(up.URL, nil))
	ts.Defer(backend.Close)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	q := url.Values{"response_type": {"code"}, "client_id": {args[0]}, "redirect_uri": {args[2]}}
	final, err := demo.NewBrowser(demo.SignIn("ada"), nil).Visit(ctx, up.URL+demo.AuthorizePath+"?"+q.Encode(),
		func(u *url.URL) bool { return strings.HasPrefix(u.String(), args[2]) })
	ts.Check(err)
	s, _ := ts.Value(serverKey{}).(*server)
	for name, value := range map[string]string{
		"UPSTREAM": strings.TrimPrefix(up.URL, "http://"), "BACKEND": backend.URL + "/mcp", "CODE": final.Query().Get("code"),
	} {
		ts.Setenv(name, value)
		s.environ = append(s.environ, name+"="+value)
	}
}

// cmdLogin is an MCP client and a person. The server listens on a port of its
// own choice, which is behind localhost:80 here as behind a proxy.
func cmdLogin(ts *testscript.TestScript, neg bool, args []string) {
	stay := len(args) > 0 && args[0] == "-stay"
	if stay {
		args = args[1:]
	}
	usage(ts, neg && stay, len(args) == 2, "[!] login [-stay] URL NAME")
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "localhost:80" {
			address = ts.Getenv("FRONT")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	ts.Defer(transport.CloseIdleConnections)
	answers, err := os.OpenFile(ts.MkAbs("answers"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	ts.Defer(func() { _ = answers.Close() })
	kept := &recorder{next: transport, host: "localhost", out: answers}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := demo.Connect(ctx, args[0], demo.NewBrowser(demo.SignIn(args[1]), kept), demo.Options{Transport: kept})
	if neg && err != nil {
		fmt.Fprintln(ts.Stderr(), err)
		return
	}
	ts.Check(err)
	if neg {
		ts.Fatalf("%s logged in", args[1])
	}
	whoami(ctx, ts, client)
	if s, _ := ts.Value(serverKey{}).(*server); stay {
		s.client = client
		ts.Defer(func() { _ = client.Close() })
		return
	}
	_ = client.Close()
}

func whoami(ctx context.Context, ts *testscript.TestScript, client *demo.Client) {
	who, err := client.Whoami(ctx)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s %s\n", who.Sub, who.Name)
}

func cmdRefresh(ts *testscript.TestScript, neg bool, args []string) {
	s, _ := ts.Value(serverKey{}).(*server)
	usage(ts, neg, len(args) == 0 && s.client != nil, "refresh, after login -stay")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := s.client.Refresh(ctx)
	ts.Check(err)
	whoami(ctx, ts, s.client)
}

func cmdWhoami(ts *testscript.TestScript, neg bool, args []string) {
	s, _ := ts.Value(serverKey{}).(*server)
	usage(ts, neg, len(args) == 0 && s.client != nil, "whoami, after login -stay")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	whoami(ctx, ts, s.client)
}

// recorder writes down what one host answers, as it came.
type recorder struct {
	next http.RoundTripper
	host string
	out  io.Writer
	mu   sync.Mutex
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := r.next.RoundTrip(req)
	if err != nil || req.URL.Host != r.host {
		return res, err
	}
	dump, err := httputil.DumpResponse(res, true)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err = fmt.Fprintf(r.out, "%s %s\n%s\n", req.Method, req.URL.Path, dump)
	return res, err
}
