// Command load is what `make bench` measures Sallyport against: an MCP server's
// answer without the MCP server, and the plainest reverse proxy that Go has.
//
//	load backend       answers every request with the same few bytes
//	load proxy URL     passes every request on to URL
//
// Either prints the address it listens on and ends when its input does.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	handler := http.Handler(http.HandlerFunc(answer))
	switch {
	case len(args) == 1 && args[0] == "backend":
	case len(args) == 2 && args[0] == "proxy":
		target, err := url.Parse(args[1])
		if err != nil {
			return err
		}
		proxy := &httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
			// The same connections to the backend as Sallyport's own.
			Transport: &http.Transport{MaxIdleConnsPerHost: 256},
		}
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex() // without it net/http closes the body while the transport reads it
			proxy.ServeHTTP(w, r)
		})
	default:
		return fmt.Errorf("usage: load backend | load proxy URL")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, l.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"hello"}]}}`)
}
