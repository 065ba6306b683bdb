package fetch

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// https at a port that speaks HTTP does not mend itself, and is not told as an
// outage.
func TestHTTPSAtAnHTTPPortIsASetupError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	hostport := strings.TrimPrefix(server.URL, "http://")
	c := New(Config{PrivateHosts: []string{hostport}})
	t.Cleanup(c.Close)
	_, err := get(t, c, "https://"+hostport+"/token", Policy{Hosts: []string{hostport}})
	fault, ok := errors.AsType[*SetupError](err)
	if !ok || !errors.Is(err, ErrTransport) || !errors.Is(err, ErrUnsent) || !strings.Contains(fault.Reason, "does not speak TLS on this port") {
		t.Errorf("%v", err)
	}
}

// A name that does not exist, too; one that cannot be resolved now is an outage.
func TestUnknownNameIsASetupError(t *testing.T) {
	t.Parallel()
	for _, missing := range []bool{true, false} {
		err := transportError(t.Context(), "typo.example", &net.DNSError{Err: "x", Name: "typo.example", IsNotFound: missing})
		if _, ok := errors.AsType[*SetupError](err); ok != missing {
			t.Errorf("not found %v: %v", missing, err)
		}
	}
}
