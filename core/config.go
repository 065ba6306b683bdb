package core

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/sallyport/sallyport/core/audit"
	"github.com/sallyport/sallyport/core/fetch"
	"github.com/sallyport/sallyport/core/remote"
	"github.com/sallyport/sallyport/core/seal"
	"github.com/sallyport/sallyport/core/store"
	"github.com/sallyport/sallyport/core/tenant"
	"github.com/sallyport/sallyport/core/tokens"
)

// Config is what a Server is made of. Tenants, Store and Keys are required.
type Config struct {
	Tenants *tenant.Set
	Store   store.Driver
	Keys    *seal.Keyring

	Log   hclog.Logger // nil: no log
	Audit *audit.Log   // nil: no audit
	// Fetch asks what clients publish. nil: the strict client of the public
	// internet.
	Fetch *fetch.Client
	// BackendTransport reaches the MCP servers behind the gateway. nil: one
	// with keep-alive for many calls to few hosts.
	BackendTransport http.RoundTripper
	Limits           Limits // zero: none
	// CacheTTL is for how long a grant is remembered and a token of it accepted
	// without asking the store; see Server.Follow. 0: not at all.
	CacheTTL time.Duration
	// TrustedProxies are believed about whom they forward requests for. nil:
	// those on this machine.
	TrustedProxies remote.Proxies
	Now            func() time.Time // nil: time.Now
	// RefreshRepeated counts a refresh token that came again, see package tokens.
	// nil: it is not counted.
	RefreshRepeated func(tenantName string, what tokens.RepeatOutcome)

	wall func() time.Time // the network's clock, whatever Now says
}

func (c Config) withDefaults() (Config, error) {
	if c.Tenants == nil || c.Store == nil || c.Keys == nil {
		return c, errors.New("core: Tenants, Store and Keys are required")
	}
	if c.Log == nil {
		c.Log = hclog.NewNullLogger()
	}
	if c.Fetch == nil {
		c.Fetch = fetch.New(fetch.Config{})
	}
	if c.TrustedProxies == nil {
		c.TrustedProxies = remote.Loopback()
	}
	if c.wall == nil {
		c.wall = time.Now
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.BackendTransport == nil {
		c.BackendTransport = backendTransport()
	}
	return c, nil
}

func newRequestID() string { return seal.RandomID(9) }

// backendTransport speaks HTTP/1.1: it has one connection for each stream, so
// that a client who reads slowly holds up its own backend's sending and nothing
// else, by TCP, without memory of ours.
func backendTransport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 256, // all calls of a tenant go to one host
		// Less than the five seconds after which Node's and Python's servers close
		// an idle connection: a POST that meets the closing is lost.
		IdleConnTimeout: 4 * time.Second,
		// What the client did not ask for we do not unpack.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 256 << 10,
		// No response timeout: an SSE stream may stay silent for long.
	}
}
