package plugins

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/sdk/abi"
	"github.com/sallyport/sallyport/sdk/rules"
)

// TestAuthorsAndHostsRefuseTheSame compares the rules that an author's tests
// apply to where a request goes with those of the client that performs it.
func TestAuthorsAndHostsRefuseTheSame(t *testing.T) {
	t.Parallel()
	private := []string{"localhost:14000"}
	client := fetch.New(fetch.Config{PrivateHosts: private, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }})
	t.Cleanup(client.Close)
	hosts := []string{"up.test", "api.up.test:8443", "localhost:14000", "[2001:db8::1]"}
	for _, address := range []string{
		"https://up.test/x", "https://up.test:443/x", "https://up.test:8443/", "https://api.up.test:8443/", "https://api.up.test/", "http://up.test/",
		"http://localhost:14000/", "https://localhost:14000/", "http://localhost:14001/", "https://UP.test/", "https://up.test./", "https://a@up.test/",
		"ftp://up.test/", "https:up.test", "//up.test/", "https://[2001:db8::1]/", "https://[2001:db8::1]:443/", "https://other.test/", "https://üp.test/", "https://up.test%2f/",
	} {
		u, err := url.Parse(address)
		if err == nil {
			err = client.CheckURL(u, hosts)
		}
		if author := rules.CheckURL(address, hosts, private); (author == nil) != (err == nil) {
			t.Errorf("%s: the host says %v, an author's test %v", address, err, author)
		}
	}
	for _, name := range []string{"Accept", "Cookie", "cookie", "Host", "Connection", "Proxy-Authorization", "proxy-x", "Te", "Transfer-Encoding", "X-Api-Key", "Accept-Encoding", "Content-Length", "Upgrade", "Keep-Alive", "Trailer"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://up.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(name, "x")
		_, err = client.Do(t.Context(), req, fetch.Policy{Hosts: hosts})
		author := rules.CheckPlace(&abi.Request{URL: "https://up.test/", Headers: []abi.Header{{name, "x"}}}, hosts, private)
		if (author != nil) != errors.Is(err, fetch.ErrHeader) {
			t.Errorf("header %s: the host says %v, an author's test %v", name, err, author)
		}
	}
}
